"""Who calls: a bearer token, and whether its scopes allow what is asked."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from preceptor.project import Forbidden, Visitor
from preceptor.serving.faults import Refused
from preceptor.serving.state import state_of


def caller(*scopes: str) -> Callable[[Request], Coroutine[Any, Any, Visitor]]:
    """A dependency: who calls; refused unless their token has one of these scopes."""

    async def check(request: Request) -> Visitor:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused("a token is missing", "send it: Authorization: Bearer TOKEN (api_key=TOKEN)", code="missing_api_key", status=401)
        visitor = await run_in_threadpool(state_of(request).access.by_token, token.strip())
        if visitor is None:
            hint = "ask the owner of the project for one: preceptor people invite NAME --scope chat --scope train"
            raise Refused("this token is not valid, or no longer", hint, code="invalid_api_key", status=401)
        if not any(visitor.may(scope) for scope in scopes):
            raise Forbidden(f"{visitor.name} may not do this", f"it takes a token with the scope {' or '.join(scopes)}")
        return visitor

    return check
