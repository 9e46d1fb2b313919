"""Sign people in and out: invitations, crowds' links, passwords."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse

from preceptor.annotation import AccessForbidden, AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import NotSignedIn, checked_form, require_sign_in
from preceptor.web.errors import error_status

router = APIRouter(include_in_schema=False)
PostedForm = Annotated[FormData, Depends(checked_form)]
SignedInAnnotator = Annotated[AuthenticatedVisitor, Depends(require_sign_in("annotate"))]


@router.get("/")
async def redirect_home(request: Request) -> Response:
    """Redirect visitors to their start page: managers to the project, others to their next item."""
    try:
        visitor = await app_state_of(request).authenticator.authenticate(request)
    except NotSignedIn:
        return RedirectResponse("/login", status_code=303)
    return RedirectResponse("/manage" if visitor.has_scope("manage") else "/work", status_code=303)


@router.get("/join/{secret}")
async def join_by_invitation(request: Request, secret: str, again: bool = False) -> Response:
    """Sign in by an invitation, which is tied to the first browser that uses it.

    A browser first shows that it keeps cookies: previews of the link, as messengers make them, don't use it up.
    """
    visitors = app_state_of(request).authenticator
    browser = visitors.known_browser(request)
    if not browser and again:
        raise AccessForbidden(
            "your browser keeps no cookies, which tell us that it is you", "allow cookies for this page, then open your link"
        )
    if not browser:
        response = RedirectResponse(f"/join/{quote(secret, safe='')}?again=true", status_code=303)
        visitors.remember_browser(request, response, visitors.get_or_create_browser(request))
        return response
    session = await run_in_threadpool(app_state_of(request).access.accept_invitation, secret, browser)
    response = RedirectResponse("/manage" if session.visitor.has_scope("manage") else "/work", status_code=303)
    visitors.start_session(request, response, session)
    return response


@router.get("/crowd/{secret}")
async def join_crowd(request: Request, secret: str) -> Response:
    """Sign in from an external study, by its link's own parameters."""
    worker = request.query_params.get("PROLIFIC_PID") or request.query_params.get("worker", "")
    session = await run_in_threadpool(app_state_of(request).access.join_crowd, secret, worker)
    response = RedirectResponse("/work", status_code=303)
    app_state_of(request).authenticator.start_session(request, response, session)
    return response


@router.get("/login")
async def login_page(request: Request, next: str = "/") -> Response:
    """Show the form for name and password."""
    return _login_page(request, next)


@router.post("/login")
async def sign_in(request: Request, form: PostedForm) -> Response:
    """Sign in by name and password."""
    name, password, place = (str(form.get(field, "")) for field in ("name", "password", "next"))
    address = request.client.host if request.client else "unknown"
    try:
        session = await run_in_threadpool(app_state_of(request).access.sign_in, name, password, address)
    except UserError as error:
        return _login_page(request, place, error=error, name=name, status=error_status(error))
    response = RedirectResponse(local_path(place), status_code=303)
    app_state_of(request).authenticator.start_session(request, response, session)
    return response


@router.post("/logout")
async def sign_out(request: Request, form: PostedForm) -> Response:
    """End the session."""
    response = RedirectResponse("/login", status_code=303)
    await app_state_of(request).authenticator.end_session(request, response)
    return response


@router.get("/password")
async def password_page(request: Request, visitor: SignedInAnnotator) -> Response:
    """Show the form for a new password."""
    return app_state_of(request).pages.render(request, "password.html", visitor=visitor, error=None, done=False)


@router.post("/password")
async def set_password(request: Request, visitor: SignedInAnnotator, form: PostedForm) -> Response:
    """Set the visitor's own password."""
    error = None
    try:
        word = str(form.get("password", ""))
        await run_in_threadpool(app_state_of(request).access.set_password, visitor.name, word, session=visitor.credential)
    except UserError as fault:
        error = fault
    status = 422 if error else 200
    return app_state_of(request).pages.render(request, "password.html", visitor=visitor, error=error, done=error is None, status=status)


def local_path(place: str) -> str:
    """Return a path of this server, `/` for anything else: a link to our login must not lead to another site."""
    inside = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable() and "\\" not in place
    return place if inside else "/"


def _login_page(request: Request, next: str, *, error: UserError | None = None, name: str = "", status: int = 200) -> Response:
    return app_state_of(request).pages.render(request, "login.html", next=local_path(next), error=error, name=name, status=status)
