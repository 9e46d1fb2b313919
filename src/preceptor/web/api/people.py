"""Manage people: list, invite, pause, revoke their credentials, rotate tokens, retract their judgments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AccessControl, AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.web.api.schemas import READ_STATUSES, WRITE_STATUSES, ApiRequestBody, error_responses
from preceptor.web.app_state import AppState, app_state_of
from preceptor.web.auth import require_scope

router = APIRouter(tags=["people"])
ReadVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("read"))]
ManageVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("manage"))]
_CHANGE_RESPONSES = error_responses(*WRITE_STATUSES, 404, 409)


class InvitationRequest(ApiRequestBody):
    """Who is invited: a person with a role, an external crowd (crowd), or a program (scopes)."""

    name: str = Field(min_length=1, max_length=200)
    role: Literal["annotator", "reviewer", "expert", "owner"] = "annotator"
    skills: list[str] = Field([], max_length=100)
    daily_limit: int | None = Field(None, ge=1, le=1_000_000)
    days: float = Field(14, gt=0, le=3660, allow_inf_nan=False, description="for how long the link is valid")
    crowd: bool = False
    scopes: list[str] = Field([], max_length=20)


class RetractionRequest(ApiRequestBody):
    """The reason of a retraction; it stays on record."""

    reason: str = Field(min_length=1, max_length=2000)


class InvitationResponse(BaseModel):
    """The link and token to hand out; they are shown only here, since only hashes are kept."""

    annotator: str | None = None
    crowd: str | None = None
    application: str | None = None
    role: str | None = None
    scopes: list[str] | None = None
    link: str | None = None
    token: str | None = None
    days: float | None = None
    hours: float | None = None


class PeopleResponse(BaseModel):
    """Everyone, with their judgments and agreement with the consensus."""

    people: list[dict[str, Any]]


class PauseResponse(BaseModel):
    """Whether an annotator is paused now."""

    annotator: str
    paused: bool


class RevocationResponse(BaseModel):
    """How many links, tokens, passwords and sessions were ended."""

    annotator: str
    credentials: int


class RotationRequest(ApiRequestBody):
    """For how many hours the old tokens may still be used."""

    hours: float = Field(0, ge=0, le=24 * 366, allow_inf_nan=False)


class RetractionResponse(BaseModel):
    """How many judgments no longer count."""

    annotator: str
    judgments: int


@router.get("/people", responses={200: {"model": PeopleResponse}, **error_responses(*READ_STATUSES, 404)})
async def list_people(request: Request, visitor: ReadVisitor, question: str | None = None) -> Response:
    """List everyone, with their judgments about a question (default: the only one) and agreement with its consensus."""
    return JSONResponse({"people": await run_in_threadpool(app_state_of(request).project.people, question)})


@router.post("/people", status_code=201, responses={201: {"model": InvitationResponse}, **_CHANGE_RESPONSES})
async def invite_person(request: Request, visitor: ManageVisitor, given: InvitationRequest) -> Response:
    """Invite somebody: returns their link and token. An existing person gets the role, and a link that replaces the earlier one."""
    return JSONResponse(await run_in_threadpool(_create_invitation, app_state_of(request).access, visitor, given), status_code=201)


@router.post("/people/{name:path}/pause", responses={200: {"model": PauseResponse}, **_CHANGE_RESPONSES})
async def pause_person(request: Request, visitor: ManageVisitor, name: str) -> Response:
    """Assign no items to somebody until further notice; what they have answered is kept."""
    return await _set_paused(app_state_of(request), visitor, name, True)


@router.post("/people/{name:path}/unpause", responses={200: {"model": PauseResponse}, **_CHANGE_RESPONSES})
async def unpause_person(request: Request, visitor: ManageVisitor, name: str) -> Response:
    """Assign items to somebody again."""
    return await _set_paused(app_state_of(request), visitor, name, False)


@router.post("/people/{name:path}/revoke", responses={200: {"model": RevocationResponse}, **_CHANGE_RESPONSES})
async def revoke_credentials(request: Request, visitor: ManageVisitor, name: str) -> Response:
    """End all links, tokens, passwords and sessions of somebody, within five seconds on every server."""
    count = await run_in_threadpool(lambda: app_state_of(request).access.revoke_credentials(name, by=visitor.name))
    return JSONResponse({"annotator": name, "credentials": count})


@router.post("/people/{name:path}/rotate", responses={200: {"model": InvitationResponse}, **_CHANGE_RESPONSES})
async def rotate_token(request: Request, visitor: ManageVisitor, name: str, given: RotationRequest) -> Response:
    """Issue a new token for a program or person in place of those they have; what belongs to them stays theirs."""
    access = app_state_of(request).access
    return JSONResponse(
        await run_in_threadpool(lambda: access.rotate_token(name, hours=given.hours, by=visitor.name, within=visitor.scopes))
    )


@router.post("/people/{name:path}/retract", responses={200: {"model": RetractionResponse}, **_CHANGE_RESPONSES})
async def retract_judgments(request: Request, visitor: ManageVisitor, name: str, given: RetractionRequest) -> Response:
    """Take all that somebody has answered out of everything downstream."""
    project = app_state_of(request).project
    count = await run_in_threadpool(lambda: project.retract(name, by=visitor.name, reason=given.reason))
    return JSONResponse({"annotator": name, "judgments": count})


async def _set_paused(state: AppState, visitor: AuthenticatedVisitor, name: str, paused: bool) -> Response:
    await run_in_threadpool(lambda: state.access.set_paused(name, paused, by=visitor.name))
    return JSONResponse({"annotator": name, "paused": paused})


def _create_invitation(access: AccessControl, visitor: AuthenticatedVisitor, given: InvitationRequest) -> dict[str, Any]:
    whose: dict[str, Any] = {"by": visitor.name, "within": visitor.scopes}
    if given.crowd and (given.scopes or given.role != "annotator" or given.skills):
        raise UserError("a crowd's members are annotators without skills", "leave out role, skills and scopes", where="crowd")
    if given.scopes:
        return access.issue_application_token(given.name, given.scopes, **whose)
    if given.crowd:
        return access.invite_crowd(given.name, daily_limit=given.daily_limit, days=given.days, by=visitor.name)
    rest: dict[str, Any] = {"skills": given.skills, "daily_limit": given.daily_limit, "days": given.days}
    return access.invite(given.name, given.role, **rest, **whose)
