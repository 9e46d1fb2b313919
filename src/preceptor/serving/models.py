"""/v1/models: what a token may chat with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.errors import NotFound
from preceptor.project import Visitor
from preceptor.project.live.catalog import Offered
from preceptor.serving.callers import caller
from preceptor.serving.faults import Refused
from preceptor.serving.state import State, state_of

router = APIRouter()
Anyone = Annotated[Visitor, Depends(caller("chat", "train"))]


@router.get("/models")
async def list_models(request: Request, visitor: Anyone) -> Response:
    """The bases that can be trained, then the models that this token may use."""
    offered = await run_in_threadpool(state_of(request).catalog.offered, visitor)
    return JSONResponse({"object": "list", "data": [document(model) for model in offered]})


@router.get("/models/{name:path}")
async def retrieve(request: Request, visitor: Anyone, name: str) -> Response:
    """One model."""
    return JSONResponse(document(await run_in_threadpool(find, state_of(request), name, visitor)))


def find(state: State, name: str, visitor: Visitor) -> Offered:
    """A model by its name; Refused with OpenAI's own code when it isn't theirs or isn't there."""
    try:
        return state.catalog.find(name, visitor)
    except NotFound as fault:
        raise Refused(fault.message, fault.hint, param="model", code="model_not_found", status=404) from None


def document(model: Offered) -> dict[str, Any]:
    """A model as OpenAI describes it."""
    return {"id": model.name, "object": "model", "created": int(model.created), "owned_by": model.owner}
