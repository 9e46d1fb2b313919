"""/v1/models: the models that a token may use."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import NotFoundError
from preceptor.release import OfferedModel
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.dependencies import OpenAIState, get_state, require_scope

router = APIRouter()
ModelCaller = Annotated[AuthenticatedVisitor, Depends(require_scope("chat", "train"))]


@router.get("/models")
async def list_models(request: Request, visitor: ModelCaller) -> Response:
    """List the bases that can be trained, then the models that this token may use."""
    offered = await run_in_threadpool(get_state(request).catalog.list_offered, visitor)
    return JSONResponse({"object": "list", "data": [model_document(model) for model in offered]})


@router.get("/models/{name:path}")
async def retrieve_model(request: Request, visitor: ModelCaller, name: str) -> Response:
    """Return one model."""
    return JSONResponse(model_document(await run_in_threadpool(find_model, get_state(request), name, visitor)))


def find_model(state: OpenAIState, name: str, visitor: AuthenticatedVisitor) -> OfferedModel:
    """Return a model by its name; raise OpenAIError with OpenAI's own code when it doesn't exist or isn't the visitor's."""
    try:
        return state.catalog.find(name, visitor)
    except NotFoundError as fault:
        raise OpenAIError(fault.message, fault.hint, param="model", code="model_not_found", status=404) from None


def model_document(model: OfferedModel) -> dict[str, Any]:
    """Return a model as OpenAI describes it."""
    return {"id": model.name, "object": "model", "created": int(model.created), "owned_by": model.owner}
