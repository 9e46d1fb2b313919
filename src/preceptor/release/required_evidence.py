"""Estimate how much more evidence would settle an undecided release bound and what it costs, and queue it for annotation.

The width of an interval depends on its number of independent units: groups of test rows, responses that people have checked, general texts.
More judgments about rows that are measured already don't narrow it; rows of further groups do. The evidence comes from people's checks of a
suite, or from first judgments of items that will be test rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from preceptor.annotation.implicit_questions import is_implicit
from preceptor.errors import NotFoundError
from preceptor.evaluation import GateDecision
from preceptor.evaluation.faithfulness import HALLUCINATION_RATES
from preceptor.evaluation.number_format import capitalize_first, figure_name, format_count, format_money
from preceptor.evaluation.release_bounds import GateCondition, GateFinding, ParityCheck, UnmeasuredBound
from preceptor.release.report_inputs import GENERAL_SOURCE, find_figure_source, find_figure_suite
from preceptor.reporting.report import Report
from preceptor.runs import suite_runner
from preceptor.runs.active_learning import SELECTED_PRIORITY
from preceptor.storage import events, items, questions, slots
from preceptor.storage.snapshot_rows import DEFAULT_FRACTIONS, split_groups
from preceptor.storage.snapshots import Snapshot
from preceptor.types import Model

if TYPE_CHECKING:
    from preceptor.project import Project


@dataclass(frozen=True)
class EvidenceNeed:
    """The evidence that one open bound needs: `units` further independent units, `judgments` of people about them, at `cost`.

    rows: further test rows, None where the bound isn't about those. suite: the suite whose responses people check. judge: the judge that
    was named for it. judgments and cost are None where no judgment would help.
    """

    figure: str
    units: int
    summary: str
    rows: int | None = None
    suite: str | None = None
    judgments: int | None = None
    cost: float | None = None
    judge: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the need as a JSON object."""
        return asdict(self)


def find_evidence_needs(project: Project, model: Model | None, report: Report, decision: GateDecision) -> Iterator[EvidenceNeed]:
    """Yield a need for each undecided finding that further units would settle, or that waits for people's checks.

    model: None for recorded answers, whose figures all belong to suites.
    """
    for finding in decision.findings:
        if isinstance(finding, UnmeasuredBound) and (need := _first_claim_checks_need(project, report.document, finding)) is not None:
            yield need
        if not isinstance(finding, ParityCheck) and finding.state == "undecided" and finding.more_units is not None:
            yield _evidence_need(project, model, report.document, finding, finding.more_units)


def find_future_test_items(project: Project, snapshot: Snapshot) -> list[str]:
    """List the ids of the items that nobody has judged yet and that will be test rows of the next snapshot, oldest first.

    The split of a group follows from a hash of its name, so that it is known before anybody has answered; an item that proves a
    near-duplicate of another may move to the other's split.
    """
    with project.database.reading() as connection:
        try:
            key, asked = questions.get(connection, snapshot.question["name"])
        except NotFoundError:
            return []
        waiting = {id_ for id_, each in slots.counts_by_item(connection, key).items() if not each.judgment_count}
        known = [(item.id, item.group) for item in items.stream(connection, asked.purpose) if item.id in waiting]
    if not known:
        return []
    groups = [group for _, group in known]
    sides, _ = split_groups(groups, [()] * len(groups), fractions=_split_fractions(snapshot), seed=int(snapshot.manifest["seed"]))
    return [id_ for (id_, _), side in zip(known, sides, strict=True) if side == "test"]


def get_test_share(snapshot: Snapshot) -> float:
    """Return the share of new groups that become test rows."""
    return _split_fractions(snapshot).get("test", 0.0)


