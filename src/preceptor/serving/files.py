"""/v1/files: training data, uploaded, listed, read back, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.project import Visitor
from preceptor.serving import multipart
from preceptor.serving.callers import caller
from preceptor.serving.faults import Refused
from preceptor.serving.state import state_of

router = APIRouter()
Trainer = Annotated[Visitor, Depends(caller("train"))]
LARGEST = 512 << 20  # bytes, as at OpenAI
PURPOSES = ("fine-tune",)
SHORTEST, LONGEST = 3600, 30 * 86400  # seconds after which a file may expire


@router.post("/files")
async def upload(request: Request, visitor: Trainer) -> Response:
    """Upload a file. It is there whole when this answers, and not at all when it doesn't."""
    largest = LARGEST + (1 << 16)  # with what a form adds
    if int(request.headers.get("content-length") or 0) > largest:
        raise multipart.too_large(LARGEST)
    uploads = state_of(request).uploads
    with uploads.incoming() as path:
        form = await multipart.receive(request.headers.get("content-type", ""), request.stream(), path, largest)
        about: dict[str, Any] = {**_checked(form), "by": visitor.name, "owner": visitor.annotator}
        row = await run_in_threadpool(lambda: uploads.keep(path, digest=form.digest, size=form.size, **about))
    return JSONResponse(document(row))


@router.get("/files")
async def list_files(
    request: Request,
    visitor: Trainer,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """A page of one's own files, newest first; of all for who manages the project."""
    uploads, ascending = state_of(request).uploads, order == "asc"
    rows, more = await run_in_threadpool(lambda: uploads.page(visitor, purpose=purpose, after=after, limit=limit, ascending=ascending))
    return JSONResponse(page([document(row) for row in rows], more))


@router.get("/files/{id_}")
async def retrieve(request: Request, visitor: Trainer, id_: str) -> Response:
    """What is known about a file."""
    return JSONResponse(document(await run_in_threadpool(state_of(request).uploads.get, id_, visitor)))


@router.get("/files/{id_}/content")
async def content(request: Request, visitor: Trainer, id_: str) -> Response:
    """The bytes of a file, as they came."""
    size, pieces = await run_in_threadpool(state_of(request).uploads.open, id_, visitor)
    return StreamingResponse(pieces, media_type="application/octet-stream", headers={"Content-Length": str(size)})


@router.delete("/files/{id_}")
async def delete(request: Request, visitor: Trainer, id_: str) -> Response:
    """Delete a file; refused while a job that hasn't ended needs it."""
    await run_in_threadpool(lambda: state_of(request).uploads.delete(id_, visitor, by=visitor.name))
    return JSONResponse({"id": id_, "object": "file", "deleted": True})


def document(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A file as OpenAI describes it."""
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


def page(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    """A page of a list as OpenAI's clients read it."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def _checked(form: multipart.Form) -> dict[str, Any]:
    """Name, purpose and lifetime of an uploaded file; refused where one is missing or unknown."""
    unknown = set(form.fields) - {"purpose", "expires_after[anchor]", "expires_after[seconds]"}
    if unknown:
        raise Refused(f"unknown field {min(unknown)!r:.80}", "send file, purpose and expires_after", param=min(unknown)[:80])
    if form.filename is None:
        raise Refused("the form holds no file", "send it as the field `file`", param="file", code="missing_required_parameter")
    if form.size == 0:
        raise Refused("the file is empty", "upload one line of JSON an example", param="file", code="empty_file")
    purpose = form.fields.get("purpose")
    if purpose is None:
        raise Refused("the field purpose is missing", "send purpose=fine-tune", param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        raise Refused(f"files for {purpose!r:.80} aren't taken here", f"purposes: {', '.join(PURPOSES)}", param="purpose")
    return {"filename": PurePath(form.filename).name[:200] or "file", "purpose": purpose, "seconds": _seconds(form.fields)}


def _seconds(fields: Mapping[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise Refused("a file expires so many seconds after created_at", "anchor: created_at", param="expires_after[anchor]")
    if seconds is None or not seconds.isascii() or not seconds.isdigit() or not SHORTEST <= int(seconds) <= LONGEST:
        raise Refused(f"seconds must be a whole number from {SHORTEST} to {LONGEST}", param="expires_after[seconds]")
    return int(seconds)
