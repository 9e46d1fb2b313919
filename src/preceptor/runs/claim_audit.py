"""Measure the hallucination rate of a model's answers, with human verdicts on a random sample of responses.

Responses are split into claims, a judge scores all of them, and people check the claims of a random sample, which grows until the interval
decides the release bounds or all planned looks are done. Run again, the audit continues with what people have answered meanwhile.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit

from preceptor.annotation import question_admin
from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.documents.claim_judge import ClaimPair, merge_claim_pairs
from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.claims import SPLITTER_VERSION, split_claims
from preceptor.evaluation.faithfulness import (
    HALLUCINATION_VERDICTS,
    AuditLook,
    CheckedResponse,
    FaithfulnessResult,
    check_responses,
    estimate_faithfulness,
    plan_looks,
    shuffle_by_hash,
)
from preceptor.evaluation.judges import CaseJudge, JudgeCase, impute_missing
from preceptor.evaluation.judges.claim_judges import OverlapJudge, claim_features
from preceptor.evaluation.judges.validation import _SCORE_EDGE
from preceptor.evaluation.prompts import ModelAnswers
from preceptor.evaluation.release_bounds import BoundState, ReleaseBound, decide_release
from preceptor.questions import define_question
from preceptor.runs.claim_audit_summary import ClaimAuditFacts, summary_lines, worst_claims
from preceptor.runs.named_judges import ScoreProgress, score_cases
from preceptor.statistics import estimate_mean
from preceptor.storage import events, items, people, questions, slots
from preceptor.types import ComposedConsensus, Estimate, Item, Question, render_sources

if TYPE_CHECKING:
    from preceptor.project import Project


CLAIM_QUESTION = "faithfulness"
_CLAIM_INSTRUCTIONS = (
    "Do the sources alone bear out each claim? Contradicted: they say otherwise. Not found: they don't say, even if it is true."
)

ClaimVerdicts = Mapping[int, str]


def make_claim_question() -> Question:
    """Make the question for people: the verdict on each claim of a response."""
    return replace(define_question({"name": CLAIM_QUESTION, "kind": "claims", "instructions": _CLAIM_INSTRUCTIONS}), purpose=CLAIM_QUESTION)


def response_item_ids(answers: ModelAnswers) -> list[str]:
    """Return the item id of each response, which differs when the answers, or the rules that split them, differ."""
    mark = hashlib.sha256(f"{answers.digest}/{SPLITTER_VERSION}".encode()).hexdigest()[:12]
    return [f"{each.id}@{mark}" for each in answers.prompts]


def queue_responses(project: Project, answers: ModelAnswers, claims: Sequence[Sequence[str]], rows: Sequence[int], look: int) -> int:
    """Queue responses (row numbers) for annotation, except those without claims; return how many are new."""
    ids = response_item_ids(answers)
    new = [
        Item(
            ids[row],
            {
                "prompt": answers.prompts[row].prompt,
                "completion": answers.texts[row],
                "sources": list(answers.prompts[row].sources),
                "claims": list(claims[row]),
            },
            answers.prompts[row].group,
            {"look": look},
        )
        for row in rows
        if claims[row]
    ]
    if not new:
        return 0
    added = question_admin.enqueue_items(project, _existing_question(project), new)
    _set_target_counts(
        project,
        {item.id for item in new},
        lambda count: max(count.target_count, project.config.redundancy.initial_judgments),
        "asking resumed",
    )
    return added


def stop_queueing(project: Project, answers: ModelAnswers) -> None:
    """Ask nobody else about these responses; answers of people who hold one are still accepted."""
    _set_target_counts(
        project, set(response_item_ids(answers)), lambda count: min(count.judgment_count, count.target_count), "asking ended"
    )


def _existing_question(project: Project) -> Question:
    """Return the question as it was asked first: with another wording it would be another question, and its answers would be lost."""
    return next(
        (each for each in project.questions() if each.name == CLAIM_QUESTION and each.purpose == CLAIM_QUESTION), make_claim_question()
    )


def _set_target_counts(project: Project, of: Collection[str], target_count: Callable[[slots.SlotCounts], int], what: str) -> None:
    """Set how many judgments items shall have, where that differs."""
    with project.database.writing() as connection:
        key, _ = questions.get(connection, CLAIM_QUESTION)
        found = {item: (count, target_count(count)) for item, count in slots.counts_by_item(connection, key).items() if item in of}
        changed = {item: number for item, (count, number) in found.items() if number != count.target_count}
        if changed:
            slots.set_target_counts(connection, key, changed)
            events.record_event(connection, what, {"question": CLAIM_QUESTION, "items": len(changed)})


def queue_tied_responses(project: Project, answers: ModelAnswers) -> int:
    """Ask one more person where people are tied about a claim; return for how many responses.

    As many are asked as guidance allows, then a reviewer, then an expert.
    """
    seen = _load_claim_judgments(project)
    if seen is None:
        return 0
    tied = seen.tied_items & seen.select_complete(response_item_ids(answers)) - set(seen.judgment_set.gold)
    more = {item: seen.counts[item].judgment_count + 1 for item in tied if seen.counts[item].judgment_count < seen.max_judgments}
    higher = {item: seen.counts[item].tier + 1 for item in tied - set(more) if seen.can_be_asked(item)}
    with project.database.writing() as connection:
        slots.set_target_counts(connection, seen.judgment_set.key, more)
        slots.escalate(connection, seen.judgment_set.key, higher)
    return len(more) + len(higher)


def load_verdicts(project: Project, answers: ModelAnswers) -> tuple[set[int], dict[int, ClaimVerdicts], int]:
    """Load people's verdicts on responses.

    Returns the rows that people are asked about; the verdicts by row, for rows that have all their judgments or were adjudicated; and the
    number of judgments these rest on. A claim on which people are tied has no verdict yet, unless nobody is left to ask: then it counts as
    contradicted.
    """
    seen = _load_claim_judgments(project)
    if seen is None:
        return set(), {}, 0
    row_of = {id_: row for row, id_ in enumerate(response_item_ids(answers))}
    done = seen.select_complete(row_of) - {item for item in seen.tied_items if seen.can_be_asked(item)}
    told = {item: _verdicts_by_claim(answer) for item, answer in seen.judgment_set.gold.items() if item in row_of}
    if new := done - set(told):
        fitted = seen.judgment_set.fit()
        assert isinstance(fitted, ComposedConsensus)
        found = {item: _verdicts_by_claim(marks) for item, marks in zip(fitted.items, fitted.composed, strict=True) if item in new}
        told |= {item: verdicts | dict.fromkeys(seen.ties.get(item, ()), "contradicted") for item, verdicts in found.items()}
    judgments = sum(item in told for item in seen.judgment_set.columns[0])
    return {row_of[item] for item in seen.counts if item in row_of}, {row_of[item]: verdicts for item, verdicts in told.items()}, judgments


def load_claim_pairs(project: Project) -> list[ClaimPair]:
    """Load people's verdicts on claims of models' responses as pairs, each claim with the probability that it is supported."""
    with project.database.reading() as connection:
        try:
            standing = JudgmentSet.load(connection, CLAIM_QUESTION)
        except NotFoundError:
            return []
        known = {item.id: item for item in items.stream(connection, CLAIM_QUESTION)}
    if not standing.columns[0]:
        return []
    fitted = standing.fit()
    assert isinstance(fitted, ComposedConsensus)
    found = []
    for id_, marks, parts in zip(fitted.items, fitted.composed, fitted.parts, strict=True):
        item = known[id_]
        for mark, chances in zip(marks, parts["verdicts"], strict=False):
            if isinstance(mark.get("claim"), int) and mark["claim"] < len(item.content["claims"]):
                claim = item.content["claims"][mark["claim"]]
                found.append(ClaimPair(claim, render_sources(item.content), float(chances.get("supported", 0.0)), item.group))
    return merge_claim_pairs(found)


@dataclass(frozen=True)
class _ClaimJudgments:
    """The judgments about claims.

    ties: by item, the claims on which no verdict has more than half of the votes. max_judgments: per item, by guidance. highest_tier: the
    highest tier of annotators that exists.
    """

    judgment_set: JudgmentSet
    counts: Mapping[str, slots.SlotCounts]
    ties: Mapping[str, Sequence[int]]
    max_judgments: int
    highest_tier: int

    @property
    def tied_items(self) -> set[str]:
        return set(self.ties)

    def select_complete(self, of: Collection[str]) -> set[str]:
        """Return the items that have all the judgments they shall have."""
        return {
            item for item in of if (count := self.counts.get(item)) and count.judgment_count and count.judgment_count >= count.target_count
        }

    def can_be_asked(self, item: str) -> bool:
        """Return whether somebody is left to decide an item."""
        return item in self.counts and (self.counts[item].judgment_count < self.max_judgments or self.counts[item].tier < self.highest_tier)


def _load_claim_judgments(project: Project) -> _ClaimJudgments | None:
    """Load the judgments; None where the question was never asked."""
    with project.database.reading() as connection:
        try:
            key, _ = questions.get(connection, CLAIM_QUESTION)
        except NotFoundError:
            return None
        counts, standing = slots.counts_by_item(connection, key), JudgmentSet.load(connection, CLAIM_QUESTION)
        top = slots.highest_tier(people.list_annotators(connection))
    return _ClaimJudgments(standing, counts, _find_ties(standing), project.config.redundancy.max_judgments, top)


def _find_ties(standing: JudgmentSet) -> dict[str, list[int]]:
    votes: dict[tuple[str, int], Counter[str]] = {}
    for item, marks in zip(standing.columns[0], standing.columns[2], strict=True):
        for number, verdict in _verdicts_by_claim(marks).items():
            votes.setdefault((item, number), Counter())[verdict] += 1
    found: dict[str, list[int]] = {}
    for (item, number), told in votes.items():
        if 2 * max(told.values()) <= told.total():
            found.setdefault(item, []).append(number)
    return found


def _verdicts_by_claim(marks: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    return {mark["claim"]: mark["verdict"] for mark in marks if isinstance(mark.get("claim"), int)}


_HALLUCINATION_TITLE = "Hallucination"


@dataclass(frozen=True)
class _AuditProgress:
    """The progress of an audit: responses with scores and verdicts, their random order, and the looks."""

    responses: Sequence[CheckedResponse]
    order: Sequence[int]
    looks: tuple[AuditLook, ...]
    asked_rows: set[int]
    judgment_count: int

    @property
    def last_complete_look(self) -> AuditLook | None:
        """The last look whose whole sample people have checked; answers of the next don't count yet, since easy ones come first."""
        complete = [
            look for look in self.looks if not self.list_waiting(look) and any(self.responses[row].claims for row in self.sample(look))
        ]
        return complete[-1] if complete else None

    @property
    def open_look(self) -> AuditLook | None:
        """The look that people are at, if they haven't checked all of it."""
        begun = [look for look in self.looks if any(row in self.asked_rows for row in self.list_waiting(look))]
        return begun[0] if begun else None

    def sample(self, look: AuditLook) -> Sequence[int]:
        return self.order[: look.size]

    def list_waiting(self, look: AuditLook) -> list[int]:
        """List the responses of a look's sample that people haven't checked."""
        return [row for row in self.sample(look) if not self.responses[row].is_checked]

    def next_look(self, look: AuditLook | None) -> AuditLook | None:
        """Return the look that follows."""
        number = look.number if look else 0
        return self.looks[number] if number < len(self.looks) else None