def _first_claim_checks_need(project: Project, document: Mapping[str, Any], finding: UnmeasuredBound) -> EvidenceNeed | None:
    """Return what a hallucination rate without people's checks needs; None for other figures, which no judgment would provide."""
    figure = finding.figure.rsplit(".", 1)[-1]
    suites: Mapping[str, Any] = document.get("suites") or {}
    named = [(name, suite) for name, suite in suites.items() if (suite.get("looks") or {}).get("waiting") and figure in HALLUCINATION_RATES]
    if not named:
        return None
    name, suite = named[0]
    waiting = int(suite["looks"]["waiting"])
    judgments = waiting * project.config.redundancy.initial_judgments
    cost, told = _claim_checks_cost(project, judgments)
    words = (
        f"{capitalize_first(figure_name(figure))}: {format_count(waiting)} responses wait for people's checks ({told}); then evaluate anew."
    )
    return EvidenceNeed(finding.figure, waiting, words, suite=name, judgments=judgments, cost=cost, judge=_suite_judge(suite))


def _claim_checks_cost(project: Project, judgments: int) -> tuple[float, str]:
    """Return the cost of people's checks of claims, and judgments and cost as text."""
    cost = round(judgments * project.config.cost.judgment_price("", "claims"), 2)
    return cost, f"{format_count(judgments)} judgments, {format_money(cost, project.config.cost.currency)}"


def _suite_judge(suite: Mapping[str, Any]) -> str:
    """Return the name of the judge that a suite was run with."""
    return str((suite.get("provenance") or {}).get("judge", ""))


def _evidence_need(project: Project, model: Model | None, document: Mapping[str, Any], finding: GateFinding, units: int) -> EvidenceNeed:
    if find_figure_source(document, finding.figure) == GENERAL_SOURCE:
        words = (
            f"{_figure_title(finding)}: about {format_count(units)} more "
            f"general texts: name more of them under [forgetting] in preceptor.toml."
        )
        return EvidenceNeed(finding.figure, units, words)
    if (suite := find_figure_suite(document, finding.figure)) is not None:
        return _suite_need(project, finding, units, *suite)
    assert model is not None  # a figure of no suite belongs to the test rows
    return _test_rows_need(project, model, finding, units)


def _suite_need(project: Project, finding: GateFinding, units: int, name: str, suite: Mapping[str, Any]) -> EvidenceNeed:
    given, estimate = (suite.get("looks") or {}).get("judgments"), getattr(finding, "estimate", None)
    if not given or estimate is None or not estimate.n:
        words = (
            f"{_figure_title(finding)}: about {format_count(units)} more independent prompts in the suite {name!r}: add them to its file."
        )
        return EvidenceNeed(finding.figure, units, words)
    judgments = math.ceil(units * given / estimate.n)
    cost, told = _claim_checks_cost(project, judgments)
    looks = suite.get("looks") or {}
    waiting, planned = looks.get("waiting") or 0, len(looks.get("sizes") or ())
    here = f"{format_count(waiting)} wait for people's answers already" if waiting else "--queue asks for the next of them"
    if planned and looks.get("done", 0) >= planned:
        here = "all planned looks are done, so that it takes further prompts in the suite's file"
    words = f"{_figure_title(finding)}: about {format_count(units)} more groups of responses that people check ({told}); {here}."
    return EvidenceNeed(finding.figure, units, words, suite=name, judgments=judgments, cost=cost, judge=_suite_judge(suite))


def _test_rows_need(project: Project, model: Model, finding: GateFinding, units: int) -> EvidenceNeed:
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    rows = list(snapshot.rows())
    test = [row for row in rows if row.split == "test"]
    each = len(test) / max(len({row.group for row in test}), 1)
    share = get_test_share(snapshot)
    about, part = (finding.slice_name, finding.share) if isinstance(finding, GateCondition) else ("", 1.0)
    more = math.ceil(units * max(each, 1.0) / part)
    imported = f"of new groups {share:.0%} become test rows" if share else "this snapshot's split has no test side"
    groups = f"groups of test rows in {about}, which come with" if about else "groups of test rows, which are"
    begin = f"{_figure_title(finding)}: about {format_count(units)} more {groups} about {format_count(more)} rows"
    if _has_implicit_question(project, snapshot):
        return EvidenceNeed(finding.figure, units, f"{begin}. They come with files: {imported}.", rows=more)
    per_row = sum(len(row.lineage) for row in rows) / len(rows) or 1.0
    judgments = math.ceil(more * per_row)
    cost = round(judgments * _judgment_price(project, snapshot), 2)
    waiting = len(find_future_test_items(project, snapshot))
    told = f"{format_count(judgments)} judgments, {format_money(cost, project.config.cost.currency)}, where only these are asked about"
    here = (
        f"{format_count(waiting)} such items wait here for their first judgment"
        if waiting
        else "no such item waits here for its first judgment"
    )
    words = f"{begin} ({told}); {here}, and {imported}. Judging the rows that are measured already again doesn't narrow it."
    return EvidenceNeed(finding.figure, units, words, rows=more, judgments=judgments, cost=cost)


