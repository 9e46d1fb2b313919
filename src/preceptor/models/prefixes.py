"""Keys and values of what prompts begin with, kept for the next prompt that begins so: a system prompt, earlier turns.

Kept in blocks of so many tokens, each under a digest of all tokens up to its end (as vLLM's automatic prefix caching does), so
that what many prompts share is kept once. Those not asked for longest make room.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from preceptor.models.tokens import TokenIds

BLOCK = 32  # tokens


class Prefixes:
    """Blocks by their digests."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Any] = OrderedDict()
        self.bytes = 0

    @property
    def tokens(self) -> int:
        return len(self._blocks) * BLOCK

    def known(self, digests: Sequence[bytes]) -> int:
        """How many blocks are here, from the first one on."""
        return next((at for at, digest in enumerate(digests) if digest not in self._blocks), len(digests))

    def take(self, digests: Sequence[bytes]) -> Any:
        """Keys and values of these blocks, which are all here, one after the other: (tokens, numbers)."""
        self._touch(digests)
        return torch.cat([self._blocks[digest] for digest in digests])

    def put(self, digests: Sequence[bytes], first: int, row: Any) -> None:
        """Keep blocks, of which those before `first` are here; row: keys and values from there on, (tokens, numbers)."""
        for at, digest in enumerate(digests[first:]):
            before = self._blocks.get(digest)
            self._blocks[digest] = row[at * BLOCK : (at + 1) * BLOCK].clone()
            self.bytes += self._blocks[digest].nbytes - (0 if before is None else before.nbytes)
        self._touch(digests)

    def shrink(self, most: int) -> None:
        """Leave at most so many bytes."""
        while self._blocks and self.bytes > most:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes

    def _touch(self, digests: Sequence[bytes]) -> None:
        for digest in reversed(digests):  # the first block is the last to go: the others are nothing without it
            if digest in self._blocks:
                self._blocks.move_to_end(digest)


def digests_of(tokens: TokenIds, salt: bytes) -> list[bytes]:
    """A digest for each whole block, of all tokens up to its end. salt: sets one model's and one caller's apart from others'."""
    return list(_digests(np.asarray(tokens, dtype=np.int64), salt))


def _digests(tokens: Any, salt: bytes) -> Iterator[bytes]:
    digest = salt
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        digest = hashlib.blake2b(digest + tokens[end - BLOCK : end].tobytes(), digest_size=16).digest()
        yield digest
