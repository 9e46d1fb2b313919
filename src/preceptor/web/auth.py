"""Authenticate requests by bearer token or session cookie, and check form tokens."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from preceptor.annotation import DAY_SECONDS, SESSION_DAYS, AccessControl, AccessForbidden, AuthenticatedVisitor, BrowserSession

SESSION_COOKIE, BROWSER_COOKIE = "preceptor", "preceptor-browser"
SESSION_SECONDS = int(SESSION_DAYS * DAY_SECONDS)
_CACHE_SECONDS = 5.0  # for which a credential isn't looked up again: how long a revoked one may still work
_MAX_CACHED = 10_000
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{20,64}")


class NotSignedIn(AccessForbidden):
    """The request is not authenticated; sign in, or send a token."""


class RequestAuthenticator:
    """Authenticates requests by token or session, and sets the cookies of sessions and browsers."""

    def __init__(self, access: AccessControl) -> None:
        self.access = access
        self._known: dict[str, tuple[float, AuthenticatedVisitor]] = {}

    async def authenticate(self, request: Request) -> AuthenticatedVisitor:
        """Return the visitor who sent a request; raise NotSignedIn when it isn't authenticated."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = await self._remembered(_cache_key("token", token), lambda: self.access.authenticate_token(token))
        elif secret := _session_secret(request):
            found = await self._remembered(_cache_key("session", secret), lambda: self.access.authenticate_session(secret))
        else:
            found = None
        if found is None:
            raise NotSignedIn("who are you?", "open the link that you were given, sign in, or send a token: Authorization: Bearer …")
        return found

    def start_session(self, request: Request, response: Response, session: BrowserSession) -> None:
        """Set the cookie with the secret of a session."""
        self._set(request, response, SESSION_COOKIE, session.secret)

    async def end_session(self, request: Request, response: Response) -> None:
        """End a session, also for whoever has copied its cookie."""
        if secret := _session_secret(request):
            self._known.pop(_cache_key("session", secret), None)
            await run_in_threadpool(self.access.end_session, secret)
        response.delete_cookie(SESSION_COOKIE, path="/")

    def get_or_create_browser(self, request: Request) -> str:
        """Return the random name of a browser, a new one when it has none; `remember_browser` sets its cookie."""
        return self.known_browser(request) or secrets.token_urlsafe(16)

    def known_browser(self, request: Request) -> str:
        """Return the random name of a browser that has been here before, else an empty string."""
        name = request.cookies.get(BROWSER_COOKIE, "")
        return name if _COOKIE_VALUE.fullmatch(name) else ""

    def remember_browser(self, request: Request, response: Response, name: str) -> None:
        """Set the cookie with the random name of a browser."""
        self._set(request, response, BROWSER_COOKIE, name)

    def form_token(self, request: Request) -> str:
        """Return the token that a form of this session must carry; without a session, of this browser; empty for one without cookies.

        It is derived from the cookie's secret, which other sites can't read and the token doesn't reveal.
        """
        secret = _session_secret(request) or self.known_browser(request)
        return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest() if secret else ""

    def check_form(self, request: Request, token: str) -> None:
        """Raise AccessForbidden unless the token is this session's: another site may make a browser send a form, but can't read ours."""
        wanted = self.form_token(request)
        if not wanted or not hmac.compare_digest(token.encode(errors="replace"), wanted.encode()):
            raise AccessForbidden(
                "this form is not from your own session, or the session has ended", "load the page again, then send it again"
            )

    async def _remembered(self, name: str, look_up: Callable[[], AuthenticatedVisitor | None]) -> AuthenticatedVisitor | None:
        kept = self._known.get(name)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        found = await run_in_threadpool(look_up)
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        if found is not None:
            self._known[name] = (time.monotonic() + _CACHE_SECONDS, found)
        return found

    @staticmethod
    def _set(request: Request, response: Response, name: str, value: str) -> None:
        secure = request.url.scheme == "https"
        response.set_cookie(name, value, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="lax", secure=secure)


def _session_secret(request: Request) -> str:
    """Return the secret of the session that a request's cookie names; empty where it can't be one."""
    secret = request.cookies.get(SESSION_COOKIE, "")
    return secret if _COOKIE_VALUE.fullmatch(secret) else ""


def _cache_key(kind: str, secret: str) -> str:
    return f"{kind} {hashlib.sha256(secret.encode(errors='replace')).hexdigest()}"


def require_scope(scope: str | None = None) -> Callable[[Request], Coroutine[Any, Any, AuthenticatedVisitor]]:
    """Return a dependency of the API that gives the visitor, and raises AccessForbidden unless they have the scope (None: anyone known).

    A request that changes something must have a token, or come from our own page's script with X-Form-Token.
    """

    async def check(request: Request) -> AuthenticatedVisitor:
        visitor = await _authorize(request, scope)
        if request.method not in ("GET", "HEAD") and "authorization" not in request.headers:
            request.app.state.preceptor.authenticator.check_form(request, request.headers.get("x-form-token", ""))
        return visitor

    return check


def require_sign_in(scope: str) -> Callable[[Request], Coroutine[Any, Any, AuthenticatedVisitor]]:
    """Return a dependency of pages that gives the visitor, and raises AccessForbidden unless they have the scope.

    Pages that take a form depend on `checked_form` too.
    """

    async def check(request: Request) -> AuthenticatedVisitor:
        return await _authorize(request, scope)

    return check


async def _authorize(request: Request, scope: str | None) -> AuthenticatedVisitor:
    visitor: AuthenticatedVisitor = await request.app.state.preceptor.authenticator.authenticate(request)
    if scope is not None and not visitor.has_scope(scope):
        raise AccessForbidden(f"{visitor.name} may not do this", f"it takes the scope {scope!r}; ask the manager of the project")
    return visitor


async def checked_form(request: Request) -> FormData:
    """Return the fields of a form that one of our own pages has sent: a dependency of pages."""
    form = await request.form(max_files=20, max_fields=2000)
    request.app.state.preceptor.authenticator.check_form(request, str(form.get("csrf", "")))
    return form
