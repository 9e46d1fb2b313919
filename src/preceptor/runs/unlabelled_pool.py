"""Select unjudged items for a run that leak nothing of its held-out rows.

An item leaks where it is a validation or test row, shares its group, or is a near-duplicate of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.formats.durable_files import atomic_write
from preceptor.quality.duplicates import exact_key
from preceptor.quality.leakage import cluster_duplicates
from preceptor.snapshots.curation import list_excluded_items
from preceptor.storage import items
from preceptor.storage.snapshots import Snapshot
from preceptor.training.recipe import UnlabelledItem
from preceptor.types import Item, render_content, strip_answer

if TYPE_CHECKING:
    from preceptor.project import Project


HELD_OUT_SPLITS = ("validation", "test")


class GroupedContent(Protocol):
    """Something with a content and a group."""

    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def group(self) -> str: ...


class PromptGroups:
    """The groups of prompts by their text, first those of a snapshot's rows, then those that are added."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def add(self, other: GroupedContent) -> None:
        """Add the group of a further prompt."""
        self._groups.setdefault(prompt_key(other.content), other.group)

    def is_held_out(self, id_: str, content: Mapping[str, Any]) -> bool:
        """Return whether this is a validation or test row, or has the prompt of such a row and of no train row."""
        key = prompt_key(content)
        return id_ in self._held_out_ids or (key in self._held_out_keys and key not in self._groups)

    def get_group(self, content: Mapping[str, Any]) -> str:
        """Return the group of the row or item with this prompt; for an unknown prompt a group of its own."""
        key = prompt_key(content)
        return self._groups.get(key) or f"prompt-{key[:16]}"

    @cached_property
    def _groups(self) -> dict[str, str]:
        return {prompt_key(row.content): row.group for row in self.snapshot.rows("train")}

    @cached_property
    def _held_out_ids(self) -> set[str]:
        return {row.id for side in HELD_OUT_SPLITS for row in self.snapshot.rows(side)}

    @cached_property
    def _held_out_keys(self) -> set[str]:
        return {prompt_key(row.content) for side in HELD_OUT_SPLITS for row in self.snapshot.rows(side)}


def prompt_key(content: Mapping[str, Any]) -> str:
    """Return a key that is equal for contents with the same prompt."""
    return exact_key(render_content(strip_answer(content)))


_UNLABELLED_FILE = "unlabelled.jsonl"  # in a run's folder: the number of items in the project, then the items that the run sees


@dataclass(frozen=True)
class UnlabelledItems:
    """The unjudged items of a run, the same at each call: those without judgments when the run asked first, in order of arrival.

    Later judgments and imports change nothing: a resumed run sees what it saw before.
    """

    project: Project
    snapshot: Snapshot
    folder: Path
    prompts: PromptGroups

    def __call__(self) -> Iterator[UnlabelledItem]:
        if not self._path.is_file():
            count = _count_items(self.project)
            if not (found := find_unlabelled_items(self.project, self.snapshot)):
                return  # the next start looks again: there may be some by then
            self._write(count, found)
        with self._path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            next(file)
            for line in file:
                found_before = UnlabelledItem(**json.loads(line))
                self.prompts.add(found_before)  # so that questions of the run about it stay in its group
                yield found_before

    @property
    def project_item_count(self) -> int | None:
        """The number of items in the project when the run asked for these; None where it didn't."""
        if not self._path.is_file():
            return None
        with self._path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            return int(json.loads(next(file))["items"])

    @property
    def _path(self) -> Path:
        return self.folder / _UNLABELLED_FILE

    def _write(self, count: int, found: list[Item]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"id": item.id, "content": dict(item.content), "group": item.group} for item in found]
        with atomic_write(self._path) as file:
            for row in ({"items": count}, *rows):
                file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


def has_new_items(project: Project, looked_at: int | None) -> bool:
    """Return whether items have come since there were `looked_at`, when a run chose unjudged ones; False where it didn't (None)."""
    return looked_at is not None and _count_items(project) > looked_at


def list_unlabelled(project: Project, snapshot: Snapshot) -> Iterator[UnlabelledItem]:
    """Return an iterator over the unjudged items that a run started now would see."""
    return (UnlabelledItem(item.id, item.content, item.group) for item in find_unlabelled_items(project, snapshot))


def find_unlabelled_items(project: Project, snapshot: Snapshot) -> list[Item]:
    """Find the items without judgment, gold answer or adjudication that leak nothing of the held-out rows.

    They are no row of the snapshot, share no group with a held-out row, and are no near-duplicate of one, by the rule that keeps
    near-duplicates in one split.
    """
    held = [row for side in HELD_OUT_SPLITS for row in snapshot.rows(side)]
    names = {row.id for row in held}
    with project.database.reading() as connection:
        standing = JudgmentSet.load(connection, snapshot.question["name"])
        gone = {*standing.columns[0], *standing.gold, *list_excluded_items(connection, standing.key), *(row.id for row in snapshot.rows())}
        everything = list(items.stream(connection, standing.question.purpose))
    groups = {row.group for row in held} | {item.group for item in everything if item.id in names}
    found = [item for item in everything if item.id not in gone and item.group not in groups and item.text.strip()]
    texts = [render_content(strip_answer(item.content)) if snapshot.target_kind == "text" else item.text for item in found]
    clusters, _ = cluster_duplicates([*(row.text for row in held), *texts])
    given_away = set(clusters[: len(held)])
    return [item for item, cluster in zip(found, clusters[len(held) :], strict=True) if cluster not in given_away]


def _count_items(project: Project) -> int:
    with project.database.reading() as connection:
        return items.count(connection)
