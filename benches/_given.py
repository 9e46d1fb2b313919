"""Rows in the form of a snapshot, for benches that make their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from preceptor.domain import digest_of
from preceptor.snapshots import Row


@dataclass(frozen=True)
class Given:
    """A training and a validation side; nothing is tested on."""

    train: Sequence[Row]
    validation: Sequence[Row]
    answers: tuple[str, ...] = ()
    target_kind: str = "text"

    @property
    def digest(self) -> str:
        return digest_of([row.covered() for row in (*self.train, *self.validation)])

    def rows(self, split: str) -> Iterator[Row]:
        return iter(getattr(self, split, ()))
