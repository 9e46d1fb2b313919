"""Counts the requests under /v1: by route, model and status, and how long they took to the end of their response."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request

from preceptor.project.live import meters

Message = MutableMapping[str, Any]
App = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

PREFIX = "/v1"


class Counting:
    """Around the application; what no route answers is counted as one, since anybody may ask for any address."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", "/none")
            route = path if path.startswith(PREFIX) else PREFIX + path  # a route knows its place within its router, or all of it
            meters.requests.labels(route, scope.get("state", {}).get("model", ""), str(status)).inc()
            meters.seconds.labels(route).observe(time.monotonic() - begun)


def about_model(request: Request, name: str) -> None:
    """Note which model a request is about, once it is known to be there."""
    request.state.model = name
