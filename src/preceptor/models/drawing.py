"""What is asked of a model that writes, and one answer as it grows, token by token.

What is drawn from is what `scoring` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.models.chat import ChatTokenizer
from preceptor.models.joining import TextStream
from preceptor.models.sampling import Sampler, Sampling
from preceptor.models.tokens import TokenIds
from preceptor.models.vocabulary import shown, token_bytes

Finish = Literal["", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: the prompt's tokens, how many tokens an answer may have, how many answers, where they stop.

    top: how many of the most probable tokens are told beside each drawn one, with log-probabilities; none: nothing is.
    deadline: of `time.monotonic`; when it has passed, what there is has to do. caller: whose it is; beginnings of prompts are found
    again by the same caller only.
    """

    prompt: TokenIds
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    choices: int = 1
    stop: tuple[str, ...] = ()
    top: int | None = None
    deadline: float | None = None
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A token as it is told: its text (see `vocabulary.shown`), its bytes, its log-probability before any settings, in nats."""

    text: str
    data: bytes
    log_probability: float
    top: tuple[tuple[str, bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """What is new of an answer: text, tokens told where asked for, how many tokens were drawn; finish says why it ended, if it did."""

    request: int
    choice: int
    text: str
    said: tuple[Said, ...]
    drawn: int
    finish: Finish = ""


@dataclass(eq=False)
class Row:
    """One answer as it grows."""

    chat: ChatTokenizer
    request: int
    choice: int
    asked: Request
    tokens: list[int] = field(default_factory=list)  # drawn so far
    held: list[tuple[Said, int, int]] = field(default_factory=list)  # not told yet, with where its text begins and ends

    def __post_init__(self) -> None:
        self.sampler, self.stream = Sampler(self.asked.sampling, self.choice), TextStream(self.chat.tokenizer, self.asked.stop)

    def draw(self, log_probabilities: FloatArray) -> Piece:
        """The next token, of these (vocabulary,), and what it adds."""
        token = self.sampler.draw(log_probabilities)
        if token in self.chat.ends or self.asked.top is None:
            return self.add(token, None)
        return self.add(token, said(self.chat.tokenizer, log_probabilities, token, self.asked.top))

    def add(self, token: int, told: Said | None) -> Piece:
        """What a drawn token adds. told: the token as it is told; of one that ends the answer nothing is."""
        self.tokens.append(token)
        if token in self.chat.ends:
            return self._piece(self.stream.finish(), 1, "stop")
        begin = len(self.stream)
        text = self.stream.push(token)
        if told is not None:
            self.held.append((told, begin, len(self.stream)))
        if self.stream.stopped:
            return self._piece(text, 1, "stop")
        if len(self.tokens) >= self.asked.max_tokens:
            text += self.stream.finish()
            return self._piece(text, 1, "stop" if self.stream.stopped else "length")
        return self._piece(text, 1, "")

    def cut(self, finish: Finish = "length") -> Piece:
        """The end, wherever it is."""
        return self._piece(self.stream.finish(), 0, finish)

    def _piece(self, text: str, drawn: int, finish: Finish) -> Piece:
        return Piece(self.request, self.choice, text, self._told(finish), drawn, finish)

    def _told(self, finish: Finish) -> tuple[Said, ...]:
        """Tokens whose text has been told; at the end all but those behind a stop sequence's beginning."""
        until = self.stream.told
        if not finish:
            count = next((at for at, (_, begin, end) in enumerate(self.held) if end > until or begin == end == until), len(self.held))
        elif self.stream.stopped:
            count = next((at for at, (_, begin, _) in enumerate(self.held) if begin >= until), len(self.held))
        else:
            count = len(self.held)
        told, self.held = self.held[:count], self.held[count:]
        return tuple(each for each, _, _ in told)


def said(tokenizer: Any, log_probabilities: FloatArray, token: int, top: int) -> Said:
    """A drawn token, and the `top` most probable ones, with their log-probabilities."""
    best: Sequence[int] = ()
    if top:  # a look at the whole vocabulary
        some = np.argpartition(-log_probabilities, min(top, len(log_probabilities) - 1))[:top]
        best = some[np.argsort(-log_probabilities[some], kind="stable")].tolist()
    return spoken(tokenizer, [(each, float(log_probabilities[each])) for each in (token, *best)])


def spoken(tokenizer: Any, tokens: Sequence[tuple[int, float]]) -> Said:
    """A drawn token with its log-probability, and after it others that might have been drawn, as they are told."""
    (data, value), *others = [(token_bytes(tokenizer, token), number) for token, number in tokens]
    return Said(shown(data), data, value, tuple((shown(other), other, number) for other, number in others))
