"""Build snapshots of what is known about a question, and rebuild earlier ones from the judgments that are left.

Once personal data were masked in a snapshot of a question, they are in all later ones, by placeholders that are the same for the same
value in all of a project.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from preceptor.annotation.implicit_questions import is_implicit
from preceptor.annotation.judgment_set import JudgmentSet, fit_consensus
from preceptor.consensus import aggregators
from preceptor.errors import UserError
from preceptor.quality.pii import find_pii
from preceptor.snapshots.curation import build_curation_check, exclusion_reason, list_excluded_items
from preceptor.storage import artifacts, events, items, questions
from preceptor.storage.snapshot_rows import SnapshotRow, build_rows, join_rows, target_answers
from preceptor.storage.snapshots import Snapshot, write_snapshot
from preceptor.types import Consensus, Item
from preceptor.workspace import PiiRedactor

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection
    from preceptor.storage.curations import CurationDecision


TextChange = Callable[[str], str]
_NAME_KINDS = ("email", "iban", "url_login")  # kinds sought in ids and groups too, where most numbers are no personal data
_UNMASKED_FIELDS = ("role", "format", "type", "weight", "id")  # parts of a content that describe it, and hold no text of anybody


def row_texts(row: SnapshotRow, *, targets: bool) -> list[str]:
    """Return every text that a row holds: the parts of its content, and with `targets` the texts that are its answers."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    _map_texts(row.content, note)
    return [*found, *row.target] if targets else found


def mask_rows(rows: Sequence[SnapshotRow], change: TextChange, *, targets: bool) -> tuple[list[SnapshotRow], list[str]]:
    """Apply a change to each text of the rows, with `targets` their answers too; return the rows and the ids of those that it changed.

    A group that contains personal data changes as well: every row of it alike, and no row its split. Ids stay, which link a row
    to its item.
    """
    found = [_mask_row(row, change, targets=targets) for row in rows]
    differ = (
        after.id for before, after in zip(rows, found, strict=True) if (before.content, before.target) != (after.content, after.target)
    )
    return found, sorted(differ)


def _mask_row(row: SnapshotRow, change: TextChange, *, targets: bool) -> SnapshotRow:
    row = replace(row, content=_map_texts(row.content, change), group=change(row.group) if "group" in find_named_kinds(row) else row.group)
    if not targets:
        return row
    target: dict[str, float] = {}
    for answer, chance in row.target.items():  # two texts may differ only in what is masked
        target[change(answer)] = round(target.get(change(answer), 0.0) + chance, 6)
    return replace(row, target=target)


def was_masked(project: Project, digests: Iterable[str]) -> bool:
    """Tell whether personal data were masked in any of these snapshots of a question, however old: what was masked once stays masked."""
    manifests = (project.objects.path(digest) / "manifest.json" for digest in digests)
    return any("masked" in json.loads(manifest.read_text(encoding="utf-8")) for manifest in manifests if manifest.exists())


def _map_texts(value: Any, change: TextChange) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: part if name in _UNMASKED_FIELDS else _map_texts(part, change) for name, part in value.items()}
    return [_map_texts(part, change) for part in value] if isinstance(value, list | tuple) else value


def find_named_kinds(row: SnapshotRow) -> dict[str, str]:
    """Return the kinds of personal data in a row's id and group."""
    names = {"id": row.id, "group": row.group}
    return {name: each.kind for name, text in names.items() for each in find_pii([text], _NAME_KINDS)}


@dataclass(frozen=True)
class _SnapshotInput:
    """What is known about a question at one moment: its judgments and items.

    earlier_digests: digests of the question's snapshots. excluded: the decision for which an item is excluded, by its id.
    """

    judgment_set: JudgmentSet
    items: Sequence[Item]
    earlier_digests: Sequence[str]
    excluded: Mapping[str, CurationDecision]

    @classmethod
    def load(cls, connection: Connection, standing: JudgmentSet) -> Self:
        """Load the items, earlier snapshots and exclusions that belong to a judgment set."""
        asked = standing.question
        before = [row["digest"] for row in artifacts.list_snapshots(connection) if row["question"] == asked.name]
        return cls(standing, list(items.stream(connection, asked.purpose)), before, list_excluded_items(connection, standing.key))


