"""A stream: who speaks, pieces as they come, why each answer ended, the usage if it is asked for, and the end.

Where a person may have to answer, nothing is told before it is known who does; comments keep the connection open meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.live import meters
from preceptor.serving import faults
from preceptor.serving.drawing import Drawing
from preceptor.serving.faults import GONE, Refused
from preceptor.serving.settling import Settled, keep_cut, settle
from preceptor.serving.telling import chunk, ending, event, opening, text_of, with_usage

if TYPE_CHECKING:
    from preceptor.models.generation import Piece

ALIVE_SECONDS = 10.0  # between two comments
ALIVE = ": still at it\n\n"


async def events(drawing: Drawing, first: Piece) -> AsyncIterator[str]:
    """The events of a stream whose first piece is there; an error after that is its last event."""
    try:
        for number in range(drawing.call.asked.n):
            yield chunk(drawing, [opening(number)])
        body = _as_they_come(drawing, first) if drawing.call.least is None else _once_it_is_known(drawing)
        async for text in body:
            yield text
        yield "data: [DONE]\n\n"
    except Exception as error:  # the response has begun, so its status can't say it any more
        if isinstance(error, Refused) and error.status == GONE:
            return
        meters.broken.inc()
        faults.LOG.error("a stream broke off: %s", error, exc_info=None if isinstance(error, UserError) else error)
        words = Refused("something went wrong here, and is in the server's log", "try again", code="internal_error", status=500)
        yield event(faults.body(error if isinstance(error, UserError) else words))
    finally:
        if not drawing.settled:
            asyncio.get_running_loop().run_in_executor(None, keep_cut, drawing)  # nobody waits for it any more


async def _as_they_come(drawing: Drawing, first: Piece) -> AsyncIterator[str]:
    """Pieces, and the last one's end once the whole is settled."""
    piece, logprobs = first, drawing.call.asked.logprobs
    while True:
        for choice in text_of(piece, logprobs=logprobs):
            yield chunk(drawing, [choice])
        if not drawing.open:
            break
        if piece.finish:
            yield chunk(drawing, [ending(piece.choice, piece.finish)])
        piece = await drawing.next()
    for text in _end(drawing, await settle(drawing), ending(piece.choice, piece.finish)):
        yield text


async def _once_it_is_known(drawing: Drawing) -> AsyncIterator[str]:
    """The answer as a whole, the model's or a person's."""
    waiting = asyncio.ensure_future(_drawn_and_settled(drawing))
    try:
        while not (await asyncio.wait([waiting], timeout=ALIVE_SECONDS))[0]:
            yield ALIVE
    finally:
        waiting.cancel()
    settled = waiting.result()
    if settled.text is None:
        for piece in drawing.pieces:
            for choice in text_of(piece, logprobs=drawing.call.asked.logprobs):
                yield chunk(drawing, [choice])
    else:
        yield chunk(drawing, [{"index": 0, "delta": {"content": settled.text}, "logprobs": None, "finish_reason": None}])
    finish = drawing.answers()[0].finish if settled.text is None else "stop"
    for text in _end(drawing, settled, ending(0, finish)):
        yield text


async def _drawn_and_settled(drawing: Drawing) -> Settled:
    await drawing.rest()
    return await settle(drawing)


def _end(drawing: Drawing, settled: Settled, last: dict[str, Any]) -> list[str]:
    """The last answer's end and the usage; what we tell beside OpenAI's fields stands in the very last chunk."""
    if not with_usage(drawing):
        return [chunk(drawing, [last], **settled.more)]
    return [chunk(drawing, [last]), chunk(drawing, [], usage=drawing.usage, **settled.more)]
