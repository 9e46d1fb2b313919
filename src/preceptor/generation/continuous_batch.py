"""Generate answers together by continuous batching with chunked prefill (Yu et al. 2022, Orca).

Prompts are read into caches of their own, those of similar length together, long ones in parts (chunked prefill), and join the running
cache once they are read, so that no request waits for another's long prompt or answer. With a prefix cache (`prefixes`), only what follows
a cached prefix is read. A request gets the answer that it would get alone, up to the order of sums.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from preceptor.generation.kv_cache import BLOCK_TOKENS, CachedModel, PaddedCache, PrefixCache, hash_blocks, kv_bytes_per_token, pad_left
from preceptor.generation.sampling import ActiveSequence, GenerationChunk, GenerationRequest
from preceptor.models.causal_lm import ChatModel

PREFILL_CHUNK = 512  # prompt tokens, over all rows, that are read in one step
PREFILL_CHUNK_WHILE_DECODING = 128  # while answers are being generated: takes about as long as their own step
MIN_SHARED_BLOCKS = 2  # a prompt waits for another that is being read if that saves it at least this many blocks


@dataclass(frozen=True, slots=True)
class RequestFailure:
    """A request that failed, and its error."""

    request: int
    error: Exception


@dataclass(eq=False)
class _PendingPrefill:
    """Tokens to read, and the sequences that continue from them; no sequences: the request was cancelled."""

    tokens: list[int]
    rows: list[ActiveSequence]
    digests: list[bytes]
    alone: bool = False  # to be read by itself, since reading it with others failed

    @property
    def request(self) -> int:
        return self.rows[0].request if self.rows else -1


@dataclass(eq=False)
class _PrefillGroup:
    """Prompts that are read together.

    ids, positions: (prompts, tokens left to read). mask: (prompts, cached tokens + tokens left to read).
    """

    prefills: list[_PendingPrefill]
    cache: PaddedCache
    ids: Any
    mask: Any
    positions: Any
    read_count: int = 0

    @property
    def tokens(self) -> int:
        return int(self.mask.numel())


@dataclass
class _DecodeState:
    """The sequences that are being generated, and how many tokens of each the cache holds."""

    cache: PaddedCache
    rows: list[ActiveSequence] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


class ContinuousBatch:
    """A batch that generates the answers of one model together; requests join and leave it between any two steps.

    prefixes: the cache of prompt prefixes. Without it the batch belongs to one caller, who waits for all answers: all prompts are read
    before the first answer is continued.
    """

    def __init__(self, chat: ChatModel, requests: Iterable[GenerationRequest] = (), prefixes: PrefixCache | None = None) -> None:
        self._chat, self._reader, self._prefixes, self._salt = chat, CachedModel(chat.model), prefixes, secrets.token_bytes(16)
        self._count = 0
        self._waiting_prefills: list[_PendingPrefill] = []
        self._groups: deque[_PrefillGroup] = deque()
        self._running = self._empty_state()
        self._paused: dict[int, list[_PendingPrefill]] = {}
        self._shapes: list[tuple[int, int, int]] = []
        self.cached_tokens: dict[int, int] = {}  # by request: prompt tokens found in the prefix cache, once its prompt is being read
        for request in requests:
            self.add_request(request)

    @property
    def done(self) -> bool:
        """Whether no work is left."""
        return not (self._waiting_prefills or self._groups or self._running.rows)

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values are in memory, or will be once the prompts of all requests that joined are read; with padding."""
        waiting = sum(len(reading.tokens) * len(reading.rows) for reading in self._waiting_prefills)
        return self._running.cache.width * len(self._running.rows) + sum(group.tokens for group in self._groups) + waiting

    @property
    def bytes_per_token(self) -> int:
        """Bytes of one token's keys and values."""
        if not self._shapes:
            return kv_bytes_per_token(self._chat.model)
        return sum(heads * (key + value) for heads, key, value in self._shapes) * int(self._chat.model.dtype.itemsize)

    def tokens_with(self, rows: int, length: int) -> int:
        """Return what `tokens` will be once `rows` sequences of this length have joined."""
        running = self._running
        return self.tokens + max(running.cache.width, length) * (len(running.rows) + rows) - running.cache.width * len(running.rows)

    def add_request(self, request: GenerationRequest) -> int:
        """Add a request and return its number, which its chunks carry."""
        number, self._count = self._count, self._count + 1
        rows = [ActiveSequence(self._chat, number, choice, request) for choice in range(request.choices)]
        self._waiting_prefills.append(self._make_prefill(list(request.prompt), rows))
        return number

    def cancel(self, number: int) -> None:
        """Stop generating a request's answers and forget it."""
        self._paused.pop(number, None)
        self.cached_tokens.pop(number, None)
        self._waiting_prefills = [reading for reading in self._waiting_prefills if reading.request != number]
        for group in self._groups:
            for reading in group.prefills:
                if reading.request == number:
                    reading.rows = []  # it is read with the others, then dropped
        self._groups = deque(group for group in self._groups if any(reading.rows for reading in group.prefills))
        self._keep_rows([at for at, row in enumerate(self._running.rows) if row.request != number])

    def end_early(self, number: int) -> list[GenerationChunk]:
        """End a request's answers where they are and return their last chunks; an empty list if none has begun."""
        rows = [row for row in self._running.rows if row.request == number]
        rows += [row for reading in self._all_prefills() for row in reading.rows if row.request == number and row.tokens]
        self.cancel(number)
        return [row.end_early() for row in rows]

    def pause(self, number: int) -> int:
        """Free the cache space of a request's active sequences until `resume`, and return the tokens they will need then.

        0 if the request has no active sequence.
        """
        rows = [row for row in self._running.rows if row.request == number]
        if not rows:
            return 0
        self._paused[number] = [self._make_prefill([*row.params.prompt, *row.tokens], [row]) for row in rows]
        self._keep_rows([at for at, row in enumerate(self._running.rows) if row.request != number])
        return sum(len(reading.tokens) for reading in self._paused[number])

    def resume(self, number: int) -> None:
        """Resume a paused request: its prompt and what was generated so far are read again."""
        self._waiting_prefills += self._paused.pop(number)

    def step(self) -> list[GenerationChunk | RequestFailure]:
        """Sample the next token of each answer, read a part of the prompts, and return the new chunks and failures."""
        with torch.inference_mode():
            self._form_groups()
            reads_first = self._prefixes is None and bool(self._groups)
            said = [] if reads_first else self._decode_step()
            return said + self._prefill_step(PREFILL_CHUNK_WHILE_DECODING if self._running.rows and not reads_first else PREFILL_CHUNK)

    def _decode_step(self) -> list[GenerationChunk | RequestFailure]:
        running = self._running
        if not running.rows:
            return []
        running.lengths = [length + 1 for length in running.lengths]
        lengths = torch.tensor(running.lengths, device=self._chat.model.device)[:, None]
        width = running.cache.width + 1
        mask = (torch.arange(width, device=lengths.device) >= width - lengths).long()
        ids = torch.tensor([row.tokens[-1:] for row in running.rows], device=lengths.device)
        try:
            logits = self._reader.next_logits(running.cache, ids, mask, lengths - 1)
        except Exception as error:
            failed, self._running = {row.request for row in running.rows}, self._empty_state()
            return [RequestFailure(number, error) for number in sorted(failed)]
        return self._sample(running.rows, logits)

    def _form_groups(self) -> None:
        """Start to read the waiting prompts, those of similar length together."""
        while readings := self._select_similar():
            self._waiting_prefills = [reading for reading in self._waiting_prefills if reading not in readings]
            self._groups.append(self._start_group(readings))

    def _select_similar(self) -> list[_PendingPrefill]:
        taken: list[_PendingPrefill] = []
        lengths: list[int] = []
        for reading in self._waiting_prefills:
            if self._is_being_read(reading, taken):
                continue
            rest = len(reading.tokens) - self._count_cached_blocks(reading) * BLOCK_TOKENS
            padded = max([rest, *lengths]) * (len(lengths) + 1)
            if taken and (reading.alone or padded > min(PREFILL_CHUNK, 2 * (sum(lengths) + rest))):
                continue
            taken.append(reading)
            lengths.append(rest)
            if reading.alone:
                break
        return taken

    def _count_cached_blocks(self, reading: _PendingPrefill) -> int:
        """Return how many blocks of a prompt are cached; at least one token is left to read."""
        return 0 if self._prefixes is None else self._prefixes.count_cached(reading.digests[: (len(reading.tokens) - 1) // BLOCK_TOKENS])

    def _is_being_read(self, reading: _PendingPrefill, taken: Sequence[_PendingPrefill]) -> bool:
        """Return whether another prompt that is being read shares enough of this one's prefix to wait for it."""
        if self._prefixes is None:
            return False
        known = self._count_cached_blocks(reading)
        others = [*taken, *(each for group in self._groups for each in group.prefills)]
        return any(known + MIN_SHARED_BLOCKS <= _count_shared_blocks(reading.digests, other.digests) for other in others)

    def _start_group(self, readings: list[_PendingPrefill]) -> _PrefillGroup:
        """Create a group whose cache holds each prompt's cached prefix, cut so that all have equally many tokens left to read."""
        rest = max(len(reading.tokens) - self._count_cached_blocks(reading) * BLOCK_TOKENS for reading in readings)
        held = [max(0, len(reading.tokens) - rest) for reading in readings]
        cache = PaddedCache(self._chat.model.config)
        if self._prefixes is not None and any(held):
            found = {
                at: self._prefixes.get_blocks(readings[at].digests[: -(-tokens // BLOCK_TOKENS)])[:tokens]
                for at, tokens in enumerate(held)
                if tokens
            }
            nothing = next(iter(found.values()))[:0]
            for at in range(len(readings)):
                cache.add_row(found.get(at, nothing), self._shapes)
        for reading, tokens in zip(readings, held, strict=True):
            if not reading.rows[0].tokens:
                self.cached_tokens[reading.request] = tokens
        ids, mask = pad_left([reading.tokens for reading in readings], self._chat.model.device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return _PrefillGroup(readings, cache, ids[:, -rest:], mask, positions[:, -rest:])

    def _prefill_step(self, part: int) -> list[GenerationChunk | RequestFailure]:
        """Read a part of the next group of prompts; start their sequences once they are read."""
        if not self._groups:
            return []
        group = self._groups.popleft()
        until = group.read_count + max(1, part // len(group.prefills))
        ids, positions = group.ids[:, group.read_count : until], group.positions[:, group.read_count : until]
        before = group.mask.shape[1] - group.ids.shape[1]
        try:
            logits = self._reader.next_logits(group.cache, ids, group.mask[:, : before + group.read_count + ids.shape[1]], positions)
        except Exception as error:
            return self._retry_alone(group, error)
        group.read_count += ids.shape[1]
        if group.read_count < group.ids.shape[1]:
            self._groups.append(group)
            return []
        return self._start_sequences(group, logits)

    def _retry_alone(self, group: _PrefillGroup, error: Exception) -> list[GenerationChunk | RequestFailure]:
        """Queue each prompt of a failed group to be read alone, which shows the one that fails."""
        wanted = [reading for reading in group.prefills if reading.rows]
        if len(wanted) == 1:
            return [RequestFailure(wanted[0].request, error)]
        for reading in wanted:
            reading.alone = True
        self._waiting_prefills = wanted + self._waiting_prefills
        return []

    def _start_sequences(self, group: _PrefillGroup, logits: Any) -> list[GenerationChunk | RequestFailure]:
        """Move a group's cached rows to the running cache, one row for each answer."""
        self._shapes = group.cache.shapes
        width, rows, of = group.cache.width, [], []
        for at, reading in enumerate(group.prefills):
            if not reading.rows:
                continue
            kept = group.cache.copy_row(at, width - len(reading.tokens), width)
            if self._prefixes is not None:
                first = self._prefixes.count_cached(reading.digests)
                self._prefixes.put_blocks(reading.digests, first, kept[first * BLOCK_TOKENS :])
            for row in reading.rows:
                self._running.cache.add_row(kept, self._shapes)
                self._running.rows.append(row)
                self._running.lengths.append(len(reading.tokens))
                rows.append(row)
                of.append(at)
        return self._sample(rows, logits[of])

    def _sample(self, rows: list[ActiveSequence], logits: Any) -> list[GenerationChunk | RequestFailure]:
        log_probabilities = torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
        said: list[GenerationChunk | RequestFailure] = []
        ended: set[int] = set()
        for row, scores in zip(list(rows), log_probabilities, strict=True):
            try:
                said.append(piece := row.sample_token(scores))
            except Exception as error:
                said.append(RequestFailure(row.request, error))
                ended.update(id(other) for other in self._running.rows if other.request == row.request)
                continue
            if piece.finish:
                ended.add(id(row))
        self._cache_finished([at for at, row in enumerate(self._running.rows) if id(row) in ended])
        self._keep_rows([at for at, row in enumerate(self._running.rows) if id(row) not in ended])
        return said

    def _cache_finished(self, rows: Sequence[int]) -> None:
        """Put prompts and answers into the prefix cache, for the conversation's next turn."""
        running = self._running
        for at in rows if self._prefixes is not None else ():
            row, length = running.rows[at], running.lengths[at]
            digests = hash_blocks([*row.params.prompt, *row.tokens][:length], self._caller_salt(row))
            first, begin = self._prefixes.count_cached(digests), running.cache.width - length  # type: ignore[union-attr]
            if first < len(digests):
                kept = running.cache.copy_row(at, begin + first * BLOCK_TOKENS, begin + len(digests) * BLOCK_TOKENS)
                self._prefixes.put_blocks(digests, first, kept)  # type: ignore[union-attr]

    def _keep_rows(self, rows: Sequence[int]) -> None:
        """Keep these rows; the last of them fill the places of those removed."""
        running = self._running
        if len(rows) == len(running.rows):
            return
        if not rows:
            self._running = self._empty_state()
            return
        last = iter([at for at in rows if at >= len(rows)])
        order = [at if at in rows else next(last) for at in range(len(rows))]
        running.rows, running.lengths = [running.rows[at] for at in order], [running.lengths[at] for at in order]
        running.cache.keep_rows(order, max(running.lengths))

    def _make_prefill(self, tokens: list[int], rows: list[ActiveSequence]) -> _PendingPrefill:
        return _PendingPrefill(tokens, rows, [] if self._prefixes is None else hash_blocks(tokens, self._caller_salt(rows[0])))

    def _caller_salt(self, row: ActiveSequence) -> bytes:
        """Return the salt of a caller's digests.

        Reading times would reveal to a caller what another has sent, so prefixes are only shared within one caller.
        """
        return self._salt + row.params.caller.encode()

    def _all_prefills(self) -> list[_PendingPrefill]:
        paused = [each for readings in self._paused.values() for each in readings]
        return [*self._waiting_prefills, *(each for group in self._groups for each in group.prefills), *paused]

    def _empty_state(self) -> _DecodeState:
        return _DecodeState(PaddedCache(self._chat.model.config))


def _count_shared_blocks(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """Return how many leading blocks both share."""
    return next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), min(len(one), len(other)))
