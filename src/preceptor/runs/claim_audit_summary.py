"""Summarise a hallucination audit in sentences and select its worst examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.config import CostOptions
from preceptor.evaluation.claims import SPLITTER_VERSION, find_passage
from preceptor.evaluation.faithfulness import AuditLook, CheckedResponse, FaithfulnessResult
from preceptor.evaluation.judges import CaseJudge, JudgeCase
from preceptor.evaluation.judges.claim_judges import OverlapJudge
from preceptor.evaluation.number_format import capitalize_first, format_percent, format_whole_percent
from preceptor.evaluation.prompts import ModelAnswers
from preceptor.evaluation.release_bounds import BoundState, ReleaseBound
from preceptor.types import Estimate

_CLAIM_KIND = "claims"
_MIN_WORTH = 1.02  # relative gain from which on a judge is reported to save judgments


@dataclass(frozen=True)
class ClaimAuditFacts:
    """The facts of an audit that its summary reports.

    last_complete_look: the last look whose sample people have checked. open_look: the one that people are at. next_look: the one after the
    last complete look. taught_count: claims that the judge was trained on. stray_count: verdicts on claims that the responses don't have.
    """

    judge: CaseJudge
    measured: FaithfulnessResult | None
    last_complete_look: AuditLook | None
    open_look: AuditLook | None
    next_look: AuditLook | None
    bounds: Sequence[ReleaseBound]
    state: BoundState | None
    queued_count: int
    response_count: int
    claim_count: int
    checked_count: int
    waiting_count: int
    judgment_count: int
    prices: CostOptions
    no_verdict_count: int
    taught_count: int
    stray_count: int
    empty_count: int

    def cost_document(self) -> dict[str, Any]:
        """Return the cost of people's judgments so far, and the cost of the same interval of the rate per claim without the judge."""
        spent = self.judgment_count * self.prices.judgment_price("", _CLAIM_KIND)
        found: dict[str, Any] = {"judgments": self.judgment_count, "spent": round(spent, 2), "currency": self.prices.currency}
        if self.measured is not None and self.last_complete_look is not None:
            found["people_alone"] = round(spent * self.measured.equivalent_checks["hallucination"] / self.last_complete_look.size, 2)
        return found


def summary_lines(told: ClaimAuditFacts) -> list[str]:
    """Return the sentences of the summary, in the order in which a reader asks."""
    return [*_rate_lines(told), *_design_lines(told), *_judge_lines(told), *_exception_lines(told), *_next_step_lines(told)]


def _rate_lines(told: ClaimAuditFacts) -> list[str]:
    if told.measured is None:
        missing = f"{told.waiting_count} of these wait for answers" if told.open_look else "nobody has been asked yet"
        size = (told.open_look or told.next_look or AuditLook(told.response_count, 1, 1)).size
        needs = f"it needs people's verdicts on {size} responses drawn at random, and {missing}"
        return [f"No valid interval exists yet, so no rate is shown: {needs}."]
    per_claim, per_response = told.measured.figures["hallucination"], told.measured.figures["hallucination_responses"]
    return [
        f"{format_percent(per_claim.value)} of the claims are not borne out by their sources ({_format_interval(per_claim)}).",
        f"{format_percent(per_response.value)} of the responses make at least one such claim ({_format_interval(per_response)}).",
        _parts_line(told.measured),
    ]


def _parts_line(measured: FaithfulnessResult) -> str:
    """Return the sentence on the parts of the rate, and why they may not add up to it."""
    contradicted, absent, whole = (measured.figures[name] for name in ("contradicted", "not_found", "hallucination"))
    found = (
        f"people found {measured.verdict_counts['contradicted']:,} contradicted "
        f"and {measured.verdict_counts['not_found']:,} not in the sources"
    )
    estimated = f"{format_percent(contradicted.value)} and {format_percent(absent.value)} of all claims as estimated"
    parts = f"Of the claims that they checked, {found}: {estimated}"
    if abs(contradicted.value + absent.value - whole.value) < 5e-4:
        return f"{parts}, which make up the {format_percent(whole.value)}."
    by = (
        "each part is estimated by itself, with what the judges say of it"
        if measured.uses_regression
        else "the parts are people's counts alone, and the whole also rests on what the judge says of the responses that nobody checked"
    )
    return f"{parts}. They needn't add up to the {format_percent(whole.value)}: {by}, so each has an interval of its own."


def _design_lines(told: ClaimAuditFacts) -> list[str]:
    made = f"{told.response_count:,} responses make {told.claim_count:,} claims, split by {SPLITTER_VERSION}"
    if told.last_complete_look is None:
        return [f"{made}."]
    looks = (
        f"look {told.last_complete_look.number} of {told.last_complete_look.total_looks} "
        f"planned ones; the interval holds whichever look is the last"
    )
    return [
        f"{made}; people checked the {told.checked_count:,} claims of {told.last_complete_look.size:,} responses drawn at random ({looks})."
    ]