def create_snapshot(project: Project, question: str, *, name: str | None, seed: int | None, method: str | None) -> Snapshot:
    """Create the snapshot of a question's current state, recorded under its name; rows of an earlier snapshot stay in their split.

    What people rejected, rewrote or merged is left out, and counted with the reasons. Once personal data were masked in any
    snapshot of the question, they are in this one.
    """
    with project.database.reading() as connection:
        known = _SnapshotInput.load(connection, JudgmentSet.load(connection, question))
    fitted = fit_consensus(project, known.judgment_set, method, {})
    earlier = int(project.load_snapshot(known.earlier_digests[-1]).manifest["seed"]) if known.earlier_digests else None
    made = _write_built_snapshot(project, known, fitted, {"seed": seed, "earlier": earlier}, {})
    with project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=made.digest, name=name, question=question)
        events.record_event(connection, "snapshot created", {"digest": made.digest, "name": name, "question": question})
    return made


def create_joint_snapshot(project: Project, names: Sequence[str], *, name: str | None = None) -> Snapshot:
    """Create one snapshot of several questions whose answers are texts, recorded as the first one's.

    So completions of files and what people wrote to correct a model's answers are trained on together. Raises UserError for other
    questions.
    """
    with project.database.reading() as connection:
        every = [_SnapshotInput.load(connection, JudgmentSet.load(connection, each)) for each in names]
    if other := next((each.judgment_set.question for each in every if each.judgment_set.question.kind != "write"), None):
        raise UserError(f"{other.name!r} has no texts for answers, and is learnt by itself", "name one question, or several of kind write")
    earlier = next((int(project.load_snapshot(each.earlier_digests[-1]).manifest["seed"]) for each in every if each.earlier_digests), None)
    said = [each for each in every if each.judgment_set.columns[0]]
    if not said:
        raise UserError(f"nobody has written anything for {' or '.join(names)} yet", "import completions, or ask people")
    fitted = [fit_consensus(project, each.judgment_set, None, {}) for each in said]
    sets = [_build_snapshot_rows(project, known, told, {"seed": 0})[0] for known, told in zip(said, fitted, strict=True)]
    rows, about = join_rows(sets, earlier=earlier)
    how = {**about, "method": fitted[0].method, "together": list(names)}
    made = write_snapshot(project.objects, every[0].judgment_set.question, (), rows, how)
    with project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=made.digest, name=name, question=names[0])
        events.record_event(connection, "snapshot created", {"digest": made.digest, "name": name, "questions": list(names)})
    return made


def rebuild_snapshot(project: Project, before: Snapshot, until: int, why: Mapping[str, Any]) -> Snapshot:
    """Rebuild a snapshot from those judgments up to number `until` that are still valid; the new one isn't recorded.

    It uses the same method, and is split by the same seed and fractions. Decisions about items count as they are valid now. why: is
    recorded in the manifest, with the digest of the old snapshot.
    """
    with project.database.reading() as connection:
        key, asked = questions.get_version(connection, before.question["name"], before.question["version"])
        standing = JudgmentSet.load_version(connection, key, asked).truncate(until)
        known = _SnapshotInput.load(connection, standing)
    method, shares = str(before.manifest["method"]), before.manifest.get("fractions")
    fitted = standing.fit()
    if fitted.method != method and method in aggregators.names():
        fitted = standing.fit(method)
    how = {"earlier": int(before.manifest["seed"]), **({"fractions": shares} if shares else {})}
    return _write_built_snapshot(project, known, fitted, how, {"remade": {"from": before.digest, **why}})


def _write_built_snapshot(
    project: Project, known: _SnapshotInput, fitted: Consensus, how: Mapping[str, Any], more: Mapping[str, Any]
) -> Snapshot:
    rows, about = _build_snapshot_rows(project, known, fitted, how)
    return write_snapshot(
        project.objects, known.judgment_set.question, target_answers(fitted), rows, {**about, "method": fitted.method, **more}
    )


def _build_snapshot_rows(
    project: Project, known: _SnapshotInput, fitted: Consensus, how: Mapping[str, Any]
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Return the rows, and the manifest's record of how they were made."""
    asked = known.judgment_set.question
    all_turns = is_implicit(asked)  # a file's author wrote all of a conversation; annotators wrote only its end

    drafts = asked.kind == "write" and bool(asked.settings.get("correct"))
    fates = {item: found.document.get("into", "") for item, found in known.excluded.items()}
    rows, about = build_rows(
        known.items,
        fitted,
        known.judgment_set.list_judgment_numbers(),
        all_turns=all_turns,
        drafts=drafts,
        left_out=fates,
        rare=asked.kind == "compare",
        **how,
    )
    if known.excluded:
        about["checks"].append(
            build_curation_check(Counter(exclusion_reason(found.action, found.reason) for found in known.excluded.values()))
        )
    if was_masked(project, known.earlier_digests):
        with project.database.writing() as connection:
            rows, about["masked"] = mask_rows(rows, PiiRedactor.from_connection(connection).redact_text, targets=asked.kind == "write")
    return rows, about
