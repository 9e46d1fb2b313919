"""Where the prompts of a run stand: which are held out, and what stays on one side of a split with them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

from preceptor.curation.shingles import exact_key
from preceptor.domain.items import text_of
from preceptor.snapshots import Snapshot
from preceptor.snapshots.completions import asked

HELD_OUT = ("validation", "test")


class Grouped(Protocol):
    """Something with a content and a group."""

    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def group(self) -> str: ...


class Prompts:
    """Prompts by their text, of a snapshot's rows first and then of others, with their groups."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def add(self, other: Grouped) -> None:
        """Know this one's group too."""
        self._groups.setdefault(key_of(other.content), other.group)

    def is_held_out(self, id_: str, content: Mapping[str, Any]) -> bool:
        """Whether this is a validation or test row, or asks what such a row and no train row asks."""
        key = key_of(content)
        return id_ in self._held_ids or (key in self._held and key not in self._groups)

    def group(self, content: Mapping[str, Any]) -> str:
        """The group of the row or item that asks this; of an unknown prompt one of its own."""
        key = key_of(content)
        return self._groups.get(key) or f"prompt-{key[:16]}"

    @cached_property
    def _groups(self) -> dict[str, str]:
        return {key_of(row.content): row.group for row in self.snapshot.rows("train")}

    @cached_property
    def _held_ids(self) -> set[str]:
        return {row.id for side in HELD_OUT for row in self.snapshot.rows(side)}

    @cached_property
    def _held(self) -> set[str]:
        return {key_of(row.content) for side in HELD_OUT for row in self.snapshot.rows(side)}


def key_of(content: Mapping[str, Any]) -> str:
    """Equal for contents that ask the same."""
    return exact_key(text_of(asked(content)))