def audit_claims(
    project: Project,
    answers: ModelAnswers,
    judge: CaseJudge,
    *,
    queue: bool = True,
    bounds: Sequence[ReleaseBound] = (),
    counted: Sequence[str] = HALLUCINATION_VERDICTS,
    progress: ScoreProgress | None = None,
) -> dict[str, Any]:
    """Run or continue an audit and return the report's section about hallucination: figures with intervals, sentences, examples.

    judge: scores how far a claim's sources support it. queue: queue the next responses for annotation where the interval doesn't decide
    `bounds` yet (or there are none). counted: the verdicts that count as hallucination. Raises UserError for responses without sources, and
    for the same claim about the same sources in two groups.
    """
    claims = [split_claims(text) for text in answers.texts]
    _check_sources(answers, claims)
    scored = _score_responses(project, answers, claims, judge, progress)
    check_responses(scored)
    tied = queue_tied_responses(project, answers) if queue else 0
    seen = _load_progress(project, answers, scored)
    done = seen.last_complete_look
    measured = None if done is None else estimate_faithfulness(seen.responses, seen.sample(done), done, counted=counted)
    state = _bounds_state(bounds, measured)
    following = seen.next_look(done)
    put = 0
    if queue and state in (None, "undecided") and following is not None and seen.list_waiting(following):
        put = queue_responses(project, answers, claims, seen.sample(following), following.number)
        seen = _load_progress(project, answers, scored)
    if state in ("met", "missed") and seen.open_look is not None:
        stop_queueing(project, answers)
        seen = replace(seen, asked_rows=set())
    section = _audit_section(project, answers, judge, seen, measured, bounds=bounds, state=state, put=put)
    if tied:
        section["summary"].append(f"People are tied about a claim of {tied} responses, which count when one more person has decided each.")
        section["looks"]["tied"] = tied
    return section


