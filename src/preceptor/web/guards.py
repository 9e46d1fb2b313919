"""What every request passes: headers that browsers obey, and a bound on what may be sent."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
LARGEST = 1 << 20  # bytes of a request
LARGEST_UPLOAD = 64 << 20  # bytes of a file, or of many items at once
PAGE = (  # for a browser whose form no script sends; nothing of the application has been asked yet, so that it is on its own
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Not done</title>'
    "<main><h1>Not taken: {message}</h1><p>Go back in your browser to shorten it; nothing else of yours is lost.</p></main></html>"
)
UPLOADS = ("/api/v1/items", "/manage/import")


class SecurityHeaders:
    """Adds the headers to each response; pages of people's work are never cached."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        static = scope.get("path", "").startswith("/static/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                more = [*HEADERS, (b"cache-control", b"max-age=300" if static else b"no-store")]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in present)]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses (413) a body that is too large, by its announced length or while it comes in."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        limit = LARGEST_UPLOAD if scope["path"].startswith(UPLOADS) else LARGEST
        headers = dict(scope["headers"])
        announced, page = headers.get(b"content-length", b"0"), b"text/html" in headers.get(b"accept", b"")
        if not announced.isdigit() or len(announced) > 18 or int(announced) > limit:
            await _refuse(send, limit, page)
            return
        seen, answered = 0, False

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLarge
            return message

        async def honest(message: Message) -> None:
            """What the application says, unless it mistakes the end of our patience for a broken body."""
            nonlocal answered
            if seen > limit and not answered:
                answered = True
                await _refuse(send, limit, page)
            elif seen <= limit:
                await send(message)

        try:
            await self.app(scope, bounded, honest)
        except _TooLarge:
            if not answered:
                await _refuse(send, limit, page)


class _TooLarge(Exception):
    pass


async def _refuse(send: Send, limit: int, page: bool) -> None:
    message = f"this is too large: at most {limit >> 20} MB at once"
    words = {"message": message, "hint": "send it in parts", "field": ""}
    kind, body = ("text/html; charset=utf-8", PAGE.format(message=message)) if page else ("application/json", json.dumps({"error": words}))
    headers = [(b"content-type", kind.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
