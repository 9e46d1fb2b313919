"""Build the whole application of a worker process of `preceptor serve`: pages and their API, and OpenAI's interface under /v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

AsgiScope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
AsgiApp = Callable[[AsgiScope, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]]


def create_worker_app() -> AsgiApp:
    """Build the whole application of the project in the environment. Neither half imports the other; they share the open project."""
    from preceptor.web import server
    from preceptor.web.openai import app

    pages = server.create_worker_app()
    return compose_apps(pages, app.create_openai_app(pages.state.preceptor.project, pages.state.preceptor.access))


def compose_apps(pages: AsgiApp, programs: AsgiApp) -> AsgiApp:
    """Compose two applications: requests under /v1 go to `programs`, all else, startup and shutdown included, to `pages`."""

    async def application(scope: AsgiScope, receive: Any, send: Any) -> None:
        chosen = programs if scope["type"] == "http" and scope["path"].startswith("/v1/") else pages
        await chosen(scope, receive, send)

    return application
