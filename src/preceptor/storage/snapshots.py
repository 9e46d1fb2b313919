"""Store snapshots on disk: written once under their digest, verified when loaded, derived from each other and compared row by row.

A snapshot that a person's decision changes is a new one, derived from the old one, which stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write, explain_full_disk, rewrite_with_checksum, verify_checksums, write_checksums
from preceptor.questions import kinds
from preceptor.storage.objects import ObjectStore
from preceptor.storage.snapshot_rows import SPLITS, SnapshotRow, check_rows
from preceptor.types import Question, json_digest

TargetKind = Literal["nominal", "ordinal", "multilabel", "text"]
_TARGET_KINDS: dict[str, TargetKind] = {"interval": "ordinal", "sets": "multilabel", "texts": "text"}  # by how the kind measures agreement


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of rows. `digest` covers inputs, targets, weights and splits; `manifest` records how they were made."""

    digest: str
    manifest: Mapping[str, Any]
    _rows: tuple[SnapshotRow, ...]

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Load a snapshot from its folder, or by its digest from the project in the current folder; raises UserError if it was altered."""
        folder = Path(source)
        if not (folder / "manifest.json").exists():
            folder = ObjectStore(Path("objects")).path(str(source))
        verify_checksums(folder, "manifest.json", "rows.jsonl", hint="restore objects/ from a backup")
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            rows = tuple(_read_rows(folder / "rows.jsonl"))
            intact = rows_digest(rows) == manifest["digest"]
        except FileNotFoundError:
            raise UserError(f"there is no snapshot {str(source)!r} here", "give its folder, or run this in the project's folder") from None
        except (ValueError, TypeError, KeyError):  # not JSON, or not a row
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
        """The kind of target: how the answers relate.

        nominal: one of them is right. ordinal: one of them, in an order (classes of a rating, or choices that are rising numbers).
        multilabel: each applies or doesn't by itself. text: they are texts.
        """
        kind = self.question["kind"]
        if kind == "choice":
            return "ordinal" if len(self.answers) > 2 and _is_increasing(self.answers) else "nominal"
        return _TARGET_KINDS.get(kinds.get(kind).level, "nominal")

    def rows(self, split: str | None = None) -> Iterator[SnapshotRow]:
        """Yield the rows of a split, or all. The test split is for evaluation, which counts its openings."""
        if split is not None and split not in SPLITS:
            raise UserError(f"no split is called {split!r}", f"splits: {', '.join(SPLITS)}")
        return (row for row in self._rows if split in (None, row.split))

    def lineage(self, row: SnapshotRow | str) -> tuple[int, ...]:
        """Return the numbers of the judgments that a row, given itself or by its item's id, rests on."""
        id_ = row if isinstance(row, str) else row.id
        for candidate in self._rows:
            if candidate.id == id_:
                return candidate.lineage
        raise UserError(f"item {id_!r} is not in snapshot {self.digest[:12]}")

    def summary(self) -> dict[str, Any]:
        """Return the numbers of rows, groups and answers of each split."""
        sides = {side: list(self.rows(side)) for side in SPLITS}
        said = {side: [answer for row in rows for answer in self.row_answers(row)] for side, rows in sides.items()}
        return {
            "rows": {side: len(rows) for side, rows in sides.items()},
            "groups": {side: len({row.group for row in rows}) for side, rows in sides.items()},
            "answers": {side: dict(sorted(Counter(answers).items())) for side, answers in said.items()},
            "checks": self.manifest["checks"],
        }

    def row_answers(self, row: SnapshotRow) -> tuple[str, ...]:
        """Return the answers a row is counted under: its answer, or each of its labels; none where it is a text."""
        if self.target_kind == "multilabel":
            return row.labels
        return (row.answer,) if self.answers else ()


def write_snapshot(
    objects: ObjectStore, question: Question, answers: Sequence[Any], rows: Sequence[SnapshotRow], about: Mapping[str, Any]
) -> Snapshot:
    """Store rows of a question as a snapshot; the same rows again are the same snapshot."""
    asked = {"name": question.name, "kind": question.kind, "version": question.version, "instructions": question.instructions}
    return store_rows(objects, {**asked, "answers": [] if question.kind == "write" else [str(answer) for answer in answers]}, rows, about)


def store_rows(objects: ObjectStore, question: Mapping[str, Any], rows: Sequence[SnapshotRow], about: Mapping[str, Any]) -> Snapshot:
    """Store rows as a snapshot, like `write_snapshot`, of a question in the form that a manifest holds."""
    digest = rows_digest(rows)
    manifest = {**about, "digest": digest, "question": dict(question), "count": len(rows)}
    with explain_full_disk(objects.path(digest)):
        objects.root.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix="snapshot-", dir=objects.root))
        try:
            with atomic_write(staged / "rows.jsonl") as file:
                for row in rows:
                    file.write(json.dumps(_row_to_json(row), sort_keys=True, ensure_ascii=False).encode() + b"\n")
            with atomic_write(staged / "manifest.json") as file:
                file.write(json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).encode())
            write_checksums(staged)
            folder = objects.adopt(staged, digest)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return Snapshot.load(folder)


