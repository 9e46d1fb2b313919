"""`preceptor evaluate MODEL --suite faithfulness`: how much of what a model says its sources don't bear out, as a report's section.

Responses are split into claims, a judge scores all of them, people check those of a random sample that grows until the interval
decides what the gate asks, or all planned looks are done. Run again, it goes on from what people have answered meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit

from preceptor.domain import Estimate
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.audits import Look, drawn, planned
from preceptor.evaluation.faithfulness import COUNTED, Measured, Response, check_responses, measure
from preceptor.evaluation.gate import Bound, State, decide
from preceptor.evaluation.judges import Case, Judge, filled_in
from preceptor.evaluation.judges.calibration import EDGE
from preceptor.evaluation.judges.claim_features import claim_features
from preceptor.evaluation.judges.overlap import OverlapJudge
from preceptor.evaluation.splitting import SPLITTER, claims_of
from preceptor.project.suites.claim_examples import worst
from preceptor.project.suites.claim_words import Told, words_of
from preceptor.project.suites.scoring import Progress, judge_scores
from preceptor.project.suites.verifying import NAME, ask, ask_where_tied, asked_and_answered, stop
from preceptor.statistics import mean

if TYPE_CHECKING:
    from preceptor.project.project import Project

TITLE = "Hallucination"


@dataclass(frozen=True)
class _Seen:
    """What there is: responses with scores and verdicts, the order in which they are drawn, and how far the looks have come."""

    responses: Sequence[Response]
    order: Sequence[int]
    looks: tuple[Look, ...]
    asked: set[int]
    judgments: int

    @property
    def done(self) -> Look | None:
        """The last look whose whole sample people have checked; what is there of the next doesn't count, since easy ones come first."""
        complete = [look for look in self.looks if not self.waiting(look) and any(self.responses[row].claims for row in self.sample(look))]
        return complete[-1] if complete else None

    @property
    def open(self) -> Look | None:
        """The look that people are at, if they haven't checked all of it."""
        begun = [look for look in self.looks if any(row in self.asked for row in self.waiting(look))]
        return begun[0] if begun else None

    def sample(self, look: Look) -> Sequence[int]:
        return self.order[: look.size]

    def waiting(self, look: Look) -> list[int]:
        """Of a look's sample those that people haven't checked."""
        return [row for row in self.sample(look) if not self.responses[row].is_checked]

    def after(self, look: Look | None) -> Look | None:
        """The look that follows."""
        number = look.number if look else 0
        return self.looks[number] if number < len(self.looks) else None


