"""What a worker process of `preceptor serve` answers with: pages and their API, and OpenAI's interface under /v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def worker() -> App:
    """The whole application of the project in the environment. Neither half knows the other; they share the open project."""
    from preceptor import serving
    from preceptor.web import running

    pages = running.worker()
    return composed(pages, serving.create_app(pages.state.preceptor.project, pages.state.preceptor.access))


def composed(pages: App, programs: App) -> App:
    """One application of two: what is under /v1 goes to `programs`, all else, the beginning and the end too, to `pages`."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        chosen = programs if scope["type"] == "http" and scope["path"].startswith("/v1/") else pages
        await chosen(scope, receive, send)

    return application
