"""What would settle a bound that the evidence leaves open: how many more units, whose judgments those are, and what they cost.

An interval is as wide as its independent units are few: groups of test rows, responses that people have checked, general texts.
More judgments about rows that are measured already don't narrow it; rows of further groups do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.errors import NotFound
from preceptor.evaluation import Decision, Report
from preceptor.evaluation.faithfulness import RATES
from preceptor.evaluation.gate import Condition, Found, Proof, Unmeasured
from preceptor.evaluation.wording import count, figure_name, money, sentence
from preceptor.project.releasing.inputs import GENERAL, source_of, suite_of
from preceptor.project.told import is_told
from preceptor.snapshots import Snapshot
from preceptor.snapshots.split import DEFAULT_FRACTIONS, split
from preceptor.store import items, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Need:
    """What one open bound wants: `units` further independent units, `judgments` of people about them, at `cost`.

    rows: further test rows, None where it isn't about those. suite: the suite whose people are to be asked, and the judge that was named
    for it. judgments and cost are None where no judgment would help.
    """

    figure: str
    units: int
    words: str
    rows: int | None = None
    suite: str | None = None
    judgments: int | None = None
    cost: float | None = None
    judge: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)


def needs_of(project: Project, model: Model | None, report: Report, decision: Decision) -> Iterator[Need]:
    """A need for each finding that is open and says how many more units would settle it, or that waits for people's checks. model: None for
    recorded answers, whose figures are all of suites."""
    for finding in decision.findings:
        if isinstance(finding, Unmeasured) and (need := _first_checks(project, report.document, finding)) is not None:
            yield need
        if not isinstance(finding, Proof) and finding.state == "undecided" and finding.more_units is not None:
            yield _need(project, model, report.document, finding, finding.more_units)


def test_side(project: Project, snapshot: Snapshot) -> list[str]:
    """Ids of the items that nobody has judged yet and that will be test rows of the next snapshot, oldest first.

    A group's side is a hash of its name, so that it is known before anybody has answered; an item whose text proves nearly the same as
    another's may change over to that one's side.
    """
    with project.database.reading() as connection:
        try:
            key, asked = questions.get(connection, snapshot.question["name"])
        except NotFound:
            return []
        waiting = {id_ for id_, each in slots.counts(connection, key).items() if not each.given}
        known = [(item.id, item.group) for item in items.stream(connection, asked.purpose) if item.id in waiting]
    if not known:
        return []
    groups = [group for _, group in known]
    sides, _ = split(groups, [()] * len(groups), fractions=_fractions(snapshot), seed=int(snapshot.manifest["seed"]))
    return [id_ for (id_, _), side in zip(known, sides, strict=True) if side == "test"]


def test_share(snapshot: Snapshot) -> float:
    """Which part of new groups become test rows."""
    return _fractions(snapshot).get("test", 0.0)


def _first_checks(project: Project, document: Mapping[str, Any], finding: Unmeasured) -> Need | None:
    """What a rate of hallucination waits for that nobody's checks bear yet; None for other figures, which no judgment would bring."""
    figure = finding.figure.rsplit(".", 1)[-1]
    suites: Mapping[str, Any] = document.get("suites") or {}
    named = [(name, suite) for name, suite in suites.items() if (suite.get("looks") or {}).get("waiting") and figure in RATES]
    if not named:
        return None
    name, suite = named[0]
    waiting = int(suite["looks"]["waiting"])
    judgments = waiting * project.config.guidance.least
    cost, told = _of_checks(project, judgments)
    words = f"{sentence(figure_name(figure))}: {count(waiting)} responses wait for people's checks ({told}); then evaluate anew."
    return Need(finding.figure, waiting, words, suite=name, judgments=judgments, cost=cost, judge=_judge_of(suite))


def _of_checks(project: Project, judgments: int) -> tuple[float, str]:
    """What people's checks of claims cost, and both in words."""
    cost = round(judgments * project.config.cost.price("", "claims"), 2)
    return cost, f"{count(judgments)} judgments, {money(cost, project.config.cost.currency)}"


