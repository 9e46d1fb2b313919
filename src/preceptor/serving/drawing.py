"""One answer under way: pieces come into a queue, from the engine of this process or from the server behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from preceptor.project.live import meters
from preceptor.serving import classify
from preceptor.serving.call import Call
from preceptor.serving.faults import GONE, Refused
from preceptor.serving.unread import Unread

if TYPE_CHECKING:
    from preceptor.models.engine import Ticket
    from preceptor.models.generation import Answer, Piece

T = TypeVar("T")


@dataclass
class Drawing:
    """open: answers that haven't ended. until: the loop's time at which it is too late. pieces: those that were heard, in order.

    reused: tokens of the prompt that weren't read again, None where nobody says. settled: whether the answer was cited and kept.
    among: the answers that a model chooses among, the most probable first.
    """

    call: Call
    open: int
    until: float
    prompt_tokens: int = 0
    reused: int | None = None
    drawn: int = 0
    settled: bool = False
    among: tuple[str, ...] = ()
    pieces: list[Piece] = field(default_factory=list)
    ticket: Ticket | None = None
    cancel: Callable[[], Any] = lambda: None
    queue: Unread = field(init=False)

    def __post_init__(self) -> None:
        self.queue = Unread(lambda: self.cancel())

    @classmethod
    async def begin(cls, call: Call, until: float) -> Drawing:
        """Ask the engine; Refused when the conversation doesn't fit the model or time runs out, Busy when too many wait.

        until: the loop's time at which the answer is too late, whatever it is that takes so long.
        """
        loop, state = asyncio.get_running_loop(), call.state
        made = cls(call, call.asked.n, until)
        if call.model.kind == "classify":
            made.cancel = classify.draw(made)
            return made
        deadline = time.monotonic() + until - loop.time()
        request = replace(await made.within(call.prompt), deadline=deadline, caller=call.visitor.name)
        made.prompt_tokens = len(request.prompt)
        if state.upstream is not None and (name := state.upstream.name_of(call.model)) is not None:
            made.cancel = state.upstream.draw(made, name, request)
            return made
        engine = await made.within(state.chat.engine)

        def hear(piece: Piece | Exception) -> None:
            loop.call_soon_threadsafe(made.queue.put_nowait, piece)

        made.ticket = engine.submit(state.catalog.folder(call.model), request, hear)
        made.cancel = made.ticket.cancel
        return made

    async def within(self, work: Callable[..., T], *about: Any) -> T:
        """What work in a thread comes to; Refused (504) where it isn't done in time. A model's first call loads its libraries so."""
        try:
            async with asyncio.timeout_at(self.until):  # leaves the thread to itself, which Starlette's own pool wouldn't
                return await asyncio.get_running_loop().run_in_executor(self.call.state.chat.threads, work, *about)
        except TimeoutError:
            raise self._too_late() from None

    def _too_late(self) -> Refused:
        message = f"the answer wasn't there within {self.call.state.project.config.serving.deadline:g} seconds"
        hint = "ask for fewer tokens, or try again; [serving] deadline in preceptor.toml"
        return Refused(message, hint, code="deadline_exceeded", status=504)

    async def next(self) -> Piece:
        """The next piece of any answer; raises what went wrong, and what came too late (504)."""
        from preceptor.models.engine import Late

        try:
            async with asyncio.timeout_at(self.until):
                piece = await self.queue.get()
        except TimeoutError:
            piece = Late()
        if isinstance(piece, Late):
            raise self._too_late()
        if isinstance(piece, Exception):
            raise piece
        self.open -= bool(piece.finish)
        self.drawn += piece.drawn
        self.pieces.append(piece)
        return piece

    async def rest(self) -> None:
        """Wait until all answers have ended."""
        while self.open:
            await self.next()

    def answers(self) -> list[Answer]:
        """What was drawn, by choice."""
        from preceptor.models.generation import Answer, joined

        mine = [[piece for piece in self.pieces if piece.choice == number] for number in range(self.call.asked.n)]
        return [joined(pieces) if pieces else Answer("", (), 0, "") for pieces in mine]

    @property
    def usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.drawn}
        if (reused := self.reused if self.ticket is None else self.ticket.reused) is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": reused, "audio_tokens": 0}
        return {**usage, "total_tokens": self.prompt_tokens + self.drawn}

    def end(self) -> None:
        """Nobody wants more of it; what it took is counted."""
        self.cancel()
        for kind, count in (("prompt", self.prompt_tokens), ("completion", self.drawn)):
            meters.tokens.labels(self.call.model.name, kind).inc(count)
        meters.note_figures()

    def hang_up(self) -> None:
        """The client is gone."""
        self.call.gone.set()
        self.cancel()
        self.queue.put_nowait(Refused("the client has hung up", code="client_closed", status=GONE))


def as_answered(drawing: Drawing) -> dict[str, Any]:
    """How an answer was asked for, as far as its text depends on it."""
    asked = drawing.call.asked
    names = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "n")
    return {name: getattr(asked, name) for name in names} | {"stop": list(asked.stops), "max_tokens": asked.tokens}
