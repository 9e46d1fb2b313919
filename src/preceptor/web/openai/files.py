"""/v1/files: upload, list, download and delete training data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.web.errors import OpenAIError
from preceptor.web.openai import request_body
from preceptor.web.openai.dependencies import get_state, require_scope

router = APIRouter()
TrainCaller = Annotated[AuthenticatedVisitor, Depends(require_scope("train"))]
MAX_FILE_BYTES = 512 << 20  # as at OpenAI
PURPOSES = ("fine-tune",)
MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS = 3600, 30 * 86400  # of a file's lifetime


@router.post("/files")
async def upload_file(request: Request, visitor: TrainCaller) -> Response:
    """Upload a file. It is stored completely when this succeeds, and not at all when it fails."""
    largest = MAX_FILE_BYTES + (1 << 16)  # with the overhead of a form
    if int(request.headers.get("content-length") or 0) > largest:
        raise request_body.too_large_error(MAX_FILE_BYTES)
    uploads = get_state(request).uploads
    with uploads.temporary_file() as path:
        form = await request_body.receive_upload(request.headers.get("content-type", ""), request.stream(), path, largest)
        about: dict[str, Any] = {**_check_form(form), "by": visitor.name, "owner": visitor.annotator}
        row = await run_in_threadpool(lambda: uploads.add(path, digest=form.digest, size=form.size, **about))
    return JSONResponse(file_document(row))


@router.get("/files")
async def list_files(
    request: Request,
    visitor: TrainCaller,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """List one's own files, newest first, a page at a time; managers of the project see all."""
    uploads, ascending = get_state(request).uploads, order == "asc"
    rows, more = await run_in_threadpool(lambda: uploads.list_page(visitor, purpose=purpose, after=after, limit=limit, ascending=ascending))
    return JSONResponse(list_page([file_document(row) for row in rows], more))


@router.get("/files/{id_}")
async def retrieve_file(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """Return what is known about a file."""
    return JSONResponse(file_document(await run_in_threadpool(get_state(request).uploads.get, id_, visitor)))


@router.get("/files/{id_}/content")
async def download_file(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """Return the bytes of a file, as they were uploaded."""
    size, pieces = await run_in_threadpool(get_state(request).uploads.open, id_, visitor)
    return StreamingResponse(pieces, media_type="application/octet-stream", headers={"Content-Length": str(size)})


@router.delete("/files/{id_}")
async def delete_file(request: Request, visitor: TrainCaller, id_: str) -> Response:
    """Delete a file; refused while a job that hasn't ended needs it."""
    await run_in_threadpool(lambda: get_state(request).uploads.delete(id_, visitor, by=visitor.name))
    return JSONResponse({"id": id_, "object": "file", "deleted": True})


def file_document(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a file as OpenAI describes it."""
    expires = row["expires"]
    return {
        "id": row["id"],
        "object": "file",
        "bytes": row["bytes"],
        "created_at": int(row["created"]),
        "expires_at": None if expires is None else int(expires),
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": "processed",
        "status_details": None,
    }


def list_page(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    """Return a page of a list as OpenAI's clients read it."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def _check_form(form: request_body.UploadForm) -> dict[str, Any]:
    """Return name, purpose and lifetime of an uploaded file; raise OpenAIError where one is missing or unknown."""
    unknown = set(form.fields) - {"purpose", "expires_after[anchor]", "expires_after[seconds]"}
    if unknown:
        raise OpenAIError(f"unknown field {min(unknown)!r:.80}", "send file, purpose and expires_after", param=min(unknown)[:80])
    if form.filename is None:
        raise OpenAIError("the form holds no file", "send it as the field `file`", param="file", code="missing_required_parameter")
    if form.size == 0:
        raise OpenAIError("the file is empty", "upload one line of JSON an example", param="file", code="empty_file")
    purpose = form.fields.get("purpose")
    if purpose is None:
        raise OpenAIError("the field purpose is missing", "send purpose=fine-tune", param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        raise OpenAIError(f"files for {purpose!r:.80} aren't taken here", f"purposes: {', '.join(PURPOSES)}", param="purpose")
    return {"filename": PurePath(form.filename).name[:200] or "file", "purpose": purpose, "seconds": _parse_expiry(form.fields)}


def _parse_expiry(fields: Mapping[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise OpenAIError("a file expires so many seconds after created_at", "anchor: created_at", param="expires_after[anchor]")
    if seconds is None or not seconds.isascii() or not seconds.isdigit() or not MIN_EXPIRY_SECONDS <= int(seconds) <= MAX_EXPIRY_SECONDS:
        raise OpenAIError(
            f"seconds must be a whole number from {MIN_EXPIRY_SECONDS} to {MAX_EXPIRY_SECONDS}", param="expires_after[seconds]"
        )
    return int(seconds)
