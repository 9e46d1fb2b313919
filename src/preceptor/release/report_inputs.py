"""Track what a report's figures rest on: whether it has changed since, and how many other models were measured on it before.

A figure belongs to one source: the `rows` of the test split, the `general` texts, or a suite by its name. For each source a report stores a
digest of the questions and the reference answers, and, by the content of each row, the number of other models that had been measured on it
before this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.prompts import read_prompts
from preceptor.evaluation.suites import EvaluationSuite
from preceptor.quality import exact_key
from preceptor.runs import suite_runner
from preceptor.runs.general_eval_data import load_general_data, read_multiple_choice
from preceptor.runs.named_judges import identify_judge
from preceptor.storage import artifacts, gold, questions
from preceptor.types import json_digest

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.snapshots import Snapshot


TEST_ROWS_SOURCE, GENERAL_SOURCE = "rows", "general"
_ROW_KEY_LENGTH = 24  # characters of a row's content digest, as in the rows that a report keeps
_GENERAL_FIGURES = ("retention", "kept")  # figures of general texts
_EVALUATE_AGAIN = "evaluate the model again"
SourceDigests = dict[str, dict[str, str]]


def find_figure_source(document: Mapping[str, Any], figure: str) -> str:
    """Return the source of a figure: `rows`, `general`, or a suite's name."""
    if figure.rsplit(".", 1)[-1] in _GENERAL_FIGURES or figure.startswith("forgetting."):
        return GENERAL_SOURCE
    suite = find_figure_suite(document, figure)
    return TEST_ROWS_SOURCE if suite is None else suite[0]


