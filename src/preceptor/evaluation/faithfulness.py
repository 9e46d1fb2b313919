"""How much of what a model says its sources don't bear out: rates per claim and per response, from people's verdicts and a judge's.

hallucination              share of all claims that count as hallucinated (by default: contradicted, or not found in the sources)
hallucination_responses    share of all responses with at least one; responses without any claim (refusals) stay in, else silence wins
contradicted, not_found    share of claims of each: the parts of the first, estimated in the same way, each by itself
claimless                  share of responses that claim nothing
judge_precision, _recall   of the claims that the judge flags, how many people find hallucinated; and of those, how many it flags

People see a random part of the responses, the judges see all: prediction-powered intervals over groups of responses. Judges are taken
together by a regression on people's verdicts, fitted out of fold by group (`verdict_regression`); by the judge's score where too few
are there. Without people's verdicts there is no interval that holds, and so no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.audits import Look
from preceptor.evaluation.judges.agreement import filled_in
from preceptor.evaluation.judges.claim_features import FEATURES
from preceptor.evaluation.judges.verdict_regression import verdict_chances
from preceptor.statistics import at_look, mean, ppi_mean, ppi_ratio

VERDICTS = ("supported", "contradicted", "not_found")
COUNTED = ("contradicted", "not_found")  # as hallucination, where the sources were given with the question
RATES = ("hallucination", "hallucination_responses")  # the figures that only people's checks bear
FLAGGED = 0.5  # support below which a judge flags a claim


@dataclass(frozen=True)
class Response:
    """A response as its claims, what the judge says of each, and people's verdicts where they have been asked.

    support: the judge's score of each claim, (claims,), in [0, 1]; NaN where it gave no verdict. verdicts: by the claim's number.
    taught: the claims (by number) on which it has learned people's verdict, so that its score would look better than it is.
    features: what is known of each claim, (claims, d), for the regression, word overlap first (`claim_features`), then the judge's
    score, if that is another; None where the judge's score alone counts.
    """

    id: str
    group: str
    claims: tuple[str, ...]
    support: FloatArray
    verdicts: Mapping[int, str] | None = None
    taught: frozenset[int] = frozenset()
    features: FloatArray | None = None

    @property
    def is_checked(self) -> bool:
        """Whether people's verdict on each claim is there; there is nothing to check where there is no claim."""
        return not self.claims or (self.verdicts is not None and set(range(len(self.claims))) <= set(self.verdicts))

    @property
    def strays(self) -> int:
        """Verdicts on claims that the response doesn't have, as when it was split otherwise; they count for nothing."""
        return len(set(self.verdicts or ()) - set(range(len(self.claims))))


@dataclass(frozen=True)
class Measured:
    """Figures by name, and how many responses people alone would have had to check for the same interval of each main figure.

    together: whether judges were taken together by the regression, and not the judge's score alone. found: claims of the sample by
    people's verdict.
    """

    figures: dict[str, Estimate]
    alone: dict[str, Estimate]
    worth: dict[str, float]
    together: bool = False
    found: Mapping[str, int] = field(default_factory=dict)


def check_responses(responses: Sequence[Response]) -> None:
    """UserError unless there are claims, and each has a score in [0, 1] or NaN."""
    if not any(response.claims for response in responses):
        raise UserError("none of the responses claims anything", "look at the answers: are they empty, or all refusals?")
    for response in responses:
        score = np.asarray(response.support, dtype=np.float64)
        if score.shape != (len(response.claims),):
            raise UserError(f"{len(response.claims)} claims and scores of shape {score.shape}", "one score a claim", where=response.id)
        if outside := score[~np.isnan(score) & ~((score >= 0) & (score <= 1))].tolist():
            raise UserError(f"the judge's score {outside[0]:g} lies outside 0 to 1", "mend the judge; 1 says supported", where=response.id)
        if unknown := sorted(set((response.verdicts or {}).values()) - set(VERDICTS)):
            raise UserError(f"no verdict is called {unknown[0]!r}", f"verdicts: {', '.join(VERDICTS)}", where=response.id)


