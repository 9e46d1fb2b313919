"""/manage/import and /manage/export: upload and download files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import FileResponse

from preceptor.annotation import ImportReport
from preceptor.errors import MultipleFaults, NotFoundError, UserError
from preceptor.formats import formats
from preceptor.project import Project
from preceptor.questions import kinds
from preceptor.web.manage.page_context import (
    ManageVisitor,
    PostedForm,
    ReadVisitor,
    form_text,
    parse_whole_number,
    render_manager_page,
    request_project,
)
from preceptor.web.middleware import MAX_UPLOAD_BYTES

router = APIRouter()
IMPORT_COLUMNS = ("id", "text", "group", "label", "annotator", "seconds")
EXPORT_CONTENTS = ("items", "judgments", "consensus", "everything")
SNAPSHOT_EXPORT = "snapshot"
TABLE_FORMATS = ("csv", "jsonl", "json", "parquet")
FORMAT_TITLES = {
    "alpaca": "Alpaca", "argilla": "Argilla", "cleanlab": "cleanlab", "crowdkit": "crowd-kit", "csv": "CSV", "doccano": "doccano",
    "json": "JSON", "jsonl": "JSON Lines", "kiln": "Kiln", "kto": "KTO (LLaMA-Factory)", "label_studio": "Label Studio",
    "openai_chat": "OpenAI chat", "openai_preference": "OpenAI preference", "parquet": "Parquet", "potato": "Potato",
    "prodigy": "Prodigy", "ragtruth": "RAGTruth", "sharegpt": "ShareGPT", "trl": "TRL", "tsv": "TSV",
}  # fmt: skip
FILE_SUFFIXES = {"crowdkit": "csv", "cleanlab": "csv", **dict.fromkeys(("label_studio", "argilla", "alpaca", "sharegpt", "kto"), "json")}
"""Of files in formats that are known by their fields; the others are JSON Lines."""
QUESTION_FORMATS = {"crowdkit": ("choice", "multilabel", "compare", "write"), "cleanlab": ("choice",)}
"""Formats that hold the answers to one question, of these kinds."""
UPLOAD_CHUNK_BYTES = 1 << 20


@router.get("/manage/import")
def import_page(request: Request, visitor: ManageVisitor) -> Response:
    """Show the form that uploads a file."""
    return _import_page(request, visitor, {})


@router.post("/manage/import")
async def import_upload(request: Request, visitor: ManageVisitor, form: PostedForm) -> Response:
    """Import an uploaded file, as a whole or not at all. It is spooled to the disk, and never held in memory."""
    given = {name: form_text(form, name).strip() for name in ("question", "format", "max_bad", "fold", "preview", *IMPORT_COLUMNS)}
    report, error = None, None
    try:
        report = await _receive_upload(request_project(request), form, given)
    except UserError as fault:
        error = fault
    finally:
        await form.close()  # deletes the spooled file
    return await run_in_threadpool(_import_page, request, visitor, given, report, error)


@router.get("/manage/export")
def export_page(request: Request, visitor: ReadVisitor) -> Response:
    """Show which files can be downloaded."""
    known = [formats.get(name) for name in formats.names()]
    frames = {kind: [name for name in QUESTION_FORMATS if kind in QUESTION_FORMATS[name]] for kind in kinds.names()}
    return render_manager_page(
        request, "export.html", visitor, known=request_project(request).questions(), what=EXPORT_CONTENTS, formats=TABLE_FORMATS,
        titles=FORMAT_TITLES,
        tools=[each.name for each in known if each.grouped and each.name not in QUESTION_FORMATS], frames=frames,
        training=[each.name for each in known if each.for_training],
        snapshots=request_project(request).snapshots(),
    )  # fmt: skip


@router.get("/manage/export/{what}.{format}")
def export_download(
    request: Request, visitor: ReadVisitor, what: str, format: str, question: str | None = None, snapshot: str = ""
) -> Response:
    """Send one file, which is written to the disk completely first, so that an error is a page and not half a file.

    Formats that need further files or a folder are sent as a ZIP archive.
    """
    if what not in (*EXPORT_CONTENTS, SNAPSHOT_EXPORT) or format not in (*TABLE_FORMATS, *formats.names()):
        raise NotFoundError(f"there is no {what}.{format} to export", f"{', '.join(EXPORT_CONTENTS)} as {', '.join(TABLE_FORMATS)}")
    folder = tempfile.mkdtemp(prefix="preceptor-export-")
    try:
        file = _write_export(request_project(request), Path(folder), snapshot if what == SNAPSHOT_EXPORT else what, format, question)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    name = f"{question}-{file.name}" if question and question.isidentifier() else file.name
    return FileResponse(file, filename=name, background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True))


def _write_export(project: Project, folder: Path, what: str, format: str, question: str | None) -> Path:
    """Write what is exported to one file in a temporary folder, and return its path."""
    shaped = formats.get(format).by_shape
    stem = f"{what if what in EXPORT_CONTENTS else SNAPSHOT_EXPORT}{f'-{format}' if shaped else ''}"
    inside = folder / stem
    inside.mkdir()
    file = inside / (stem if formats.get(format).writes_folder else f"{stem}.{FILE_SUFFIXES.get(format, 'jsonl') if shaped else format}")
    project.releases.export_file(what, file, question=question or None, format=format, excel_safe=format == "csv")
    if file.is_file() and len(list(inside.iterdir())) == 1:
        return file
    return Path(shutil.make_archive(str(folder / stem), "zip", inside))


async def _receive_upload(project: Project, form: FormData, given: dict[str, str]) -> ImportReport:
    upload = form.get("file")
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise UserError("choose a file", "CSV, TSV, JSON, JSON Lines or Parquet", where="file")
    with _temporary_upload(upload.filename) as path:
        with path.open("wb") as file:
            async for chunk in _iter_chunks(upload):
                file.write(chunk)
        return await run_in_threadpool(_import_file, project, path, given)


def _import_file(project: Project, path: Path, given: dict[str, str]) -> ImportReport:
    columns: dict[str, Any] = {column: given[column] or None for column in IMPORT_COLUMNS}
    try:
        return project.read(
            path, question=given["question"] or None, format=given["format"] or "auto", max_bad=parse_whole_number(given["max_bad"]),
            fold=bool(given["fold"]), preview=bool(given["preview"]), **columns,
        )  # fmt: skip
    except MultipleFaults:
        raise  # each fault names only the file
    except UserError as error:
        where = error.where.replace(f"{path.parent}{os.sep}", "")
        raise UserError(error.message.replace(f"{path.parent}{os.sep}", ""), error.hint, where=where) from None


async def _iter_chunks(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(UPLOAD_CHUNK_BYTES):
        yield chunk


@contextmanager
def _temporary_upload(filename: str) -> Iterator[Path]:
    """Yield a temporary path for a file under its own name, which tells its format and marks the author of unattributed answers."""
    own = PureWindowsPath(PurePosixPath(filename).name).name
    plain = "".join(letter for letter in own if letter.isprintable() and letter not in '/\\:"').strip(". ")[-100:] or "upload"
    with tempfile.TemporaryDirectory(prefix="preceptor-import-") as folder:
        yield Path(folder) / plain


def _import_page(
    request: Request, visitor: Any, given: dict[str, str], report: ImportReport | None = None, error: UserError | None = None
) -> Response:
    return render_manager_page(
        request, "import.html", visitor, known=request_project(request).questions(), given=given, columns=IMPORT_COLUMNS, report=report,
        error=error,
        faults=error.faults if isinstance(error, MultipleFaults) else (), formats=formats.names(), titles=FORMAT_TITLES,
        largest=MAX_UPLOAD_BYTES >> 20, status=422 if error else 200,
    )  # fmt: skip
