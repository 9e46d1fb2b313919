"""Continuous batching (Yu et al. 2022): answers that are drawn together, a token a step; requests join and leave between any two steps.

Prompts are read on caches of their own, those of like length together, long ones in parts (chunked prefill), and go over into the
running cache once they are read; so nobody waits for another's long prompt or answer. Where beginnings of prompts are kept
(`prefixes`), only what follows is read. What a request gets is what it would get alone, up to the order of sums.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from preceptor.models.cached import Reader, left_padded
from preceptor.models.chat import ChatModel
from preceptor.models.drawing import Piece, Request, Row
from preceptor.models.padded import PaddedCache, token_bytes
from preceptor.models.prefixes import BLOCK, Prefixes, digests_of

PART = 512  # tokens of prompts, over all rows, that are read in one step
PART_BESIDE = 128  # where answers under way wait for it: about as long as their own step takes
WORTH = 2  # blocks that a prompt waits for, when another that begins so is being read


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that can't be answered, and why."""

    request: int
    error: Exception


@dataclass(eq=False)
class _Reading:
    """Tokens to read, and the answers that go on from there; none: nobody wants them any more."""

    tokens: list[int]
    rows: list[Row]
    digests: list[bytes]
    alone: bool = False  # reading it with others failed

    @property
    def request(self) -> int:
        return self.rows[0].request if self.rows else -1


@dataclass(eq=False)
class _Group:
    """Prompts that are read together. ids, mask, positions: (prompts, tokens left to read); the mask also of what the cache holds."""

    readings: list[_Reading]
    cache: PaddedCache
    ids: Any
    mask: Any
    positions: Any
    read: int = 0

    @property
    def tokens(self) -> int:
        return int(self.mask.numel())


@dataclass
class _Running:
    """Answers under way, and how many tokens of each the cache holds."""

    cache: PaddedCache
    rows: list[Row] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


