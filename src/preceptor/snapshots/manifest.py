"""Snapshots on disk: written once under their digest, verified when loaded, compared row by row."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from preceptor.domain import Question, digest_of
from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write, full_disk_in_words
from preceptor.formats.checksums import check_folder, rewrite, write_checksums
from preceptor.questions import kinds
from preceptor.snapshots.rows import SPLITS, Row
from preceptor.store import Objects

TargetKind = Literal["nominal", "ordinal", "multilabel", "text"]
_TARGETS: dict[str, TargetKind] = {"interval": "ordinal", "sets": "multilabel", "texts": "text"}  # by what the kind's agreement is


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of rows. `digest` covers inputs, targets, weights and splits; `manifest` says how they came about."""

    digest: str
    manifest: Mapping[str, Any]
    _rows: tuple[Row, ...]

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """From its folder, or by its digest from the project in the current folder; UserError if it was altered."""
        folder = Path(source)
        if not (folder / "manifest.json").exists():
            folder = Objects(Path("objects")).path(str(source))
        check_folder(folder, "manifest.json", "rows.jsonl", hint="restore objects/ from a backup")
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            rows = tuple(_read_rows(folder / "rows.jsonl"))
            intact = digest_of_rows(rows) == manifest["digest"]
        except FileNotFoundError:
            raise UserError(f"there is no snapshot {str(source)!r} here", "give its folder, or run this in the project's folder") from None
        except (ValueError, TypeError, KeyError):  # no JSON, or not of a row
            intact = False
        if not intact:
            raise UserError(f"snapshot {folder.name[:12]} was altered on disk", "restore objects/ from a backup", where=str(folder))
        return cls(manifest["digest"], manifest, rows)

    def __repr__(self) -> str:
        return f"<Snapshot {self.digest[:12]} of {self.question['name']!r}: {len(self._rows):,} rows>"

    @property
    def answers(self) -> tuple[str, ...]:
        """The possible answers, in the question's order; none where they are texts."""
        return tuple(self.manifest["question"]["answers"])

    @property
    def question(self) -> Mapping[str, Any]:
        """Name, kind, version, instructions and answers of the question."""
        return self.manifest["question"]  # type: ignore[no-any-return]

    @property
    def target_kind(self) -> TargetKind:
        """How the answers relate: one of them is right (nominal), one of them in an order (ordinal: classes of a rating, or choices
        that are rising numbers), each applies or doesn't by itself (multilabel), or they are texts."""
        kind = self.question["kind"]
        if kind == "choice":
            return "ordinal" if len(self.answers) > 2 and _rises(self.answers) else "nominal"
        return _TARGETS.get(kinds.get(kind).level, "nominal")

    def rows(self, split: str | None = None) -> Iterator[Row]:
        """The rows of a split, or all. The test split is for evaluation, which counts its openings."""
        if split is not None and split not in SPLITS:
            raise UserError(f"no split is called {split!r}", f"splits: {', '.join(SPLITS)}")
        return (row for row in self._rows if split in (None, row.split))

    def lineage(self, row: Row | str) -> tuple[int, ...]:
        """The numbers of the judgments that a row, given itself or by its item's id, rests on."""
        id_ = row if isinstance(row, str) else row.id
        for candidate in self._rows:
            if candidate.id == id_:
                return candidate.lineage
        raise UserError(f"item {id_!r} is not in snapshot {self.digest[:12]}")

    def summary(self) -> dict[str, Any]:
        """Rows, groups and answers of each split."""
        sides = {side: list(self.rows(side)) for side in SPLITS}
        said = {side: [answer for row in rows for answer in self.said(row)] for side, rows in sides.items()}
        return {
            "rows": {side: len(rows) for side, rows in sides.items()},
            "groups": {side: len({row.group for row in rows}) for side, rows in sides.items()},
            "answers": {side: dict(sorted(Counter(answers).items())) for side, answers in said.items()},
            "checks": self.manifest["checks"],
        }

    def said(self, row: Row) -> tuple[str, ...]:
        """What a row counts for: its answer, or each of its labels; nothing where it is a text."""
        if self.target_kind == "multilabel":
            return row.labels
        return (row.answer,) if self.answers else ()


def write_snapshot(objects: Objects, question: Question, answers: Sequence[Any], rows: Sequence[Row], about: Mapping[str, Any]) -> Snapshot:
    """Keep rows as a snapshot; the same rows again are the same snapshot."""
    asked = {"name": question.name, "kind": question.kind, "version": question.version, "instructions": question.instructions}
    return keep_rows(objects, {**asked, "answers": [] if question.kind == "write" else [str(answer) for answer in answers]}, rows, about)


def keep_rows(objects: Objects, question: Mapping[str, Any], rows: Sequence[Row], about: Mapping[str, Any]) -> Snapshot:
    """The same, of a question as a manifest holds it."""
    digest = digest_of_rows(rows)
    manifest = {**about, "digest": digest, "question": dict(question), "count": len(rows)}
    with full_disk_in_words(objects.path(digest)):
        objects.root.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix="snapshot-", dir=objects.root))
        try:
            with atomic_write(staged / "rows.jsonl") as file:
                for row in rows:
                    file.write(json.dumps(_to_json(row), sort_keys=True, ensure_ascii=False).encode() + b"\n")
            with atomic_write(staged / "manifest.json") as file:
                file.write(json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).encode())
            write_checksums(staged)
            folder = objects.adopt(staged, digest)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return Snapshot.load(folder)


def forget_judgments(objects: Objects, digest: str, gone: Collection[int]) -> None:
    """Let a snapshot's rows rest on these judgments no more; its digest doesn't cover them, and stays."""
    folder = objects.path(digest)
    rows = [replace(row, lineage=tuple(number for number in row.lineage if number not in gone)) for row in Snapshot.load(folder).rows()]
    lines = (json.dumps(_to_json(row), sort_keys=True, ensure_ascii=False).encode() + b"\n" for row in rows)
    rewrite(folder / "rows.jsonl", b"".join(lines))


def digest_of_rows(rows: Sequence[Row]) -> str:
    """Hex sha256 over what a digest covers, independent of the order of rows."""
    total = hashlib.sha256()
    for line in sorted(digest_of(row.covered()) for row in rows):
        total.update(bytes.fromhex(line))
    return total.hexdigest()


def _rises(answers: Sequence[str]) -> bool:
    """Whether all are numbers, each greater than the one before."""
    try:
        numbers = [float(answer) for answer in answers]
    except ValueError:
        return False
    return all(before < after for before, after in pairwise(numbers))


def _to_json(row: Row) -> dict[str, Any]:
    names = ("id", "content", "target", "weight", "split", "group", "lineage")
    return {name: getattr(row, name) for name in names}


def _read_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            values = json.loads(line)
            yield Row(**{**values, "lineage": tuple(values["lineage"])})
