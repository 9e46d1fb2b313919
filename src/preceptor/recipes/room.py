"""How much of a batch goes through the model at once: all of it, until memory runs out; the gradient is the batch's either way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import read_json
from preceptor.models.memory import free_memory, out_of_memory

T = TypeVar("T")


class Room:
    """The most tokens at once, padding included: `most`, without it no limit until a batch didn't fit. Kept in the run's folder
    for its next start.

    A limit on tokens rather than rows: what is kept for the way back grows with them, and batches of short rows stay whole.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self.path, self.most = folder / "room.json", most
        self.refused: dict[str, int] = read_json(self.path) if self.path.exists() else {}

    @property
    def tokens(self) -> int | None:
        """The limit: half of the last batch that didn't fit, or what there was from the beginning."""
        return max(1, self.refused["rows"] * self.refused["longest"] // 2) if self.refused else self.most

    def pieces(self, rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
        """A batch's rows in as many parts as the limit asks for, at least one row each."""
        parts: list[list[int]] = [[]]
        for row in rows:
            longest = max(lengths[each] for each in [*parts[-1], row])
            if self.tokens is not None and parts[-1] and longest * (len(parts[-1]) + 1) > self.tokens:
                parts.append([])
            parts[-1].append(row)
        return parts

    def through(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        ids: Sequence[str],
        run: Callable[[list[list[int]]], T],
        *,
        divisible: bool = True,
    ) -> T:
        """`run` on the batch's pieces; again from its beginning, with half the room, as often as memory runs out.

        UserError when a single row doesn't fit, or a batch that isn't divisible. `run` must leave nothing behind that its next
        call doesn't undo.
        """
        while True:
            pieces = self.pieces(rows, lengths) if divisible else [list(rows)]
            try:
                return run(pieces)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            largest = max(pieces, key=lambda piece: len(piece) * max(lengths[row] for row in piece))
            longest = max(lengths[row] for row in largest)
            if len(largest) == 1:
                raise UserError(
                    f"memory doesn't hold row {ids[largest[0]]} by itself: it is {longest:,} tokens long",
                    "leave out long rows (max_tokens), train less of the model (adapter=lora), or take a smaller base",
                )
            if not divisible:
                raise UserError(
                    f"memory doesn't hold a batch of {len(rows):,} rows, and the loss compares them with each other",
                    f"take a smaller batch: batch_size={len(rows) // 2}",
                )
            self._halve(len(largest), longest)

    def words(self) -> list[str]:
        """What a reader should know of it."""
        if not self.refused:
            return []
        return [
            f"Memory didn't hold a batch of {self.refused['rows']:,} rows of {self.refused['longest']:,} tokens at once: batches went "
            f"through in pieces of at most {self.tokens:,} tokens, which together give the same gradient."
        ]

    def _halve(self, rows: int, longest: int) -> None:
        free_memory()
        self.refused = {"rows": rows, "longest": longest}
        with atomic_write(self.path, "w") as file:
            json.dump(self.refused, file)


@contextmanager
def memory_explained(base: Path) -> Iterator[None]:
    """A UserError for memory that runs out where no smaller batch helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            f"memory doesn't hold what training {base.name} takes beside its batches: weights, gradients and the optimiser's state",
            "train less of the model (adapter=lora), or take a smaller base",
        ) from error