def _judge_lines(told: ClaimAuditFacts) -> list[str]:
    words = []
    if told.measured is not None and told.measured.uses_regression:
        words.append(
            f"What the judge ({told.judge.name}) and the claims' wording say is taken together by a regression on people's own verdicts, "
            "fitted on other groups than those that it predicts."
        )
    elif isinstance(told.judge, OverlapJudge):
        words.append(
            "The judge is word overlap, the last resort: no judge was named, and none has been trained here (preceptor judge train FILE)."
        )
    if told.measured is None or told.last_complete_look is None:
        return words
    worth, checked = told.measured.equivalent_checks["hallucination"], told.last_complete_look.size
    if worth > _MIN_WORTH * checked:
        cost = told.cost_document()
        words.append(
            f"With the judge ({told.judge.name}) the interval of the rate per claim is as narrow as {worth:,.0f} responses checked by"
            f" people alone would make it, at {cost['people_alone']:,.2f} {cost['currency']} instead of {cost['spent']:,.2f}."
        )
    else:
        words.append(f"The judge ({told.judge.name}) makes the interval no narrower here than people's verdicts alone would.")
    precision, recall = (told.measured.figures.get(f"judge_{name}") for name in ("precision", "recall"))
    if precision is not None and recall is not None:
        words.append(
            f"Of what the judge flags, people find {format_percent(precision.value)} hallucinated "
            f"({_format_interval(precision)}); of what people find"
            f" hallucinated, it flags {format_percent(recall.value)} ({_format_interval(recall)})."
        )
    return words


def _exception_lines(told: ClaimAuditFacts) -> list[str]:
    found = []
    if told.empty_count:
        found.append(f"Empty: {_format_count(told.empty_count, 'response')}, which stay among the responses, with no claim.")
    if told.no_verdict_count:
        missing = _format_count(told.no_verdict_count, "claim")
        found.append(f"The judge gave no verdict on {missing}, which have the middle score, among the checked ones as among the rest.")
    if told.taught_count:
        taught = _format_count(told.taught_count, "claim")
        found.append(f"The judge has learned from people's verdicts on {taught}; these have its mean over the rest as score.")
    if told.stray_count:
        found.append(f"Left out: {_format_count(told.stray_count, 'verdict')} of people on claims that these responses don't have.")
    return found


def _next_step_lines(told: ClaimAuditFacts) -> list[str]:
    if told.state in ("met", "missed"):
        return [f"The interval decides {_join_bounds(told.bounds)}: {told.state}. Nobody else needs to be asked."]
    if told.open_look is not None:
        wait = (
            f"{told.waiting_count} of the {told.open_look.size} responses of the next look wait for answers to the question 'faithfulness'."
        )
        return [
            f"{_format_count(told.queued_count, 'response')} more before people: {wait}" if told.queued_count else capitalize_first(wait)
        ]
    undecided = f"The interval doesn't decide {_join_bounds(told.bounds)} yet. " if told.state == "undecided" else ""
    if told.next_look is not None:
        return [f"{undecided}The next look takes {told.next_look.size} responses in all; --queue puts them before people."]
    return [f"{undecided}All planned looks are done: for a narrower interval, evaluate on further prompts."]


def _format_interval(estimate: Estimate) -> str:
    return (
        f"between {format_percent(estimate.low)} and {format_percent(estimate.high)} "
        f"with {format_whole_percent(estimate.confidence)} confidence"
    )


def _format_count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _join_bounds(bounds: Sequence[ReleaseBound]) -> str:
    return " and ".join(map(str, bounds))


_MAX_EXAMPLES = 10
_MAX_EXAMPLE_CHARS = 1_500  # characters of a prompt or a response that an example shows
_VERDICT_ORDER = {"contradicted": 0, "not_found": 1, None: 2}


def worst_claims(answers: ModelAnswers, responses: Sequence[CheckedResponse], judge: CaseJudge) -> list[dict[str, Any]]:
    """Select at most `_MAX_EXAMPLES` claims, the worst of each response before a second one of any.

    First come claims that people found contradicted, then those they didn't find in the sources, then unchecked ones with the judge's
    lowest scores.
    """
    found = sorted(_find_suspect_claims(responses), key=lambda claim: (_VERDICT_ORDER[claim[2]], claim[3], claim[0], claim[1]))
    rank: Counter[int] = Counter()
    ranked = []
    for claim in found:
        ranked.append((rank[claim[0]], claim))
        rank[claim[0]] += 1
    chosen = [claim for _, claim in sorted(ranked, key=lambda pair: pair[0])[:_MAX_EXAMPLES]]
    return [_claim_example(answers, responses[row], row, number, judge) for row, number, *_ in chosen]


def _find_suspect_claims(responses: Sequence[CheckedResponse]) -> list[tuple[int, int, str | None, float]]:
    """Return (response, claim, people's verdict, support) of claims found wrong by people, or flagged by the judge and unchecked."""
    suspects = []
    for row, response in enumerate(responses):
        for number, support in enumerate(np.nan_to_num(response.support, nan=1.0).tolist()):
            verdict = (response.verdicts or {}).get(number)
            if verdict in ("contradicted", "not_found") or (verdict is None and support < 0.5):
                suspects.append((row, number, verdict, support))
    return suspects


def _claim_example(answers: ModelAnswers, response: CheckedResponse, row: int, number: int, judge: CaseJudge) -> dict[str, Any]:
    claim, asked = response.claims[number], answers.prompts[row]
    case = JudgeCase(claim, asked.sources, asked.prompt)
    support = float(response.support[number])
    evidence = judge.evidence(case) if hasattr(judge, "evidence") else find_passage(claim, asked.sources)
    return {
        "id": response.id,
        "claim": claim,
        "verdict": (response.verdicts or {}).get(number),
        "judge": None if np.isnan(support) else round(support, 4),
        "evidence": evidence or "Nothing in the sources has to do with this claim.",
        "prompt": asked.prompt[:_MAX_EXAMPLE_CHARS],
        "response": answers.texts[row][:_MAX_EXAMPLE_CHARS],
    }