def _judge_of(suite: Mapping[str, Any]) -> str:
    """The judge that was named when a suite was run."""
    return str((suite.get("made") or {}).get("judge", ""))


def _need(project: Project, model: Model | None, document: Mapping[str, Any], finding: Found, units: int) -> Need:
    if source_of(document, finding.figure) == GENERAL:
        words = f"{_named(finding)}: about {count(units)} more general texts: name more of them under [general] in preceptor.toml."
        return Need(finding.figure, units, words)
    if (suite := suite_of(document, finding.figure)) is not None:
        return _of_suite(project, finding, units, *suite)
    assert model is not None  # what is of no suite is of its test rows
    return _of_rows(project, model, finding, units)


def _of_suite(project: Project, finding: Found, units: int, name: str, suite: Mapping[str, Any]) -> Need:
    given, estimate = (suite.get("looks") or {}).get("judgments"), getattr(finding, "estimate", None)
    if not given or estimate is None or not estimate.n:
        words = f"{_named(finding)}: about {count(units)} more independent prompts in the suite {name!r}: add them to its file."
        return Need(finding.figure, units, words)
    judgments = math.ceil(units * given / estimate.n)
    cost, told = _of_checks(project, judgments)
    looks = suite.get("looks") or {}
    waiting, planned = looks.get("waiting") or 0, len(looks.get("sizes") or ())
    here = f"{count(waiting)} wait for people's answers already" if waiting else "--queue asks for the next of them"
    if planned and looks.get("done", 0) >= planned:
        here = "all planned looks are done, so that it takes further prompts in the suite's file"
    words = f"{_named(finding)}: about {count(units)} more groups of responses that people check ({told}); {here}."
    return Need(finding.figure, units, words, suite=name, judgments=judgments, cost=cost, judge=_judge_of(suite))


def _of_rows(project: Project, model: Model, finding: Found, units: int) -> Need:
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    rows = list(snapshot.rows())
    test = [row for row in rows if row.split == "test"]
    each = len(test) / max(len({row.group for row in test}), 1)
    share = test_share(snapshot)
    about, part = (finding.about, finding.share) if isinstance(finding, Condition) else ("", 1.0)
    more = math.ceil(units * max(each, 1.0) / part)
    imported = f"of new groups {share:.0%} become test rows" if share else "this snapshot's split has no test side"
    groups = f"groups of test rows in {about}, which come with" if about else "groups of test rows, which are"
    begin = f"{_named(finding)}: about {count(units)} more {groups} about {count(more)} rows"
    if _is_told(project, snapshot):
        return Need(finding.figure, units, f"{begin}. They come with files: {imported}.", rows=more)
    per_row = sum(len(row.lineage) for row in rows) / len(rows) or 1.0
    judgments = math.ceil(more * per_row)
    cost = round(judgments * _price(project, snapshot), 2)
    waiting = len(test_side(project, snapshot))
    told = f"{count(judgments)} judgments, {money(cost, project.config.cost.currency)}, where only these are asked about"
    here = (
        f"{count(waiting)} such items wait here for their first judgment" if waiting else "no such item waits here for its first judgment"
    )
    words = f"{begin} ({told}); {here}, and {imported}. Judging the rows that are measured already again doesn't narrow it."
    return Need(finding.figure, units, words, rows=more, judgments=judgments, cost=cost)


def _fractions(snapshot: Snapshot) -> Mapping[str, float]:
    return snapshot.manifest.get("fractions") or DEFAULT_FRACTIONS


def _price(project: Project, snapshot: Snapshot) -> float:
    return project.config.cost.price("", str(snapshot.question.get("kind", "")))


def _is_told(project: Project, snapshot: Snapshot) -> bool:
    with project.database.reading() as connection:
        try:
            return is_told(questions.get(connection, snapshot.question["name"])[1])
        except NotFound:
            return False


def _named(finding: Found) -> str:
    return sentence(figure_name(finding.figure))