def find_figure_suite(document: Mapping[str, Any], figure: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return the name and document of the suite that a bound's figure belongs to, or None. The figure is a bare name or NAME.figure."""
    suites: Mapping[str, Any] = document.get("suites") or {}
    if figure in (document.get("models") or {}).get("tuned", {}):
        return None
    path = figure.removeprefix("suites.").replace(".figures.", ".", 1)
    named = next((name for name in suites if path.startswith(f"{name}.")), None)
    having = [name for name, suite in suites.items() if figure in (suite.get("figures") or {})]
    found = named or (having[0] if having else None)
    return None if found is None else (found, suites[found])


def digest_current_sources(project: Project, snapshot: Snapshot | None, document: Mapping[str, Any]) -> SourceDigests:
    """Return the current digests of each source's parts, "" for a part that no longer exists. snapshot: None for recorded answers."""
    found: SourceDigests = {name: _digest_suite(project, suite) for name, suite in (document.get("suites") or {}).items()}
    if snapshot is not None:
        found[TEST_ROWS_SOURCE] = {"test rows": _digest_test_rows(project, snapshot)}
    if document.get("forgetting"):
        found[GENERAL_SOURCE] = {"general texts": _digest_or_empty(lambda: _digest_general_data(project))}
    return found


def digest_measured_sources(project: Project, snapshot: Snapshot | None, document: Mapping[str, Any]) -> SourceDigests:
    """Return the digests that a report stores: the current ones, but for suites those from before their answers were measured."""
    found = digest_current_sources(project, snapshot, document)
    for name, suite in (document.get("suites") or {}).items():
        if "suite_digest" in (suite.get("provenance") or {}):
            found[name]["suite"] = suite["provenance"]["suite_digest"]
    return found


def find_changed_sources(project: Project, snapshot: Snapshot | None, document: Mapping[str, Any]) -> dict[str, str]:
    """Return for each source that has changed since the report a sentence why its figures are no longer valid."""
    now, told = digest_current_sources(project, snapshot, document), {}
    for source, before in (document.get("inputs") or {}).items():
        parts = [part for part, digest in before.items() if now.get(source, {}).get(part, "") != digest]
        if parts:
            gone = all(not now.get(source, {}).get(part) for part in parts)
            subject = f"the {parts[0]}{f' of {source!r}' if source not in (TEST_ROWS_SOURCE, GENERAL_SOURCE) else ''}"
            verb = "are" if parts[0].endswith("s") else "is"
            became = f"{verb} gone" if gone else "changed"
            told[source] = f"{subject} {became} after the report was made: {'put back what was measured, or ' * gone}{_EVALUATE_AGAIN}."
    if snapshot is not None and _has_other_options(project, snapshot):
        told[TEST_ROWS_SOURCE] = "the question has other options than those the model learnt: freeze a snapshot, train and evaluate anew."
    return told


def record_openings(
    project: Project, model: str, snapshot: Snapshot | None, document: Mapping[str, Any], *, prompts: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    """Record that a model was measured on these sources; return how many other models were measured on each before, by the content of rows.

    prompts: of recorded answers, for suites without prompts of their own. others: the mean of that number over the rows; rows: how many
    rows have one above zero; of: the number of rows. Measuring a model again counts nothing.
    """
    found = {}
    with project.database.writing() as connection:
        for source, keys in _iterate_source_keys(project, snapshot, document, prompts):
            artifacts.record_test_openings(connection, model, keys)
            before = artifacts.count_earlier_openings(connection, model, keys)
            found[source] = {"others": sum(before.values()) / len(keys), "rows": len(before), "of": len(keys)}
    return found


def _iterate_source_keys(
    project: Project, snapshot: Snapshot | None, document: Mapping[str, Any], given: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each source with the content digests of its rows."""
    rows = [_row_key(text) for text in given] if snapshot is None else [_row_key(row.text) for row in snapshot.rows("test")]
    if rows and snapshot is not None:
        yield TEST_ROWS_SOURCE, rows
    for name, suite in (document.get("suites") or {}).items():
        if (provenance := suite.get("provenance")) and "suite_digest" in provenance:
            asked = suite_runner.find_suite(project, provenance["suite"])
            if prompts := rows if asked.prompts is None else _prompt_keys(asked, asked.prompts):
                yield name, prompts
    if document.get("forgetting") and (parts := load_general_data(project)) is not None:
        asked_too = [each.id for suite in parts.test.suites.values() for each in suite]
        yield GENERAL_SOURCE, [_row_key(f"general {id_}") for id_ in (*parts.test.texts, *asked_too)]


def _prompt_keys(suite: EvaluationSuite, file: Path) -> list[str]:
    if suite.kind == "multiple_choice":
        return [_row_key(each.id) for each in read_multiple_choice(file)]
    return [_row_key(each.prompt) for each in read_prompts(file, group=suite.group)]


def _row_key(text: str) -> str:
    return exact_key(text)[:_ROW_KEY_LENGTH]


def _digest_test_rows(project: Project, snapshot: Snapshot) -> str:
    """Return the digest of the test rows, and of the gold answers that were decided since."""
    try:
        with project.database.reading() as connection:
            known: Mapping[str, Any] = gold.list_answers(connection, questions.get(connection, snapshot.question["name"])[0])
    except NotFoundError:
        known = {}
    return json_digest([[row.id, exact_key(row.text), known.get(row.id)] for row in snapshot.rows("test")])


def _digest_general_data(project: Project) -> str:
    parts = load_general_data(project)
    return "" if parts is None else parts.test.digest


def _digest_suite(project: Project, suite: Mapping[str, Any]) -> dict[str, str]:
    provenance = suite.get("provenance") or {}
    found = {}
    if "suite_digest" in provenance:
        found["suite"] = _digest_or_empty(lambda: suite_runner.find_suite(project, provenance["suite"]).digest)
    if provenance.get("judge") or suite.get("kind") == "faithfulness":
        found["judge"] = _digest_or_empty(lambda: identify_judge(project, str(provenance.get("judge", ""))))
    return found


def _digest_or_empty(digest: Callable[[], str]) -> str:
    try:
        return digest()
    except (UserError, OSError):
        return ""


def _has_other_options(project: Project, snapshot: Snapshot) -> bool:
    """Return whether the question's options differ from those that the snapshot's rows were answered with."""
    try:
        asked = project.question(snapshot.question["name"])
    except NotFoundError:
        return False
    options = [str(option) for option in asked.options]
    return asked.kind != snapshot.question["kind"] or (bool(options) and options != [str(answer) for answer in snapshot.answers])