def run(
    project: Project,
    answers: Answers,
    judge: Judge,
    *,
    queue: bool = True,
    bounds: Sequence[Bound] = (),
    counted: Sequence[str] = COUNTED,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The section of a report about hallucination: figures with intervals, words, examples.

    judge: scores say how far a claim's sources support it. queue: put the next responses before people where the interval doesn't
    decide `bounds` yet (or there are none). counted: the verdicts that count as hallucination. UserError for responses without
    sources, and for the same claim about the same sources in two groups.
    """
    claims = [claims_of(text) for text in answers.texts]
    _check(answers, claims)
    scored = _scored(project, answers, claims, judge, progress)
    check_responses(scored)
    tied = ask_where_tied(project, answers) if queue else 0
    seen = _looked(project, answers, scored)
    done = seen.done
    measured = None if done is None else measure(seen.responses, seen.sample(done), done, counted=counted)
    state = _state(bounds, measured)
    following = seen.after(done)
    put = 0
    if queue and state in (None, "undecided") and following is not None and seen.waiting(following):
        put = ask(project, answers, claims, seen.sample(following), following.number)
        seen = _looked(project, answers, scored)
    if state in ("met", "missed") and seen.open is not None:
        stop(project, answers)
        seen = replace(seen, asked=set())
    section = _section(project, answers, judge, seen, measured, bounds=bounds, state=state, put=put)
    if tied:
        section["words"].append(f"People are tied about a claim of {tied} responses, which count when one more person has decided each.")
        section["looks"]["tied"] = tied
    return section


def _check(answers: Answers, claims: Sequence[Sequence[str]]) -> None:
    """UserError for what no rate can be made of."""
    groups: dict[tuple[str, tuple[str, ...]], str] = {}
    for each, found in zip(answers.asked, claims, strict=True):
        if found and not any(source.strip() for source in each.sources):
            hint = "give each prompt its sources: a column of texts beside it"
            raise UserError("there is nothing to check the response against: it has no sources", hint, where=each.id)
        for claim in found:
            group = groups.setdefault((claim, each.sources), each.group)
            if group != each.group:
                raise UserError(
                    f"the claim {claim!r:.80} about the same sources stands in two groups, {group!r} and {each.group!r}",
                    "what depends on each other has one group: name the source (a document, a customer) as the group of its prompts",
                    where=each.id,
                )


def _scored(project: Project, answers: Answers, claims: Sequence[Sequence[str]], judge: Judge, progress: Progress | None) -> list[Response]:
    cases = [Case(claim, each.sources, each.prompt) for each, found in zip(answers.asked, claims, strict=True) for claim in found]
    ends = np.cumsum([0, *map(len, claims)])
    scores = judge_scores(project, judge, cases, progress)
    has_seen = getattr(judge, "has_seen", None)
    # what people said of these is in the judge: it would look better on them than on the rest
    taught = np.array([has_seen is not None and has_seen(case) for case in cases], dtype=bool)
    scores = np.where(taught, np.nan, scores)
    features = claim_features(cases)
    if not isinstance(judge, OverlapJudge):
        features = np.column_stack([features, logit(np.clip(filled_in(scores), EDGE, 1 - EDGE))])
    responses = []
    for each, found, (start, end) in zip(answers.asked, claims, pairwise(ends.tolist()), strict=True):
        known = frozenset(np.flatnonzero(taught[start:end]).tolist())
        responses.append(Response(each.id, each.group, tuple(found), scores[start:end], taught=known, features=features[start:end]))
    return responses


def _looked(project: Project, answers: Answers, scored: Sequence[Response]) -> _Seen:
    asked, verdicts, judgments = asked_and_answered(project, answers)
    responses = [replace(response, verdicts=verdicts.get(row)) for row, response in enumerate(scored)]
    order = drawn([response.id for response in responses], answers.digest)
    return _Seen(responses, order, planned(len(responses)), asked, judgments)


def _state(bounds: Sequence[Bound], measured: Measured | None) -> State | None:
    """What the intervals say of the bounds together; None where there is nothing to decide, or nothing to decide it by."""
    if not bounds or measured is None:
        return None
    state = decide(bounds, measured.figures).state
    return None if state == "unbounded" else state


def _section(
    project: Project,
    answers: Answers,
    judge: Judge,
    seen: _Seen,
    measured: Measured | None,
    *,
    bounds: Sequence[Bound],
    state: State | None,
    put: int,
) -> dict[str, Any]:
    done, ahead = seen.done, seen.open
    total = sum(len(response.claims) for response in seen.responses)
    checked = [seen.responses[row] for row in (seen.sample(done) if done else ())]
    told = Told(
        judge=judge, measured=measured, done=done, ahead=ahead, following=seen.after(done), bounds=bounds, state=state, put=put,
        responses=len(seen.responses), claims=total, checked=sum(len(response.claims) for response in checked),
        waiting=len(seen.waiting(ahead)) if ahead else 0, judgments=seen.judgments, prices=project.config.cost,
        no_verdict=sum(int(np.isnan(response.support).sum()) - len(response.taught) for response in seen.responses),
        taught=sum(len(response.taught) for response in seen.responses),
        strays=sum(response.strays for response in seen.responses),
        empty=sum(not text.strip() for text in answers.texts),
    )  # fmt: skip
    return {
        "kind": NAME,
        "title": TITLE,
        "words": words_of(told),
        "figures": {**(measured.figures if measured else {}), **_about_splitting(seen.responses)},
        "rows": len(seen.responses),
        "examples": worst(answers, seen.responses, judge),
        "people_alone": measured.alone if measured else {},
        "worth": {name: round(number, 1) for name, number in (measured.worth if measured else {}).items()},
        "splitter": SPLITTER,
        "judge": {"name": judge.name, "digest": judge.digest, "without_verdict": told.no_verdict, "taught": told.taught},
        "claims": {"all": total, "checked": told.checked},
        "looks": {
            "sizes": [look.size for look in seen.looks],
            "done": done.number if done else 0,
            "waiting": told.waiting,
            "judgments": seen.judgments,
            "decided": state if state != "undecided" else None,
        },
        "cost": told.cost(),
    }


def _about_splitting(responses: Sequence[Response]) -> Mapping[str, Estimate]:
    """How many claims a response has, and which share has none: what a rate per claim is to be read with."""
    groups = [response.group for response in responses]
    return {
        "claims_per_response": mean([float(len(response.claims)) for response in responses], clusters=groups, within=(0.0, np.inf)),
        "claimless": mean([float(not response.claims) for response in responses], clusters=groups),
    }
