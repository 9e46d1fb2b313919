"""Rows in the form of a snapshot, for benches that make their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.types import json_digest


@dataclass(frozen=True)
class Given:
    """A training and a validation side; nothing is tested on."""

    train: Sequence[SnapshotRow]
    validation: Sequence[SnapshotRow]
    answers: tuple[str, ...] = ()
    target_kind: str = "text"

    @property
    def digest(self) -> str:
        return json_digest([row.digest_fields() for row in (*self.train, *self.validation)])

    def rows(self, split: str) -> Iterator[SnapshotRow]:
        return iter(getattr(self, split, ()))
