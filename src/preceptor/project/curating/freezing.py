"""Freezing what is known about a question as a snapshot, and freezing again what is left of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from preceptor.aggregation import aggregators
from preceptor.domain import Consensus, Item
from preceptor.errors import UserError
from preceptor.project.curating.left_out import curated_check, left_out, reason_of
from preceptor.project.curating.masking import ever_masked, masked_rows
from preceptor.project.guiding import agreeing
from preceptor.project.scrubbing import Scrubber
from preceptor.project.told import is_told
from preceptor.snapshots import Row, Snapshot, answers_of, build_rows, write_snapshot
from preceptor.snapshots.joining import join_rows
from preceptor.store import events, items, questions, records

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection
    from preceptor.store.curations import Curated


@dataclass(frozen=True)
class _Known:
    """What is known about a question at one moment: a row's judgments are those that its target rests on.

    before: digests of the question's snapshots. gone: why an item is left out, by its id.
    """

    standing: agreeing.Standing
    items: Sequence[Item]
    before: Sequence[str]
    gone: Mapping[str, Curated]

    @classmethod
    def of(cls, connection: Connection, standing: agreeing.Standing) -> Self:
        asked = standing.question
        before = [row["digest"] for row in records.snapshots(connection) if row["question"] == asked.name]
        return cls(standing, list(items.stream(connection, asked.purpose)), before, left_out(connection, standing.key))


def freeze(project: Project, question: str, *, name: str | None, seed: int | None, method: str | None) -> Snapshot:
    """The snapshot of a question as it stands now, noted under its name; rows that were in an earlier one stay on their side.

    What people rejected, rewrote or merged is left out, and counted with the reasons. Once personal data were masked in any
    snapshot of the question, they are in this one.
    """
    with project.database.reading() as connection:
        known = _Known.of(connection, agreeing.Standing.of(connection, question))
    fitted = agreeing.consensus(project, known.standing, method, {})
    earlier = int(project.load_snapshot(known.before[-1]).manifest["seed"]) if known.before else None
    made = _frozen(project, known, fitted, {"seed": seed, "earlier": earlier}, {})
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=made.digest, name=name, question=question)
        events.record(connection, "snapshot created", {"digest": made.digest, "name": name, "question": question})
    return made


def freeze_together(project: Project, names: Sequence[str], *, name: str | None = None) -> Snapshot:
    """What is known about several questions whose answers are texts, as one snapshot that is noted as the first one's.

    Completions of files and what people wrote over a model's answers are learnt together so. UserError for other questions.
    """
    with project.database.reading() as connection:
        every = [_Known.of(connection, agreeing.Standing.of(connection, each)) for each in names]
    if other := next((each.standing.question for each in every if each.standing.question.kind != "write"), None):
        raise UserError(f"{other.name!r} has no texts for answers, and is learnt by itself", "name one question, or several of kind write")
    earlier = next((int(project.load_snapshot(each.before[-1]).manifest["seed"]) for each in every if each.before), None)
    said = [each for each in every if each.standing.columns[0]]
    if not said:
        raise UserError(f"nobody has written anything for {' or '.join(names)} yet", "import completions, or ask people")
    fitted = [agreeing.consensus(project, each.standing, None, {}) for each in said]
    sets = [_rows(project, known, told, {"seed": 0})[0] for known, told in zip(said, fitted, strict=True)]
    rows, about = join_rows(sets, earlier=earlier)
    how = {**about, "method": fitted[0].method, "together": list(names)}
    made = write_snapshot(project.objects, every[0].standing.question, (), rows, how)
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=made.digest, name=name, question=names[0])
        events.record(connection, "snapshot created", {"digest": made.digest, "name": name, "questions": list(names)})
    return made


def freeze_again(project: Project, before: Snapshot, until: int, why: Mapping[str, Any]) -> Snapshot:
    """What a snapshot would be had it been taken of what stands now of the judgments up to number `until`; it isn't noted.

    By the same method, and split by the same seed and shares. Decisions about items count as they stand now. why: stands in the
    manifest, with the digest of the one before.
    """
    with project.database.reading() as connection:
        key, asked = questions.version(connection, before.question["name"], before.question["version"])
        standing = agreeing.Standing.of_key(connection, key, asked).up_to(until)
        known = _Known.of(connection, standing)
    method, shares = str(before.manifest["method"]), before.manifest.get("fractions")
    fitted = standing.fit()
    if fitted.method != method and method in aggregators.names():
        fitted = standing.fit(method)
    how = {"earlier": int(before.manifest["seed"]), **({"fractions": shares} if shares else {})}
    return _frozen(project, known, fitted, how, {"remade": {"from": before.digest, **why}})


def _frozen(project: Project, known: _Known, fitted: Consensus, how: Mapping[str, Any], more: Mapping[str, Any]) -> Snapshot:
    rows, about = _rows(project, known, fitted, how)
    return write_snapshot(project.objects, known.standing.question, answers_of(fitted), rows, {**about, "method": fitted.method, **more})


def _rows(project: Project, known: _Known, fitted: Consensus, how: Mapping[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """The rows, and what the manifest says of them."""
    asked = known.standing.question
    all_turns = is_told(asked)  # a file's author wrote all of a conversation; people asked wrote its end
    drafts = asked.kind == "write" and bool(asked.settings.get("correct"))
    fates = {item: found.document.get("into", "") for item, found in known.gone.items()}
    rows, about = build_rows(
        known.items,
        fitted,
        known.standing.numbers(),
        all_turns=all_turns,
        drafts=drafts,
        left_out=fates,
        rare=asked.kind == "compare",
        **how,
    )
    if known.gone:
        about["checks"].append(curated_check(Counter(reason_of(found.action, found.reason) for found in known.gone.values())))
    if ever_masked(project, known.before):
        with project.database.writing() as connection:
            rows, about["masked"] = masked_rows(rows, Scrubber.of(connection).text, targets=asked.kind == "write")
    return rows, about
