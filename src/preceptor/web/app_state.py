"""Hold what requests share: the project, access control, the page renderer and the database executor.

The executor runs a few database calls at a time: more of them wouldn't be faster, and would leave no thread for other requests. SQLite
has one writer anyway, and Python runs one thread of a process at a time: threads that wait for each other cost more than they gain. A
call that gets no place within a few seconds is refused (503) and may be sent again, so that a database that is unavailable for a while
blocks neither the pages that don't need it nor, once it is back, those who wait.

In templates everything from outside is escaped; Markdown is converted to HTML and then sanitised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from preceptor.annotation import AccessControl
from preceptor.errors import UnavailableError
from preceptor.project import Project
from preceptor.types import render_message
from preceptor.web.auth import BROWSER_COOKIE, RequestAuthenticator

T = TypeVar("T")
_WAIT_SECONDS = 8.0  # for which a call waits for a thread


class DatabaseExecutor:
    """Runs calls in threads of its own, `at_once` of them at the same time, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="turn")
        self._places = asyncio.Semaphore(at_once)

    async def run(self, call: Callable[..., T], *args: Any, **more: Any) -> T:
        """Run a call in a thread and return its result; raise UnavailableError when no thread is free in time."""
        await self._wait()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **more))
        finally:
            self._places.release()

    async def _wait(self) -> None:
        if not self._places.locked():
            await self._places.acquire()  # without waiting
            return
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise UnavailableError("the database is busy", "wait a moment, then send the same again") from None


TEMPLATES = Path(__file__).parent / "templates"


class PageRenderer:
    """Renders templates with what every page shows: the project's name, who is signed in, the form's token."""

    def __init__(self, project: Project, visitors: RequestAuthenticator) -> None:
        self._visitors = visitors
        self.environment = Environment(
            loader=PackageLoader("preceptor.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.environment.globals["project"] = project.config.name
        self.environment.filters |= {"markdown": render_markdown, "exact": escape_exact, "said": render_message}

    def render(
        self, request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> HTMLResponse:
        """Render a page; `visitor` (or None) decides which links its header offers."""
        new_browser = not self._visitors.known_browser(request)
        if new_browser:  # as long as there is no session, a form's token is derived from it
            request.cookies[BROWSER_COOKIE] = self._visitors.get_or_create_browser(request)
        values = {"visitor": None, "csrf": self._visitors.form_token(request), "path": request.url.path, **values}
        page = HTMLResponse(self.environment.get_template(template).render(values), status_code=status, headers=dict(headers or {}))
        if new_browser:
            self._visitors.remember_browser(request, page, request.cookies[BROWSER_COOKIE])
        return page


def render_markdown(text: str) -> Markup:
    """Convert Markdown to HTML without anything that runs, loads from elsewhere or sets styles: a model's output is shown, not executed."""
    import nh3
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    tags = {"p", "br", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
            "table", "thead", "tbody", "tr", "th", "td", "a"}  # fmt: skip
    return Markup(nh3.clean(html, tags=tags, attributes={"a": {"href"}}, url_schemes={"http", "https", "mailto"}))


def escape_exact(text: str) -> Markup:
    """Escape a text whose offsets count: a browser would remove carriage returns, which would shift each passage after them."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))


@dataclass(frozen=True)
class AppState:
    """What the application holds for its requests: project, access control, authenticator, page renderer, database executor."""

    project: Project
    access: AccessControl
    authenticator: RequestAuthenticator
    pages: PageRenderer
    database_executor: DatabaseExecutor


def app_state_of(request: Request) -> AppState:
    """Return the state of the application that serves a request."""
    state: AppState = request.app.state.preceptor
    return state
