"""A chat call: what is asked of which model, by whom, and on which documents the answer is to rest."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from preceptor.project import Visitor
from preceptor.project.live.catalog import Offered
from preceptor.project.live.confidence import confidence_of, threshold_of
from preceptor.serving.asking import USUAL_TOKENS, ChatRequest
from preceptor.serving.conversation import turns
from preceptor.serving.faults import Refused
from preceptor.serving.models import find
from preceptor.serving.state import State
from preceptor.serving.wishes import Wishes

if TYPE_CHECKING:
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.generation import Request as Asked
    from preceptor.project.documents.grounding import Grounded


@dataclass
class Call:
    """said: the conversation as it came. turns: what the model reads, with the sources that `grounded` has found, where it was asked for.

    least: the confidence below which a person answers, None where nobody said so. gone: set when the client has hung up.
    """

    state: State
    visitor: Visitor
    asked: ChatRequest
    model: Offered
    wishes: Wishes
    said: list[dict[str, str]]
    least: float | None = None
    grounded: Grounded | None = None
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, state: State, visitor: Visitor, asked: ChatRequest) -> Call:
        """What a body asks for; Refused for what can't be honoured. Reads the database."""
        model = find(state, asked.model, visitor)
        wishes = Wishes.of(asked.metadata, state.project.config.serving, choices=asked.n)
        made = cls(state, visitor, asked, model, wishes, turns(asked.messages))
        made.least = made._least()
        return made

    @property
    def turns(self) -> list[dict[str, str]]:
        return self.said if self.grounded is None else list(self.grounded.turns)

    @property
    def alias(self) -> str:
        """The name by which the model was called, empty when it was its own."""
        return "" if self.model.name == self.model.fingerprint else self.model.name

    def about(self, kind: str) -> dict[str, Any]:
        """What stands in each document of the response: `model` is the name that was asked for, the fingerprint tells the true one."""
        fingerprint = f"fp_{self.model.fingerprint}"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model.name, "system_fingerprint": fingerprint}

    def prompt(self) -> Asked:
        """What the model reads, as tokens; of the sources as many of the best as leave room for the answer. Refused where it's too long."""
        from preceptor.models.chat import TooLong
        from preceptor.models.generation import Request as Asked
        from preceptor.project.documents.grounding import ANSWER

        asked, chat = self.asked, self._chat()
        if self.wishes.documents:
            rule = {"k": self.state.project.config.serving.sources, "answer_tokens": asked.tokens or ANSWER}
            self.grounded = self.state.grounding.ground(self.said, filters=self.wishes.filters, chat=chat, **rule)
        prompt = chat.prompt(self.turns)
        try:
            room = chat.room(prompt, asked.tokens, USUAL_TOKENS)
        except TooLong as fault:
            raise Refused(fault.message, fault.hint, param=fault.where, code="context_length_exceeded") from None
        # Log-probabilities are drawn along unasked: by them it is known how sure the model is.
        return Asked(prompt, room, asked.sampling(len(chat.tokenizer)), asked.n, asked.stops, asked.top or 0)

    def _chat(self) -> ChatTokenizer:
        """What lays the conversation out, and up to how many tokens: no more than are read where it is drawn."""
        chat = self.state.chat.tokenizer(self.state.catalog.folder(self.model))
        most = None if self.state.upstream is None else self.state.upstream.most_tokens(self.model)
        return chat if most is None else chat.within(most)

    def _least(self) -> float | None:
        """The call's own wish, else what a manager chose for the model or its alias."""
        project, model, wish = self.state.project, self.model.fingerprint, self.wishes.min_confidence
        if wish and confidence_of(project, model, (0.0,)) is None:
            hint = f"preceptor calibrate {model}, or leave preceptor.min_confidence out"
            message = f"nothing tells yet how sure {self.model.name} may be"
            raise Refused(message, hint, param="metadata.preceptor.min_confidence", code="not_calibrated", status=409)
        least = threshold_of(project, model, self.alias) if wish is None else wish
        if least and self.asked.n > 1:
            raise Refused("people answer in this model's place where it isn't sure: one answer at a time", "set n to 1", param="n")
        return least or None
