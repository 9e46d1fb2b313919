"""What a report's figures rest on: has it changed since, and how many other models were measured on it before?

A figure belongs to one source: the `rows` of the test split, the `general` texts, or a suite by its name. Of each source a report
keeps a digest of what was asked and held for true, and, by the content of each row, the number of other models that had been
measured on it before this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.curation import exact_key
from preceptor.domain import digest_of
from preceptor.errors import NotFound, UserError
from preceptor.evaluation.suites import Suite, read_prompts
from preceptor.project.general import choices, general_of
from preceptor.project.judges.judging import judge_identity
from preceptor.project.suites import running
from preceptor.store import gold, openings, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.snapshots import Snapshot

ROWS, GENERAL = "rows", "general"
KEY = 24  # characters of a row's content digest, as in the rows that a report keeps
_RETAINED = ("retention", "kept")  # figures of general texts
_AGAIN = "evaluate the model again"
Digests = dict[str, dict[str, str]]


def source_of(document: Mapping[str, Any], figure: str) -> str:
    """The source of a figure: `rows`, `general`, or a suite's name."""
    if figure.rsplit(".", 1)[-1] in _RETAINED or figure.startswith("forgetting."):
        return GENERAL
    suite = suite_of(document, figure)
    return ROWS if suite is None else suite[0]


def suite_of(document: Mapping[str, Any], figure: str) -> tuple[str, Mapping[str, Any]] | None:
    """The suite that a figure of a bound is of, by its bare name or as NAME.figure; None when it is of none."""
    suites: Mapping[str, Any] = document.get("suites") or {}
    if figure in (document.get("models") or {}).get("tuned", {}):
        return None
    path = figure.removeprefix("suites.").replace(".figures.", ".", 1)
    named = next((name for name in suites if path.startswith(f"{name}.")), None)
    having = [name for name, suite in suites.items() if figure in (suite.get("figures") or {})]
    found = named or (having[0] if having else None)
    return None if found is None else (found, suites[found])


def digests_of(project: Project, snapshot: Snapshot | None, document: Mapping[str, Any]) -> Digests:
    """By source, what it rests on: part -> digest, "" where it isn't there any more. snapshot: None for recorded answers."""
    found: Digests = {name: _of_suite(project, suite) for name, suite in (document.get("suites") or {}).items()}
    if snapshot is not None:
        found[ROWS] = {"test rows": _of_rows(project, snapshot)}
    if document.get("forgetting"):
        found[GENERAL] = {"general texts": _or_gone(lambda: _of_general(project))}
    return found


def measured(project: Project, snapshot: Snapshot | None, document: Mapping[str, Any]) -> Digests:
    """The same as a report keeps it: of suites what they were before their answers were measured."""
    found = digests_of(project, snapshot, document)
    for name, suite in (document.get("suites") or {}).items():
        if "suite" in (suite.get("made") or {}):
            found[name]["suite"] = suite["made"]["suite"]
    return found


def changed(project: Project, snapshot: Snapshot | None, document: Mapping[str, Any]) -> dict[str, str]:
    """By source why its figures don't stand any more, as a sentence; nothing of sources that are as they were measured."""
    now, told = digests_of(project, snapshot, document), {}
    for source, before in (document.get("inputs") or {}).items():
        parts = [part for part, digest in before.items() if now.get(source, {}).get(part, "") != digest]
        if parts:
            gone = all(not now.get(source, {}).get(part) for part in parts)
            subject = f"the {parts[0]}{f' of {source!r}' if source not in (ROWS, GENERAL) else ''}"
            verb = "are" if parts[0].endswith("s") else "is"
            became = f"{verb} gone" if gone else "changed"
            told[source] = f"{subject} {became} after the report was made: {'put back what was measured, or ' * gone}{_AGAIN}."
    if snapshot is not None and _is_asked_otherwise(project, snapshot):
        told[ROWS] = "the question has other options than those the model learnt: freeze a snapshot, train and evaluate anew."
    return told


def opened(
    project: Project, model: str, snapshot: Snapshot | None, document: Mapping[str, Any], *, prompts: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    """Note that a model was measured on these sources; of each how many other models had been before, by the content of its rows.

    prompts: of recorded answers, where a suite has none of its own. others: the mean of that number over the rows; rows: of how many
    it isn't nil; of: all rows. Measuring a model again counts nothing.
    """
    found = {}
    with project.database.writing() as connection:
        for source, keys in _contents(project, snapshot, document, prompts):
            openings.note(connection, model, keys)
            before = openings.others(connection, model, keys)
            found[source] = {"others": sum(before.values()) / len(keys), "rows": len(before), "of": len(keys)}
    return found


def _contents(
    project: Project, snapshot: Snapshot | None, document: Mapping[str, Any], given: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """By source the digests of what its rows say."""
    rows = [_key(text) for text in given] if snapshot is None else [_key(row.text) for row in snapshot.rows("test")]
    if rows and snapshot is not None:
        yield ROWS, rows
    for name, suite in (document.get("suites") or {}).items():
        if (made := suite.get("made")) and "suite" in made:
            asked = running.suite_named(project, made["named"])
            if prompts := rows if asked.prompts is None else _prompts(asked, asked.prompts):
                yield name, prompts
    if document.get("forgetting") and (parts := general_of(project)) is not None:
        asked_too = [each.id for suite in parts.test.suites.values() for each in suite]
        yield GENERAL, [_key(f"general {id_}") for id_ in (*parts.test.texts, *asked_too)]


def _prompts(suite: Suite, file: Path) -> list[str]:
    if suite.kind == "choices":
        return [_key(each.id) for each in choices(file)]
    return [_key(each.prompt) for each in read_prompts(file, group=suite.group)]


def _key(text: str) -> str:
    return exact_key(text)[:KEY]


def _of_rows(project: Project, snapshot: Snapshot) -> str:
    """What stands on the test side, and the answers that somebody has decided since, which are the true ones."""
    try:
        with project.database.reading() as connection:
            known: Mapping[str, Any] = gold.answers(connection, questions.get(connection, snapshot.question["name"])[0])
    except NotFound:
        known = {}
    return digest_of([[row.id, exact_key(row.text), known.get(row.id)] for row in snapshot.rows("test")])


def _of_general(project: Project) -> str:
    parts = general_of(project)
    return "" if parts is None else parts.test.digest


def _of_suite(project: Project, suite: Mapping[str, Any]) -> dict[str, str]:
    made = suite.get("made") or {}
    found = {}
    if "suite" in made:
        found["suite"] = _or_gone(lambda: running.suite_named(project, made["named"]).digest)
    if made.get("judge") or suite.get("kind") == "faithfulness":
        found["judge"] = _or_gone(lambda: judge_identity(project, str(made.get("judge", ""))))
    return found


def _or_gone(digest: Callable[[], str]) -> str:
    try:
        return digest()
    except (UserError, OSError):
        return ""


def _is_asked_otherwise(project: Project, snapshot: Snapshot) -> bool:
    """Whether the question has other options now than those that the snapshot's rows were answered with."""
    try:
        asked = project.question(snapshot.question["name"])
    except NotFound:
        return False
    options = [str(option) for option in asked.options]
    return asked.kind != snapshot.question["kind"] or (bool(options) and options != [str(answer) for answer in snapshot.answers])
