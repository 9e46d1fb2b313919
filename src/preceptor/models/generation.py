"""Answers to many prompts, batched by length, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from preceptor.models.batch import Batch, Fault
from preceptor.models.chat import ChatModel
from preceptor.models.drawing import Finish, Piece, Request, Said
from preceptor.models.solo_batch import batch_of

__all__ = ["Answer", "Batch", "Piece", "Request", "Said", "answers", "joined"]
BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    said: tuple[Said, ...]
    drawn: int
    finish: Finish


def answers(
    chat: ChatModel, requests: Sequence[Request], *, batch_tokens: int = BATCH_TOKENS, progress: Callable[[int], None] | None = None
) -> list[list[Answer]]:
    """All answers to each request, in order, batched by length. progress: called with how many requests are answered."""
    found: list[list[Answer]] = [[] for _ in requests]
    ready = 0
    for rows in _batches(requests, batch_tokens):
        batch = batch_of(chat, [requests[row] for row in rows])
        kept: dict[tuple[int, int], list[Piece]] = {}
        while not batch.done:
            for piece in batch.step():
                if isinstance(piece, Fault):
                    raise piece.error
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
