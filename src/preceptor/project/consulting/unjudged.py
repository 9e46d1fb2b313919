"""Items that nobody has judged for a snapshot's question, and that give away nothing of its validation and test rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.domain import Item
from preceptor.domain.items import text_of
from preceptor.formats.atomic import atomic_write
from preceptor.project.consulting.prompts import HELD_OUT, Prompts
from preceptor.project.curating.left_out import left_out
from preceptor.project.guiding.agreeing import Standing
from preceptor.recipes.consulting import Unlabelled
from preceptor.snapshots import Snapshot
from preceptor.snapshots.checks import clusters_of
from preceptor.snapshots.completions import asked
from preceptor.store import items

if TYPE_CHECKING:
    from preceptor.project.project import Project

FILE = "unlabelled.jsonl"  # in a run's folder: how many items there were, then those that it sees


@dataclass(frozen=True)
class Unjudged:
    """The same items at each call: those that nobody had judged when the run asked first, in order of arrival.

    What people answer about them meanwhile, and what is imported, changes nothing: a run that goes on sees what it saw before.
    """

    project: Project
    snapshot: Snapshot
    folder: Path
    prompts: Prompts

    def __call__(self) -> Iterator[Unlabelled]:
        if not self._path.is_file():
            count = _count(self.project)
            if not (found := free_items(self.project, self.snapshot)):
                return  # the next start looks anew: there may be some by then
            self._keep(count, found)
        with self._path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            next(file)
            for line in file:
                found_before = Unlabelled(**json.loads(line))
                self.prompts.add(found_before)  # so that what the run has people asked about it stays in its group
                yield found_before

    @property
    def looked_at(self) -> int | None:
        """How many items the project had when the run asked for these; None where it didn't."""
        if not self._path.is_file():
            return None
        with self._path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            return int(json.loads(next(file))["items"])

    @property
    def _path(self) -> Path:
        return self.folder / FILE

    def _keep(self, count: int, found: list[Item]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"id": item.id, "content": dict(item.content), "group": item.group} for item in found]
        with atomic_write(self._path) as file:
            for row in ({"items": count}, *rows):
                file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")


def has_come_since(project: Project, looked_at: int | None) -> bool:
    """Whether items have come since there were `looked_at`, when a run chose those that nobody had judged; False where it didn't (None)."""
    return looked_at is not None and _count(project) > looked_at


def unlabelled_now(project: Project, snapshot: Snapshot) -> Iterator[Unlabelled]:
    """What a run that began now would see."""
    return (Unlabelled(item.id, item.content, item.group) for item in free_items(project, snapshot))


def free_items(project: Project, snapshot: Snapshot) -> list[Item]:
    """Items without judgment, known answer or decision that are no row, and neither share a group with a held-out row nor are
    (nearly) the same as one, by the rule that ties rows to one side of the split."""
    held = [row for side in HELD_OUT for row in snapshot.rows(side)]
    names = {row.id for row in held}
    with project.database.reading() as connection:
        standing = Standing.of(connection, snapshot.question["name"])
        gone = {*standing.columns[0], *standing.gold, *left_out(connection, standing.key), *(row.id for row in snapshot.rows())}
        everything = list(items.stream(connection, standing.question.purpose))
    groups = {row.group for row in held} | {item.group for item in everything if item.id in names}
    found = [item for item in everything if item.id not in gone and item.group not in groups and item.text.strip()]
    texts = [text_of(asked(item.content)) if snapshot.target_kind == "text" else item.text for item in found]
    clusters, _ = clusters_of([*(row.text for row in held), *texts])
    given_away = set(clusters[: len(held)])
    return [item for item, cluster in zip(found, clusters[len(held) :], strict=True) if cluster not in given_away]


def _count(project: Project) -> int:
    with project.database.reading() as connection:
        return items.count(connection)