class Batch:
    """The answers of one model that are drawn together.

    prefixes: where beginnings of prompts are kept. Without them the batch is somebody's own, who waits for all answers: all prompts
    are read before the first answer goes on.
    """

    def __init__(self, chat: ChatModel, requests: Iterable[Request] = (), prefixes: Prefixes | None = None) -> None:
        self._chat, self._reader, self._prefixes, self._salt = chat, Reader(chat.model), prefixes, secrets.token_bytes(16)
        self._count = 0
        self._unread: list[_Reading] = []
        self._groups: deque[_Group] = deque()
        self._running = self._none_running()
        self._paused: dict[int, list[_Reading]] = {}
        self._shapes: list[tuple[int, int, int]] = []
        self.reused: dict[int, int] = {}  # by request: tokens of its prompt that were found, once it is being read
        for request in requests:
            self.join(request)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not (self._unread or self._groups or self._running.rows)

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values are in memory, or will be once all prompts that have joined are read; padding included."""
        waiting = sum(len(reading.tokens) * len(reading.rows) for reading in self._unread)
        return self._running.cache.width * len(self._running.rows) + sum(group.tokens for group in self._groups) + waiting

    @property
    def token_bytes(self) -> int:
        """Bytes of a token's keys and values."""
        if not self._shapes:
            return token_bytes(self._chat.model)
        return sum(heads * (key + value) for heads, key, value in self._shapes) * int(self._chat.model.dtype.itemsize)

    def with_more(self, rows: int, length: int) -> int:
        """What `tokens` comes to once so many rows of this length have joined."""
        running = self._running
        return self.tokens + max(running.cache.width, length) * (len(running.rows) + rows) - running.cache.width * len(running.rows)

    def join(self, request: Request) -> int:
        """Begin to answer a request; its number, under which its pieces come."""
        number, self._count = self._count, self._count + 1
        rows = [Row(self._chat, number, choice, request) for choice in range(request.choices)]
        self._unread.append(self._reading(list(request.prompt), rows))
        return number

    def cancel(self, number: int) -> None:
        """Leave off answering a request."""
        self._paused.pop(number, None)
        self.reused.pop(number, None)
        self._unread = [reading for reading in self._unread if reading.request != number]
        for group in self._groups:
            for reading in group.readings:
                if reading.request == number:
                    reading.rows = []  # it is read with the others, and then left
        self._groups = deque(group for group in self._groups if any(reading.rows for reading in group.readings))
        self._keep([at for at, row in enumerate(self._running.rows) if row.request != number])

    def cut(self, number: int) -> list[Piece]:
        """End a request's answers where they are; none where none has begun."""
        rows = [row for row in self._running.rows if row.request == number]
        rows += [row for reading in self._readings() for row in reading.rows if row.request == number and row.tokens]
        self.cancel(number)
        return [row.cut() for row in rows]

    def pause(self, number: int) -> int:
        """Give up the room of a request's answers under way, until they may go on (`resume`); how many tokens they will need then, 0 where
        none is under way."""
        rows = [row for row in self._running.rows if row.request == number]
        if not rows:
            return 0
        self._paused[number] = [self._reading([*row.asked.prompt, *row.tokens], [row]) for row in rows]
        self._keep([at for at, row in enumerate(self._running.rows) if row.request != number])
        return sum(len(reading.tokens) for reading in self._paused[number])

    def resume(self, number: int) -> None:
        """Go on with a request that was paused: what was said is read again."""
        self._unread += self._paused.pop(number)

    def step(self) -> list[Piece | Fault]:
        """Draw the next token of each answer, and read a part of the prompts; what is new."""
        with torch.inference_mode():
            self._gather()
            reads_first = self._prefixes is None and bool(self._groups)
            said = [] if reads_first else self._go_on()
            return said + self._read_on(PART_BESIDE if self._running.rows and not reads_first else PART)

    def _go_on(self) -> list[Piece | Fault]:
        running = self._running
        if not running.rows:
            return []
        running.lengths = [length + 1 for length in running.lengths]
        lengths = torch.tensor(running.lengths, device=self._chat.model.device)[:, None]
        width = running.cache.width + 1
        mask = (torch.arange(width, device=lengths.device) >= width - lengths).long()
        ids = torch.tensor([row.tokens[-1:] for row in running.rows], device=lengths.device)
        try:
            logits = self._reader.read(running.cache, ids, mask, lengths - 1)
        except Exception as error:
            failed, self._running = {row.request for row in running.rows}, self._none_running()
            return [Fault(number, error) for number in sorted(failed)]
        return self._draw(running.rows, logits)

    def _gather(self) -> None:
        """Begin to read who waits, those of like length together."""
        while readings := self._alike():
            self._unread = [reading for reading in self._unread if reading not in readings]
            self._groups.append(self._begin(readings))

    def _alike(self) -> list[_Reading]:
        taken: list[_Reading] = []
        lengths: list[int] = []
        for reading in self._unread:
            if self._comes(reading, taken):
                continue
            rest = len(reading.tokens) - self._known(reading) * BLOCK
            padded = max([rest, *lengths]) * (len(lengths) + 1)
            if taken and (reading.alone or padded > min(PART, 2 * (sum(lengths) + rest))):
                continue
            taken.append(reading)
            lengths.append(rest)
            if reading.alone:
                break
        return taken

    def _known(self, reading: _Reading) -> int:
        """Blocks of it that are kept; at least one token is left to read."""
        return 0 if self._prefixes is None else self._prefixes.known(reading.digests[: (len(reading.tokens) - 1) // BLOCK])

    def _comes(self, reading: _Reading, taken: Sequence[_Reading]) -> bool:
        """Whether much of it is being read already, for another."""
        if self._prefixes is None:
            return False
        known = self._known(reading)
        others = [*taken, *(each for group in self._groups for each in group.readings)]
        return any(known + WORTH <= _shared(reading.digests, other.digests) for other in others)

    def _begin(self, readings: list[_Reading]) -> _Group:
        """A cache that holds what is known of each, as far as all can be read on together from there."""
        rest = max(len(reading.tokens) - self._known(reading) * BLOCK for reading in readings)
        held = [max(0, len(reading.tokens) - rest) for reading in readings]
        cache = PaddedCache(self._chat.model.config)
        if self._prefixes is not None and any(held):
            found = {
                at: self._prefixes.take(readings[at].digests[: -(-tokens // BLOCK)])[:tokens] for at, tokens in enumerate(held) if tokens
            }
            nothing = next(iter(found.values()))[:0]
            for at in range(len(readings)):
                cache.join(found.get(at, nothing), self._shapes)
        for reading, tokens in zip(readings, held, strict=True):
            if not reading.rows[0].tokens:
                self.reused[reading.request] = tokens
        ids, mask = left_padded([reading.tokens for reading in readings], self._chat.model.device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return _Group(readings, cache, ids[:, -rest:], mask, positions[:, -rest:])

    def _read_on(self, part: int) -> list[Piece | Fault]:
        """A part of the prompts whose turn it is; once they are read, their answers begin."""
        if not self._groups:
            return []
        group = self._groups.popleft()
        until = group.read + max(1, part // len(group.readings))
        ids, positions = group.ids[:, group.read : until], group.positions[:, group.read : until]
        before = group.mask.shape[1] - group.ids.shape[1]
        try:
            logits = self._reader.read(group.cache, ids, group.mask[:, : before + group.read + ids.shape[1]], positions)
        except Exception as error:
            return self._failed(group, error)
        group.read += ids.shape[1]
        if group.read < group.ids.shape[1]:
            self._groups.append(group)
            return []
        return self._branch(group, logits)

    def _failed(self, group: _Group, error: Exception) -> list[Piece | Fault]:
        """Whose fault it was is seen when each is read alone."""
        wanted = [reading for reading in group.readings if reading.rows]
        if len(wanted) == 1:
            return [Fault(wanted[0].request, error)]
        for reading in wanted:
            reading.alone = True
        self._unread = wanted + self._unread
        return []

    def _branch(self, group: _Group, logits: Any) -> list[Piece | Fault]:
        """From one row a prompt to one row an answer."""
        self._shapes = group.cache.shapes
        width, rows, of = group.cache.width, [], []
        for at, reading in enumerate(group.readings):
            if not reading.rows:
                continue
            kept = group.cache.row_of(at, width - len(reading.tokens), width)
            if self._prefixes is not None:
                first = self._prefixes.known(reading.digests)
                self._prefixes.put(reading.digests, first, kept[first * BLOCK :])
            for row in reading.rows:
                self._running.cache.join(kept, self._shapes)
                self._running.rows.append(row)
                self._running.lengths.append(len(reading.tokens))
                rows.append(row)
                of.append(at)
        return self._draw(rows, logits[of])

    def _draw(self, rows: list[Row], logits: Any) -> list[Piece | Fault]:
        log_probabilities = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
        said: list[Piece | Fault] = []
        ended: set[int] = set()
        for row, scores in zip(list(rows), log_probabilities, strict=True):
            try:
                said.append(piece := row.draw(scores))
            except Exception as error:
                said.append(Fault(row.request, error))
                ended.update(id(other) for other in self._running.rows if other.request == row.request)
                continue
            if piece.finish:
                ended.add(id(row))
        self._remember([at for at, row in enumerate(self._running.rows) if id(row) in ended])
        self._keep([at for at, row in enumerate(self._running.rows) if id(row) not in ended])
        return said

    def _remember(self, rows: Sequence[int]) -> None:
        """Keep what was said for the next turn of the conversation."""
        running = self._running
        for at in rows if self._prefixes is not None else ():
            row, length = running.rows[at], running.lengths[at]
            digests = digests_of([*row.asked.prompt, *row.tokens][:length], self._salt_of(row))
            first, begin = self._prefixes.known(digests), running.cache.width - length  # type: ignore[union-attr]
            if first < len(digests):
                kept = running.cache.row_of(at, begin + first * BLOCK, begin + len(digests) * BLOCK)
                self._prefixes.put(digests, first, kept)  # type: ignore[union-attr]

    def _keep(self, rows: Sequence[int]) -> None:
        """Keep these rows; the last ones fill the others' places."""
        running = self._running
        if len(rows) == len(running.rows):
            return
        if not rows:
            self._running = self._none_running()
            return
        last = iter([at for at in rows if at >= len(rows)])
        order = [at if at in rows else next(last) for at in range(len(rows))]
        running.rows, running.lengths = [running.rows[at] for at in order], [running.lengths[at] for at in order]
        running.cache.keep(order, max(running.lengths))

    def _reading(self, tokens: list[int], rows: list[Row]) -> _Reading:
        return _Reading(tokens, rows, [] if self._prefixes is None else digests_of(tokens, self._salt_of(rows[0])))

    def _salt_of(self, row: Row) -> bytes:
        """How fast a prompt was read would tell its caller what another has sent: nobody finds what another's prompts begin with."""
        return self._salt + row.asked.caller.encode()

    def _readings(self) -> list[_Reading]:
        paused = [each for readings in self._paused.values() for each in readings]
        return [*self._unread, *(each for group in self._groups for each in group.readings), *paused]

    def _none_running(self) -> _Running:
        return _Running(PaddedCache(self._chat.model.config))


def _shared(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many blocks both begin with."""
    return next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), min(len(one), len(other)))
