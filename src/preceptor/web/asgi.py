"""What a worker process of `preceptor serve` answers with: pages and their API, and OpenAI's interface under /v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

AsgiScope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
AsgiApp = Callable[[AsgiScope, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]]


def create_worker_app() -> AsgiApp:
    """The whole application of the project in the environment. Neither half knows the other; they share the open project."""
    from preceptor.web import server
    from preceptor.web.openai import app

    pages = server.create_worker_app()
    return compose_apps(pages, app.create_openai_app(pages.state.preceptor.project, pages.state.preceptor.access))


def compose_apps(pages: AsgiApp, programs: AsgiApp) -> AsgiApp:
    """One application of two: what is under /v1 goes to `programs`, all else, the beginning and the end too, to `pages`."""

    async def application(scope: AsgiScope, receive: Any, send: Any) -> None:
        chosen = programs if scope["type"] == "http" and scope["path"].startswith("/v1/") else pages
        await chosen(scope, receive, send)

    return application