def remove_judgments(objects: ObjectStore, digest: str, gone: Collection[int]) -> None:
    """Remove judgments from the lineage of a snapshot's rows; its digest doesn't cover them, and stays."""
    folder = objects.path(digest)
    rows = [replace(row, lineage=tuple(number for number in row.lineage if number not in gone)) for row in Snapshot.load(folder).rows()]
    lines = (json.dumps(_row_to_json(row), sort_keys=True, ensure_ascii=False).encode() + b"\n" for row in rows)
    rewrite_with_checksum(folder / "rows.jsonl", b"".join(lines))


def rows_digest(rows: Sequence[SnapshotRow]) -> str:
    """Return the hex sha256 over the rows' digest fields, independent of the order of rows."""
    total = hashlib.sha256()
    for line in sorted(json_digest(row.digest_fields()) for row in rows):
        total.update(bytes.fromhex(line))
    return total.hexdigest()


def _is_increasing(answers: Sequence[str]) -> bool:
    """Tell whether all are numbers, each greater than the one before."""
    try:
        numbers = [float(answer) for answer in answers]
    except ValueError:
        return False
    return all(before < after for before, after in pairwise(numbers))


def _row_to_json(row: SnapshotRow) -> dict[str, Any]:
    names = ("id", "content", "target", "weight", "split", "group", "lineage")
    return {name: getattr(row, name) for name in names}


def _read_rows(path: Path) -> Iterator[SnapshotRow]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            values = json.loads(line)
            yield SnapshotRow(**{**values, "lineage": tuple(values["lineage"])})


CARRIED_CHECKS = ("left out", "merged", "curated")  # checks of how the rows were made, which can't be computed again from the rows


def derive_snapshot(
    objects: ObjectStore,
    before: Snapshot,
    rows: Iterable[SnapshotRow],
    how: Mapping[str, Any],
    *,
    masked: Sequence[str] | None = None,
    curated: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Store the rows that are left after a decision, each in its split; the manifest records `how` it was made.

    masked: ids of the rows in which personal data are placeholders, and curated: the check that counts what people excluded, where
    these have changed.
    """
    kept = sorted(rows, key=lambda row: (row.split, row.text, row.id))
    kind = before.target_kind
    made = check_rows(kept, before.answers if kind == "multilabel" else (), classes=kind in ("nominal", "ordinal"))
    was = {row["check"]: row for row in before.manifest["checks"] if row["check"] in CARRIED_CHECKS}
    if curated is not None:
        was["curated"] = dict(curated)
    checks = [was.pop(row["check"], row) for row in made] + list(was.values())
    about = {name: value for name, value in before.manifest.items() if name not in ("digest", "count", "question", "checks")}
    here = {row.id for row in kept}
    hidden = about.get("masked", []) if masked is None else masked
    about |= {"masked": [id_ for id_ in hidden if id_ in here]} if hidden else {}
    return store_rows(objects, before.question, kept, {**about, "checks": checks, "derived": {"from": before.digest, **how}})


def diff_snapshots(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Compare two snapshots row by row and return what changed.

    added, removed: item ids. targets, splits, weights, contents: items of both whose target (with the total variation distance), split,
    weight or content changed. labels: for each answer how many rows have it as their most probable one before and after (with several
    labels, more likely than not). moves: how many rows in both changed from one answer to another. judgments: numbers that came and went.
    """
    old, new = {row.id: row for row in before.rows()}, {row.id: row for row in after.rows()}
    both = sorted(old.keys() & new.keys())
    moved = {id_: round(_total_variation(old[id_].target, new[id_].target), 6) for id_ in both}
    had, has = ({number for row in rows.values() for number in row.lineage} for rows in (old, new))
    return {
        "before": before.digest,
        "after": after.digest,
        "rows": [len(old), len(new)],
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "targets": {id_: distance for id_, distance in moved.items() if distance > 0},
        "splits": {id_: [old[id_].split, new[id_].split] for id_ in both if old[id_].split != new[id_].split},
        "weights": {id_: [old[id_].weight, new[id_].weight] for id_ in both if old[id_].weight != new[id_].weight},
        "contents": [id_ for id_ in both if old[id_].content != new[id_].content],
        "labels": _label_counts(before, after),
        "moves": _label_moves(before, after, old, new, both),
        "judgments": {"came": sorted(has - had), "went": sorted(had - has)},
    }


def _label_counts(before: Snapshot, after: Snapshot) -> dict[str, list[int]]:
    """Return [before, after] of each answer that either has a row of, in the question's order."""
    counts = [Counter(label for row in snapshot.rows() for label in snapshot.row_answers(row)) for snapshot in (before, after)]
    known = dict.fromkeys([*before.answers, *after.answers])
    return {label: [found[label] for found in counts] for label in known if any(found[label] for found in counts)}


def _label_moves(
    before: Snapshot, after: Snapshot, old: Mapping[str, SnapshotRow], new: Mapping[str, SnapshotRow], both: list[str]
) -> dict[str, int]:
    def words(snapshot: Snapshot, row: SnapshotRow) -> str:
        return ", ".join(snapshot.row_answers(row)) or "none"

    if not before.answers or not after.answers:
        return {}
    said = ((words(before, old[id_]), words(after, new[id_])) for id_ in both)
    return dict(Counter(f"{one} → {other}" for one, other in said if one != other).most_common())


def _total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(answer, 0.0) - other.get(answer, 0.0)) for answer in {**one, **other}) / 2
