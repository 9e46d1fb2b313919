"""What the section on hallucination says to people, sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.domain import Estimate
from preceptor.evaluation.audits import Look
from preceptor.evaluation.faithfulness import Measured
from preceptor.evaluation.gate import Bound, State
from preceptor.evaluation.judges import Judge
from preceptor.evaluation.judges.overlap import OverlapJudge
from preceptor.evaluation.splitting import SPLITTER
from preceptor.evaluation.wording import percent, sentence, whole_percent
from preceptor.project.config import Cost

KIND = "claims"
_WORTH = 1.02  # from which on a judge is said to save anything


@dataclass(frozen=True)
class Told:
    """What is told. done: the last complete look; ahead: the one that people are at; following: what comes after `done`."""

    judge: Judge
    measured: Measured | None
    done: Look | None
    ahead: Look | None
    following: Look | None
    bounds: Sequence[Bound]
    state: State | None
    put: int
    responses: int
    claims: int
    checked: int
    waiting: int
    judgments: int
    prices: Cost
    no_verdict: int
    taught: int
    strays: int
    empty: int

    def cost(self) -> dict[str, Any]:
        """What people's judgments cost so far, and would have without the judge for the same interval of the rate per claim."""
        spent = self.judgments * self.prices.price("", KIND)
        found: dict[str, Any] = {"judgments": self.judgments, "spent": round(spent, 2), "currency": self.prices.currency}
        if self.measured is not None and self.done is not None:
            found["people_alone"] = round(spent * self.measured.worth["hallucination"] / self.done.size, 2)
        return found


def words_of(told: Told) -> list[str]:
    """In the order in which a reader asks."""
    return [*_rates(told), *_design(told), *_judge(told), *_oddities(told), *_next(told)]


def _rates(told: Told) -> list[str]:
    if told.measured is None:
        missing = f"{told.waiting} of these wait for answers" if told.ahead else "nobody has been asked yet"
        size = (told.ahead or told.following or Look(told.responses, 1, 1)).size
        needs = f"it needs people's verdicts on {size} responses drawn at random, and {missing}"
        return [f"No valid interval exists yet, so no rate is shown: {needs}."]
    per_claim, per_response = told.measured.figures["hallucination"], told.measured.figures["hallucination_responses"]
    return [
        f"{percent(per_claim.value)} of the claims are not borne out by their sources ({_between(per_claim)}).",
        f"{percent(per_response.value)} of the responses make at least one such claim ({_between(per_response)}).",
        _parts(told.measured),
    ]


def _parts(measured: Measured) -> str:
    """What the rate is made of, and why the parts may not add up to it."""
    contradicted, absent, whole = (measured.figures[name] for name in ("contradicted", "not_found", "hallucination"))
    found = f"people found {measured.found['contradicted']:,} contradicted and {measured.found['not_found']:,} not in the sources"
    estimated = f"{percent(contradicted.value)} and {percent(absent.value)} of all claims as estimated"
    parts = f"Of the claims that they checked, {found}: {estimated}"
    if abs(contradicted.value + absent.value - whole.value) < 5e-4:
        return f"{parts}, which make up the {percent(whole.value)}."
    by = (
        "each part is estimated by itself, with what the judges say of it"
        if measured.together
        else "the parts are people's counts alone, and the whole also rests on what the judge says of the responses that nobody checked"
    )
    return f"{parts}. They needn't add up to the {percent(whole.value)}: {by}, so each has an interval of its own."


def _design(told: Told) -> list[str]:
    made = f"{told.responses:,} responses make {told.claims:,} claims, split by {SPLITTER}"
    if told.done is None:
        return [f"{made}."]
    looks = f"look {told.done.number} of {told.done.of} planned ones; the interval holds whichever look is the last"
    return [f"{made}; people checked the {told.checked:,} claims of {told.done.size:,} responses drawn at random ({looks})."]


def _judge(told: Told) -> list[str]:
    words = []
    if told.measured is not None and told.measured.together:
        words.append(
            f"What the judge ({told.judge.name}) and the claims' wording say is taken together by a regression on people's own verdicts, "
            "fitted on other groups than those that it predicts."
        )
    elif isinstance(told.judge, OverlapJudge):
        words.append(
            "The judge is word overlap, the last resort: no judge was named, and none has been trained here (preceptor judge train FILE)."
        )
    if told.measured is None or told.done is None:
        return words
    worth, checked = told.measured.worth["hallucination"], told.done.size
    if worth > _WORTH * checked:
        cost = told.cost()
        words.append(
            f"With the judge ({told.judge.name}) the interval of the rate per claim is as narrow as {worth:,.0f} responses checked by"
            f" people alone would make it, at {cost['people_alone']:,.2f} {cost['currency']} instead of {cost['spent']:,.2f}."
        )
    else:
        words.append(f"The judge ({told.judge.name}) makes the interval no narrower here than people's verdicts alone would.")
    precision, recall = (told.measured.figures.get(f"judge_{name}") for name in ("precision", "recall"))
    if precision is not None and recall is not None:
        words.append(
            f"Of what the judge flags, people find {percent(precision.value)} hallucinated ({_between(precision)}); of what people find"
            f" hallucinated, it flags {percent(recall.value)} ({_between(recall)})."
        )
    return words


def _oddities(told: Told) -> list[str]:
    found = []
    if told.empty:
        found.append(f"Empty: {_count(told.empty, 'response')}, which stay among the responses, with no claim.")
    if told.no_verdict:
        missing = _count(told.no_verdict, "claim")
        found.append(f"The judge gave no verdict on {missing}, which have the middle score, among the checked ones as among the rest.")
    if told.taught:
        taught = _count(told.taught, "claim")
        found.append(f"The judge has learned from people's verdicts on {taught}; these have its mean over the rest as score.")
    if told.strays:
        found.append(f"Left out: {_count(told.strays, 'verdict')} of people on claims that these responses don't have.")
    return found


def _next(told: Told) -> list[str]:
    if told.state in ("met", "missed"):
        return [f"The interval decides {_all(told.bounds)}: {told.state}. Nobody else needs to be asked."]
    if told.ahead is not None:
        wait = f"{told.waiting} of the {told.ahead.size} responses of the next look wait for answers to the question 'faithfulness'."
        return [f"{_count(told.put, 'response')} more before people: {wait}" if told.put else sentence(wait)]
    undecided = f"The interval doesn't decide {_all(told.bounds)} yet. " if told.state == "undecided" else ""
    if told.following is not None:
        return [f"{undecided}The next look takes {told.following.size} responses in all; --queue puts them before people."]
    return [f"{undecided}All planned looks are done: for a narrower interval, evaluate on further prompts."]


def _between(estimate: Estimate) -> str:
    return f"between {percent(estimate.low)} and {percent(estimate.high)} with {whole_percent(estimate.confidence)} confidence"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _all(bounds: Sequence[Bound]) -> str:
    return " and ".join(map(str, bounds))