def _check_sources(answers: ModelAnswers, claims: Sequence[Sequence[str]]) -> None:
    """Raise UserError for responses of which no rate can be estimated."""
    groups: dict[tuple[str, tuple[str, ...]], str] = {}
    for each, found in zip(answers.prompts, claims, strict=True):
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


def _score_responses(
    project: Project, answers: ModelAnswers, claims: Sequence[Sequence[str]], judge: CaseJudge, progress: ScoreProgress | None
) -> list[CheckedResponse]:
    cases = [JudgeCase(claim, each.sources, each.prompt) for each, found in zip(answers.prompts, claims, strict=True) for claim in found]
    ends = np.cumsum([0, *map(len, claims)])
    scores = score_cases(project, judge, cases, progress)
    has_seen = getattr(judge, "has_seen", None)
    # the judge was trained on verdicts on these claims, and would look better on them than on the rest
    taught = np.array([has_seen is not None and has_seen(case) for case in cases], dtype=bool)
    scores = np.where(taught, np.nan, scores)
    features = claim_features(cases)
    if not isinstance(judge, OverlapJudge):
        features = np.column_stack([features, logit(np.clip(impute_missing(scores), _SCORE_EDGE, 1 - _SCORE_EDGE))])
    responses = []
    for each, found, (start, end) in zip(answers.prompts, claims, pairwise(ends.tolist()), strict=True):
        known = frozenset(np.flatnonzero(taught[start:end]).tolist())
        responses.append(
            CheckedResponse(each.id, each.group, tuple(found), scores[start:end], trained_on=known, features=features[start:end])
        )
    return responses