def _split_fractions(snapshot: Snapshot) -> Mapping[str, float]:
    return snapshot.manifest.get("fractions") or DEFAULT_FRACTIONS


def _judgment_price(project: Project, snapshot: Snapshot) -> float:
    return project.config.cost.judgment_price("", str(snapshot.question.get("kind", "")))


def _has_implicit_question(project: Project, snapshot: Snapshot) -> bool:
    with project.database.reading() as connection:
        try:
            return is_implicit(questions.get(connection, snapshot.question["name"])[1])
        except NotFoundError:
            return False


def _figure_title(finding: GateFinding) -> str:
    return capitalize_first(figure_name(finding.figure))


def queue_evidence(project: Project, model: Model, needs: Sequence[EvidenceNeed], *, by: str = "system") -> list[dict[str, Any]]:
    """Queue the evidence for the needs, as far as the project has it; return for each what was queued.

    Future test items go to the head of the queue, no more than are needed, the same ones in a repeated call. Their answers count in the
    next snapshot, on which the model is trained and measured again.
    """
    asked = [_queue_suite(project, model, need) for need in needs if need.suite is not None]
    about_rows = [need for need in needs if need.rows is not None and need.judgments is not None]
    if about_rows:
        asked.append(_queue_test_rows(project, model, about_rows))
    if total := sum(each["asked"] for each in asked):
        figures = sorted({figure for each in asked for figure in each["figures"]})
        with project.database.writing() as connection:
            events.record_event(connection, "evidence asked for", {"model": model.id, "figures": figures, "asked": total}, actor=by)
    return [*asked, *(_describe_other_need(need) for need in needs if need.judgments is None)]


def _queue_suite(project: Project, model: Model, need: EvidenceNeed) -> dict[str, Any]:
    """Queue the next responses of a suite for people's checks; its generated answers and scores are cached, so that this is fast."""
    name = str(need.suite)
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    rows = list(snapshot.rows("test"))
    looks = suite_runner.run_suites(project, model, [name], suite_runner.SuiteOptions(need.judge), rows=rows)[name].get("looks") or {}
    waiting = int(looks.get("waiting") or 0)
    words = f"{name}: {format_count(waiting)} responses wait for people's answers." if waiting else f"{name}: all planned looks are done."
    return {"figures": [need.figure], "asked": waiting, "wanted": need.judgments or 0, "summary": words}


def _queue_test_rows(project: Project, model: Model, needs: Sequence[EvidenceNeed]) -> dict[str, Any]:
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    wanted = max(need.rows or 0 for need in needs)
    chosen = find_future_test_items(project, snapshot)[:wanted]
    with project.database.writing() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        slots.set_priorities(connection, key, dict.fromkeys(chosen, SELECTED_PRIORITY))
    words = f"{snapshot.question['name']}: {format_count(len(chosen))} items of the test side are asked about first."
    if lacking := wanted - len(chosen):
        share = get_test_share(snapshot) or 1.0
        words += (
            f" {format_count(lacking)} more are needed: import about "
            f"{format_count(lacking / share)} new items, of which {share:.0%} fall there."
        )
    words += " Their answers count in the next snapshot: train on that, and evaluate anew."
    figures = [need.figure for need in needs]
    return {"figures": figures, "asked": len(chosen), "wanted": wanted, "items": chosen, "summary": words}


def _describe_other_need(need: EvidenceNeed) -> dict[str, Any]:
    return {"figures": [need.figure], "asked": 0, "wanted": need.units, "summary": need.summary}
