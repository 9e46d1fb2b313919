"""Add security headers to responses, limit the size of request bodies, and count the requests under /v1."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from preceptor.web import prometheus_metrics

AsgiMessage = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], AsgiReceive, AsgiSend], Awaitable[None]]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
MAX_BODY_BYTES = 1 << 20  # of a request
MAX_UPLOAD_BYTES = 64 << 20  # of a file, or of many items at once
_TOO_LARGE_PAGE = (  # for a form that a browser sends without a script; the application isn't reached, so that no template is used
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Not done</title>'
    "<main><h1>Not taken: {message}</h1><p>Go back in your browser to shorten it; nothing else of yours is lost.</p></main></html>"
)
_UPLOAD_PATHS = ("/api/v1/items", "/manage/import")


def is_openai_path(path: str) -> bool:
    """Return whether a path is one of OpenAI's interface, which has a form of errors and limits of its own."""
    return path.startswith("/v1/")


class RequestMetrics:
    """Counts the requests under /v1 by route, model and status, with the time until their response ended.

    Those that no route answers are counted as one, since any address may be requested.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: AsgiReceive, send: AsgiSend) -> None:
        if scope["type"] != "http" or not is_openai_path(scope["path"]):
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def with_status(message: AsgiMessage) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, with_status)
        finally:
            path = getattr(scope.get("route"), "path", "/none")
            route = path if is_openai_path(path) else f"/v1{path}"  # a route has its path within its router, or the whole path
            prometheus_metrics.request_count.labels(route, scope.get("state", {}).get("model", ""), str(status)).inc()
            prometheus_metrics.request_seconds.labels(route).observe(time.monotonic() - begun)


class SecurityHeaders:
    """Adds the headers to each response; pages other than static files are never cached."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: AsgiReceive, send: AsgiSend) -> None:
        static = scope.get("path", "").startswith("/static/")

        async def with_headers(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                more = [*SECURITY_HEADERS, (b"cache-control", b"max-age=300" if static else b"no-store")]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in present)]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class BodySizeLimit:
    """Refuses (413) a body that is too large, by its announced length or while it is received; /v1 has limits of its own."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: AsgiReceive, send: AsgiSend) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or is_openai_path(scope["path"]):
            await self.app(scope, receive, send)
            return
        limit = MAX_UPLOAD_BYTES if scope["path"].startswith(_UPLOAD_PATHS) else MAX_BODY_BYTES
        headers = dict(scope["headers"])
        announced, page = headers.get(b"content-length", b"0"), b"text/html" in headers.get(b"accept", b"")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > limit:
            await _send_too_large(send, limit, page)
            return
        seen, answered = 0, False

        async def bounded() -> AsgiMessage:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _BodyTooLarge
            return message

        async def honest(message: AsgiMessage) -> None:
            """Send the application's response, unless the body was too large, which the application may take for a broken body."""
            nonlocal answered
            if seen > limit and not answered:
                answered = True
                await _send_too_large(send, limit, page)
            elif seen <= limit:
                await send(message)

        try:
            await self.app(scope, bounded, honest)
        except _BodyTooLarge:
            if not answered:
                await _send_too_large(send, limit, page)


class _BodyTooLarge(Exception):
    pass


async def _send_too_large(send: AsgiSend, limit: int, page: bool) -> None:
    message = f"this is too large: at most {limit >> 20} MB at once"
    words = {"message": message, "hint": "send it in parts", "field": ""}
    kind, body = (
        ("text/html; charset=utf-8", _TOO_LARGE_PAGE.format(message=message))
        if page
        else ("application/json", json.dumps({"error": words}))
    )
    headers = [(b"content-type", kind.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
