"""Who sends a request: a bearer token, or a session's cookie; and that a form was sent from our own page."""

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

from preceptor.project import Access, Forbidden, Visitor
from preceptor.project.access import DAY, SESSION_DAYS, BrowserSession

COOKIE, BROWSER = "preceptor", "preceptor-browser"
SESSION_SECONDS = int(SESSION_DAYS * DAY)
REMEMBERED = 5.0  # seconds for which a credential isn't looked up again: how long a revoked one may still work
MOST_REMEMBERED = 10_000
_NAME = re.compile(r"[A-Za-z0-9_-]{20,64}")


class NotSignedIn(Forbidden):
    """Nobody is known to ask; sign in, or send a token."""


class Visitors:
    """Recognises who asks."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._known: dict[str, tuple[float, Visitor]] = {}

    async def of(self, request: Request) -> Visitor:
        """Who asks; NotSignedIn when nobody is known to."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = await self._remembered(_name("token", token), lambda: self.access.by_token(token))
        elif secret := _session(request):
            found = await self._remembered(_name("session", secret), lambda: self.access.by_session(secret))
        else:
            found = None
        if found is None:
            raise NotSignedIn("who are you?", "open the link that you were given, sign in, or send a token: Authorization: Bearer …")
        return found

    def begin(self, request: Request, response: Response, session: BrowserSession) -> None:
        """Give a browser the secret of its session."""
        self._set(request, response, COOKIE, session.secret)

    async def end(self, request: Request, response: Response) -> None:
        """End a session, also for whoever has copied its cookie."""
        if secret := _session(request):
            self._known.pop(_name("session", secret), None)
            await run_in_threadpool(self.access.leave, secret)
        response.delete_cookie(COOKIE, path="/")

    def browser(self, request: Request) -> str:
        """The random name of a browser, a new one when it has none; `remember_browser` keeps it."""
        return self.known_browser(request) or secrets.token_urlsafe(16)

    def known_browser(self, request: Request) -> str:
        """The random name of a browser that has been here, else nothing."""
        name = request.cookies.get(BROWSER, "")
        return name if _NAME.fullmatch(name) else ""

    def remember_browser(self, request: Request, response: Response, name: str) -> None:
        self._set(request, response, BROWSER, name)

    def form_token(self, request: Request) -> str:
        """What a form of this session must carry; of nobody's session, of this browser; empty of a browser that keeps no cookies.

        It is told by its cookie's secret, which other sites can't read, and doesn't tell it.
        """
        secret = _session(request) or self.known_browser(request)
        return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest() if secret else ""

    def check_form(self, request: Request, token: str) -> None:
        """Forbidden unless the token is this session's: another site may make a browser send a form, but not read ours."""
        wanted = self.form_token(request)
        if not wanted or not hmac.compare_digest(token.encode(errors="replace"), wanted.encode()):
            raise Forbidden("this form is not from your own session, or the session has ended", "load the page again, then send it again")

    async def _remembered(self, name: str, look_up: Callable[[], Visitor | None]) -> Visitor | None:
        kept = self._known.get(name)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        found = await run_in_threadpool(look_up)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        if found is not None:
            self._known[name] = (time.monotonic() + REMEMBERED, found)
        return found

    @staticmethod
    def _set(request: Request, response: Response, name: str, value: str) -> None:
        secure = request.url.scheme == "https"
        response.set_cookie(name, value, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="lax", secure=secure)


def _session(request: Request) -> str:
    """The secret of the session that a request's cookie claims; empty where it can't be one."""
    secret = request.cookies.get(COOKIE, "")
    return secret if _NAME.fullmatch(secret) else ""


def _name(kind: str, secret: str) -> str:
    return f"{kind} {hashlib.sha256(secret.encode(errors='replace')).hexdigest()}"


def allowed(scope: str | None = None) -> Callable[[Request], Coroutine[Any, Any, Visitor]]:
    """A dependency of the API: who asks, Forbidden unless they may do what the scope says (None: anyone known may).

    A request that changes something comes with a token, or from our own page's script with X-Form-Token.
    """

    async def check(request: Request) -> Visitor:
        visitor = await _permitted(request, scope)
        if request.method not in ("GET", "HEAD") and "authorization" not in request.headers:
            request.app.state.preceptor.visitors.check_form(request, request.headers.get("x-form-token", ""))
        return visitor

    return check


def signed_in(scope: str) -> Callable[[Request], Coroutine[Any, Any, Visitor]]:
    """A dependency of pages: who asks, Forbidden unless they may. Pages that take a form depend on `form_of` too."""

    async def check(request: Request) -> Visitor:
        return await _permitted(request, scope)

    return check


async def _permitted(request: Request, scope: str | None) -> Visitor:
    visitor: Visitor = await request.app.state.preceptor.visitors.of(request)
    if scope is not None and not visitor.may(scope):
        raise Forbidden(f"{visitor.name} may not do this", f"it takes the scope {scope!r}; ask the manager of the project")
    return visitor


async def form_of(request: Request) -> FormData:
    """A dependency: the fields of a form that one of our own pages has sent."""
    form = await request.form(max_files=20, max_fields=2000)
    request.app.state.preceptor.visitors.check_form(request, str(form.get("csrf", "")))
    return form
