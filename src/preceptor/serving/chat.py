"""/v1/chat/completions: answers, whole or as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.project import Visitor
from preceptor.project.live import meters
from preceptor.serving.asking import ChatRequest
from preceptor.serving.bodies import json_of
from preceptor.serving.call import Call
from preceptor.serving.callers import caller
from preceptor.serving.counting import about_model
from preceptor.serving.drawing import Drawing
from preceptor.serving.settling import settle
from preceptor.serving.state import state_of
from preceptor.serving.streaming import events
from preceptor.serving.telling import whole

if TYPE_CHECKING:
    from preceptor.models.generation import Piece

router = APIRouter()
Chatter = Annotated[Visitor, Depends(caller("chat"))]
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@router.post("/chat/completions")
async def complete(request: Request, visitor: Chatter) -> Response:
    """Answer a conversation. What can't be honoured is refused, and nothing is ignored."""
    asked, state = ChatRequest.of(await json_of(request)), state_of(request)
    begun, until = time.monotonic(), asyncio.get_running_loop().time() + state.project.config.serving.deadline
    call = await run_in_threadpool(Call.of, state, visitor, asked)
    about_model(request, call.model.name)
    under_way = UnderWay(request, await Drawing.begin(call, until))
    try:
        first = await under_way.drawing.next()  # what goes wrong before the first token is an error of the whole request
        meters.first_token.observe(time.monotonic() - begun)
        if asked.stream:
            return StreamingResponse(_streamed(under_way, first), media_type="text/event-stream", headers=STREAM_HEADERS)
        await under_way.drawing.rest()
        answer = whole(under_way.drawing, await settle(under_way.drawing))
    except BaseException:
        under_way.end()
        raise
    under_way.end()
    return JSONResponse(answer)


class UnderWay:
    """A drawing that is counted, and left off as soon as its client has hung up."""

    def __init__(self, request: Request, drawing: Drawing) -> None:
        self.drawing = drawing
        self._ended = False
        self._watch = asyncio.create_task(self._look(request))
        meters.under_way.inc()

    def end(self) -> None:
        """All was said, or nobody hears it."""
        if not self._ended:
            self._ended = True
            self._watch.cancel()
            self.drawing.end()
            meters.under_way.dec()

    async def _look(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.drawing.hang_up()
        self.end()


async def _streamed(under_way: UnderWay, first: Piece) -> AsyncIterator[str]:
    try:
        async for text in events(under_way.drawing, first):
            yield text
    finally:
        under_way.end()