def measure(
    responses: Sequence[Response], sample: Sequence[int], look: Look, *, counted: Sequence[str] = COUNTED, confidence: float = 0.95
) -> Measured:
    """All figures from the responses in the sample (row numbers, drawn at random), which people have checked, and the judge on all.

    UserError where nobody has checked any claim, or one of the sample isn't checked.
    """
    check_responses(responses)
    if not any(responses[row].claims for row in sample):
        raise UserError(
            "no human verdicts: no valid interval exists, however many claims the judge has scored",
            "have people check the responses that the design picks",
        )
    if waiting := [responses[row].id for row in sample if not responses[row].is_checked]:
        raise UserError(f"{len(waiting)} responses of the sample wait for people's verdicts, {waiting[0]!r} first", "let them answer first")
    table = _Table.of(responses, sample, counted)
    ways = {"hallucination": table.per_claim, "hallucination_responses": table.per_response}
    by_people = {"hallucination": table.claims_alone, "hallucination_responses": table.responses_alone}
    shares = {verdict: partial(table.per_claim_of, verdict) for verdict in VERDICTS[1:]}
    joint, alone, parts = (
        {name: _at(look, estimator, confidence) for name, estimator in each.items()} for each in (ways, by_people, shares)
    )
    claimless = mean([float(not response.claims) for response in responses], clusters=[response.group for response in responses])
    figures = {**joint, **parts, "claimless": claimless, **table.judge(confidence)}
    worth = {name: _worth(joint[name], alone[name], len(sample)) for name in joint}
    found = {verdict: int((table.said == verdict).sum()) for verdict in VERDICTS}
    return Measured(figures, alone, worth, table.chances is not None, found)


@dataclass(frozen=True)
class _Table:
    """Claims as rows. wrong: whether people found each hallucinated (only of checked ones); flags: 1 − support, without gaps.

    What the judge was taught stands among the checked ones alone. There it has the mean of the others, by claims as by responses:
    a constant that moves no estimate, as any other would.
    """

    owner: NDArray[np.int64]
    wrong: FloatArray
    said: NDArray[np.str_]
    flags: FloatArray
    scored: NDArray[np.bool_]
    taught: NDArray[np.bool_]
    groups: NDArray[Any]
    sampled: NDArray[np.bool_]
    support: FloatArray
    chances: FloatArray | None

    @classmethod
    def of(cls, responses: Sequence[Response], sample: Sequence[int], counted: Sequence[str]) -> _Table:
        owner = np.repeat(np.arange(len(responses)), [len(response.claims) for response in responses])
        support = np.concatenate([np.asarray(response.support, dtype=np.float64) for response in responses])
        taught = np.array([number in response.taught for response in responses for number in range(len(response.claims))], dtype=bool)
        scored = ~np.isnan(support) & ~taught
        support = filled_in(support)  # on both sides: without them, the claims left would be of another kind
        sampled = np.zeros(len(responses), dtype=bool)
        sampled[list(sample)] = True
        support = np.where(taught, _middle(support[~sampled[owner] & ~taught]), support)
        said = np.array(
            [
                (response.verdicts or {}).get(number, "") if sampled[row] else ""
                for row, response in enumerate(responses)
                for number in range(len(response.claims))
            ],
            dtype=np.str_,
        )
        wrong = np.isin(said, list(counted)).astype(np.float64)
        groups = np.array([response.group for response in responses])
        chances = _together(responses, np.where(taught, "", said), groups[owner])
        flags = 1 - _alike(responses, support, taught, sampled[owner])
        if chances is not None:
            chances = np.where(taught[:, None], _middles(chances[~sampled[owner] & ~taught]), chances)
            flags = chances[:, [VERDICTS.index(verdict) for verdict in counted]].sum(axis=1)
        return cls(owner, wrong, said, np.clip(flags, 0.0, 1.0), scored, taught, groups, sampled, support, chances)

    @property
    def checked(self) -> NDArray[np.bool_]:
        """Of each claim whether people's verdict counts."""
        return np.asarray(self.sampled[self.owner])

    def per_claim(self, confidence: float) -> Estimate:
        return self._ratio(self.wrong, self.flags, confidence)

    def per_claim_of(self, verdict: str, confidence: float) -> Estimate:
        """The share of claims of one verdict, by people alone where nothing tells how probable it is."""
        said = (self.said == verdict).astype(np.float64)
        if self.chances is None:
            return self._mean(said, confidence)
        return self._ratio(said, np.clip(self.chances[:, VERDICTS.index(verdict)], 0.0, 1.0), confidence)

    def _ratio(self, of_claim: FloatArray, flagged: FloatArray, confidence: float) -> Estimate:
        count, wrong, flags = (np.bincount(self.owner, weights, len(self.sampled)) for weights in (None, of_claim, flagged))
        here, rest = self.sampled & (count > 0), ~self.sampled & (count > 0)
        return ppi_ratio(
            human=wrong[here], claims=count[here], judge_on_human=flags[here], judge_on_rest=flags[rest], claims_on_rest=count[rest],
            clusters_on_human=self.groups[here], clusters_on_rest=self.groups[rest], confidence=confidence,
        )  # fmt: skip

    def per_response(self, confidence: float) -> Estimate:
        here, wrong, flags = self.sampled, self._any(self.wrong), self._any(self.flags)
        taught = self._any(self.taught.astype(np.float64)) > 0
        claims = np.bincount(self.owner, minlength=len(here)) > 0  # what claims nothing is never taught: it is no part of the mean
        flags = np.where(taught, _middle(flags[~here & ~taught & claims]), flags)
        return ppi_mean(
            human=wrong[here], judge_on_human=flags[here], judge_on_rest=flags[~here],
            clusters_on_human=self.groups[here], clusters_on_rest=self.groups[~here], confidence=confidence,
        )  # fmt: skip

    def claims_alone(self, confidence: float) -> Estimate:
        return self._mean(self.wrong, confidence)

    def responses_alone(self, confidence: float) -> Estimate:
        return mean(self._any(self.wrong)[self.sampled], clusters=self.groups[self.sampled], confidence=confidence)

    def judge(self, confidence: float) -> dict[str, Estimate]:
        """Its precision and recall, as far as it has flagged and people have found something."""
        seen = self.checked & self.scored
        flagged, wrong = 1 - self.support > FLAGGED, self.wrong > 0
        of = {"judge_precision": (wrong, seen & flagged), "judge_recall": (flagged, seen & wrong)}
        return {
            name: mean(values[rows].astype(float), clusters=self.groups[self.owner[rows]], confidence=confidence)
            for name, (values, rows) in of.items()
            if rows.any()
        }

    def _mean(self, values: FloatArray, confidence: float) -> Estimate:
        return mean(values[self.checked], clusters=self.groups[self.owner[self.checked]], confidence=confidence)

    def _any(self, values: FloatArray) -> FloatArray:
        """The largest value of each response's claims, (responses,); 0 where there is none."""
        most = np.zeros(len(self.sampled))
        np.maximum.at(most, self.owner, values)
        return most