def _load_progress(project: Project, answers: ModelAnswers, scored: Sequence[CheckedResponse]) -> _AuditProgress:
    asked, verdicts, judgments = load_verdicts(project, answers)
    responses = [replace(response, verdicts=verdicts.get(row)) for row, response in enumerate(scored)]
    order = shuffle_by_hash([response.id for response in responses], answers.digest)
    return _AuditProgress(responses, order, plan_looks(len(responses)), asked, judgments)


def _bounds_state(bounds: Sequence[ReleaseBound], measured: FaithfulnessResult | None) -> BoundState | None:
    """Return the state of the bounds by the intervals; None where there is nothing to decide, or no measurement."""
    if not bounds or measured is None:
        return None
    state = decide_release(bounds, measured.figures).state
    return None if state == "unbounded" else state


def _audit_section(
    project: Project,
    answers: ModelAnswers,
    judge: CaseJudge,
    seen: _AuditProgress,
    measured: FaithfulnessResult | None,
    *,
    bounds: Sequence[ReleaseBound],
    state: BoundState | None,
    put: int,
) -> dict[str, Any]:
    done, ahead = seen.last_complete_look, seen.open_look
    total = sum(len(response.claims) for response in seen.responses)
    checked = [seen.responses[row] for row in (seen.sample(done) if done else ())]
    told = ClaimAuditFacts(
        judge=judge, measured=measured, last_complete_look=done, open_look=ahead, next_look=seen.next_look(done), bounds=bounds,
        state=state, queued_count=put,
        response_count=len(seen.responses), claim_count=total, checked_count=sum(len(response.claims) for response in checked),
        waiting_count=len(seen.list_waiting(ahead)) if ahead else 0, judgment_count=seen.judgment_count, prices=project.config.cost,
        no_verdict_count=sum(int(np.isnan(response.support).sum()) - len(response.trained_on) for response in seen.responses),
        taught_count=sum(len(response.trained_on) for response in seen.responses),
        stray_count=sum(response.unknown_claims for response in seen.responses),
        empty_count=sum(not text.strip() for text in answers.texts),
    )  # fmt: skip
    return {
        "kind": CLAIM_QUESTION,
        "title": _HALLUCINATION_TITLE,
        "summary": summary_lines(told),
        "figures": {**(measured.figures if measured else {}), **_splitting_figures(seen.responses)},
        "rows": len(seen.responses),
        "examples": worst_claims(answers, seen.responses, judge),
        "people_alone": measured.people_alone if measured else {},
        "worth": {name: round(number, 1) for name, number in (measured.equivalent_checks if measured else {}).items()},
        "splitter": SPLITTER_VERSION,
        "judge": {"name": judge.name, "digest": judge.digest, "without_verdict": told.no_verdict_count, "taught": told.taught_count},
        "claims": {"all": total, "checked": told.checked_count},
        "looks": {
            "sizes": [look.size for look in seen.looks],
            "done": done.number if done else 0,
            "waiting": told.waiting_count,
            "judgments": seen.judgment_count,
            "decided": state if state != "undecided" else None,
        },
        "cost": told.cost_document(),
    }


def _splitting_figures(responses: Sequence[CheckedResponse]) -> Mapping[str, Estimate]:
    """Return the number of claims per response and the share of responses without any, which a rate per claim has to be read with."""
    groups = [response.group for response in responses]
    return {
        "claims_per_response": estimate_mean(
            [float(len(response.claims)) for response in responses], clusters=groups, within=(0.0, np.inf)
        ),
        "claimless": estimate_mean([float(not response.claims) for response in responses], clusters=groups),
    }
