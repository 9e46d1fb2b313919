"""Answers token by token: many prompts at once, keys and values of what was read kept, each answer drawn by its own settings.

Prompts are padded on the left, so that all answers grow at the same place and a window over the last tokens is the same for
each. A long prompt is read in parts, between which others get their turn. What is drawn from is what `scoring` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from transformers import DynamicCache

from preceptor.domain.results import FloatArray
from preceptor.models.cached import Reader, left_padded
from preceptor.models.chat import ChatModel
from preceptor.models.joining import TextStream
from preceptor.models.sampling import Sampler, Sampling
from preceptor.models.tokens import TokenIds
from preceptor.models.vocabulary import shown, token_bytes

PART = 512  # tokens of a prompt, over all rows, that are read in one step
BATCH_TOKENS = 4096
Finish = Literal["", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: the prompt's tokens, how many tokens an answer may have, how many answers, where they stop.

    top: how many of the most probable tokens are told beside each drawn one, with log-probabilities; none: nothing is.
    """

    prompt: TokenIds
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    choices: int = 1
    stop: tuple[str, ...] = ()
    top: int | None = None


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


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    said: tuple[Said, ...]
    drawn: int
    finish: Finish


class Batch:
    """Requests that are answered together, a token a step; what is finished no longer costs anything."""

    def __init__(self, chat: ChatModel, requests: Sequence[Request]) -> None:
        self._chat, self._reader = chat, Reader(chat.model)
        self._requests = list(requests)
        self._rows = [_Row(chat, number, choice, request) for number, request in enumerate(requests) for choice in range(request.choices)]
        self._prompts, self._mask = left_padded([request.prompt for request in requests], chat.model.device)
        self._positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        self._read, self._cache = 0, DynamicCache(config=chat.model.config)

    @property
    def done(self) -> bool:
        """Whether all answers have ended."""
        return not self._rows

    def cancel(self, request: int) -> None:
        """Leave off answering a request."""
        keep = [at for at, row in enumerate(self._rows) if row.request != request]
        if self._read == self._prompts.shape[1]:
            self._keep(keep)
        else:
            self._rows = [self._rows[at] for at in keep]  # it is read with the others, and then left

    def step(self) -> list[Piece]:
        """Read a part of the prompts, or draw the next token of each answer; what is new."""
        with torch.inference_mode():
            return self._step()

    def _step(self) -> list[Piece]:
        if self.done:
            return []
        longest = self._prompts.shape[1]
        if self._read < longest:
            logits = self._read_part()
            if self._read < longest:
                return []
            self._branch()
            return self._draw(logits[[row.request for row in self._rows]])
        ids = torch.tensor([[row.last] for row in self._rows], device=self._mask.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._rows), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1
        return self._draw(self._reader.read(self._cache, ids, self._mask, self._positions))

    def _read_part(self) -> Any:
        part = slice(self._read, self._read + max(1, PART // len(self._prompts)))
        ids = self._prompts[:, part]
        self._read += ids.shape[1]
        return self._reader.read(self._cache, ids, self._mask[:, : self._read], self._positions[:, part])

    def _branch(self) -> None:
        """From one row a request to one row an answer."""
        of = torch.tensor([row.request for row in self._rows], device=self._mask.device)
        self._mask, self._positions = self._mask[of], self._positions[of]
        self._cache.batch_select_indices(of)

    def _draw(self, logits: Any) -> list[Piece]:
        log_probabilities = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
        pieces = [row.draw(scores) for row, scores in zip(self._rows, log_probabilities, strict=True)]
        self._keep([at for at, piece in enumerate(pieces) if not piece.finish])
        return [piece for piece in pieces if piece.text or piece.said or piece.finish or piece.drawn]

    def _keep(self, rows: Sequence[int]) -> None:
        if len(rows) == len(self._rows):
            return
        self._rows = [self._rows[at] for at in rows]
        of = torch.tensor(list(rows), dtype=torch.long, device=self._mask.device)
        self._mask, self._positions = self._mask[of], self._positions[of]
        if rows:
            self._cache.batch_select_indices(of)
        else:
            self._cache = None


@dataclass
class _Row:
    """One answer as it grows."""

    chat: ChatModel
    request: int
    choice: int
    asked: Request
    last: int = -1
    drawn: int = 0
    held: list[tuple[Said, int, int]] = field(default_factory=list)  # not told yet, with where its text begins and ends

    def __post_init__(self) -> None:
        self.sampler, self.stream = Sampler(self.asked.sampling, self.choice), TextStream(self.chat.tokenizer, self.asked.stop)

    def draw(self, log_probabilities: FloatArray) -> Piece:
        self.last, self.drawn = self.sampler.draw(log_probabilities), self.drawn + 1
        if self.last in self.chat.ends:
            return self._piece(self.stream.finish(), "stop")
        begin = len(self.stream)
        text = self.stream.push(self.last)
        if self.asked.top is not None:
            self.held.append((said(self.chat.tokenizer, log_probabilities, self.last, self.asked.top), begin, len(self.stream)))
        if self.stream.stopped:
            return self._piece(text, "stop")
        if self.drawn >= self.asked.max_tokens:
            text += self.stream.finish()
            return self._piece(text, "stop" if self.stream.stopped else "length")
        return self._piece(text, "")

    def _piece(self, text: str, finish: Finish) -> Piece:
        return Piece(self.request, self.choice, text, self._told(finish), 1, finish)

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
    best = np.argpartition(-log_probabilities, min(top, len(log_probabilities) - 1))[:top]
    best = best[np.argsort(-log_probabilities[best], kind="stable")]
    told = [(token_bytes(tokenizer, each), float(log_probabilities[each])) for each in (token, *map(int, best))]
    (data, value), *others = told
    return Said(shown(data), data, value, tuple((shown(other), other, number) for other, number in others))


def answers(
    chat: ChatModel, requests: Sequence[Request], *, batch_tokens: int = BATCH_TOKENS, progress: Callable[[int], None] | None = None
) -> list[list[Answer]]:
    """All answers to each request, in order, batched by length. progress: called with how many requests are answered."""
    found: list[list[Answer]] = [[] for _ in requests]
    ready = 0
    for rows in _batches(requests, batch_tokens):
        batch = Batch(chat, [requests[row] for row in rows])
        kept: dict[tuple[int, int], list[Piece]] = {}
        while not batch.done:
            for piece in batch.step():
                kept.setdefault((piece.request, piece.choice), []).append(piece)
        for (request, _), pieces in sorted(kept.items()):
            found[rows[request]].append(joined(pieces))
        ready += len(rows)
        if progress is not None:
            progress(ready)
    return found


def joined(pieces: Sequence[Piece]) -> Answer:
    """The pieces of one answer as a whole."""
    told = tuple(each for piece in pieces for each in piece.said)
    return Answer("".join(piece.text for piece in pieces), told, sum(piece.drawn for piece in pieces), pieces[-1].finish)


def _batches(requests: Sequence[Request], batch_tokens: int) -> Iterator[list[int]]:
    """Requests of similar length, together at most `batch_tokens` tokens with padding and answers."""
    order = sorted(range(len(requests)), key=lambda row: (-len(requests[row].prompt), row))
    batch: list[int] = []
    cost = 0
    for row in order:
        each = (len(requests[(batch or [row])[0]].prompt) + requests[row].max_tokens) * requests[row].choices
        if batch and cost + each > batch_tokens:
            yield batch
            batch, cost = [], 0
            each = (len(requests[row].prompt) + requests[row].max_tokens) * requests[row].choices
        batch.append(row)
        cost += each
    if batch:
        yield batch