def _together(responses: Sequence[Response], said: NDArray[np.str_], groups: NDArray[Any]) -> FloatArray | None:
    """The chance of each verdict on each claim, (claims, verdicts); None where features or people's verdicts don't suffice."""
    features = [response.features for response in responses]
    if any(each is None for each in features):
        return None
    verdicts = np.array([VERDICTS.index(word) if word else -1 for word in said.tolist()])
    return verdict_chances(np.concatenate([each for each in features if each is not None]), verdicts, groups, len(VERDICTS))


def _alike(responses: Sequence[Response], support: FloatArray, taught: NDArray[np.bool_], sampled: NDArray[np.bool_]) -> FloatArray:
    """The judge's score and word overlap alike, where both are there and people's verdicts don't tell yet which knows more."""
    features = [response.features for response in responses]
    if any(each is None or each.shape[1] <= len(FEATURES) for each in features):
        return support
    both = (support + np.concatenate([each[:, 0] for each in features if each is not None])) / 2
    return np.where(taught, _middle(both[~sampled & ~taught]), both)


def _middles(chances: FloatArray) -> FloatArray:
    return chances.mean(axis=0) if len(chances) else np.full(len(VERDICTS), 1 / len(VERDICTS))


def _middle(scores: FloatArray) -> float:
    return float(scores.mean()) if len(scores) else 0.5


def _at(look: Look, estimator: Callable[[float], Estimate], confidence: float) -> Estimate:
    return estimator(confidence) if look.of == 1 else at_look(estimator, look.of, confidence=confidence)


def _worth(joint: Estimate, alone: Estimate, checked: int) -> float:
    """The responses that people alone would have had to check for an interval as narrow: widths shrink with the root of their number."""
    width, by_people = joint.high - joint.low, alone.high - alone.low
    return float(checked * (by_people / width) ** 2) if 0 < width < np.inf and by_people < np.inf else float(checked)
