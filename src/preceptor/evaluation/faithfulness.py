"""Estimate hallucination rates from people's verdicts and judges' scores (prediction-powered inference).

How much of what a model says its sources don't support, as rates per claim and per response:

hallucination              share of all claims that count as hallucinated (by default: contradicted, or not found in the sources)
hallucination_responses    share of all responses with at least one; responses without any claim (refusals) stay in, else silence wins
contradicted, not_found    share of claims of each: the parts of the first, estimated in the same way, each by itself
claimless                  share of responses that claim nothing
judge_precision, _recall   of the claims that the judge flags, how many people find hallucinated; and of those, how many it flags

People check a random sample of the responses, the judges score all: prediction-powered intervals over groups of responses. Judges are
combined by a regression on people's verdicts (`predict_verdict_probabilities`); the judge's score alone is used where too few verdicts are
available. Without people's verdicts there is no valid interval, and so no figure.

The sample grows by planned looks (`plan_looks`). After a look the interval may have decided the question, and then no more responses are
checked. Looking often would make one of the looks right by chance; so the looks are planned beforehand, few, and share the error that the
confidence allows (`estimate_at_interim`): all planned intervals hold together at the stated confidence. Nobody chooses who is in the
sample: it is a hash's order.

No judge takes precedence: the regression learns from people's own verdicts what each is worth, and none can make the figures worse than
people alone by more than the regression errs. A prediction that was fitted on a claim's own verdict, or on that of another claim of its
group, would flatter the judges; so each group is predicted by what was fitted on others (cross-prediction: Zrnic & Candès 2024), and a
group in which nobody checked anything by the mean of all fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from preceptor.errors import UserError
from preceptor.evaluation.judges.claim_judges import CLAIM_FEATURES
from preceptor.evaluation.judges.validation import impute_missing
from preceptor.statistics import estimate_at_interim, estimate_mean, ppi_mean, ppi_ratio
from preceptor.types import Estimate, FloatArray, IntArray

FIRST_LOOK_SIZE = 50  # responses at the first look; each further look doubles their number
MAX_LOOKS = 4


@dataclass(frozen=True, slots=True)
class AuditLook:
    """One planned look: size, the responses checked by then; number, its position among the `total_looks`, from 1."""

    size: int
    number: int
    total_looks: int


def plan_looks(responses: int, *, first: int = FIRST_LOOK_SIZE, looks: int = MAX_LOOKS) -> tuple[AuditLook, ...]:
    """Plan the looks at a number of responses: `first`, then twice as many each time; the last has all of them where they are fewer."""
    sizes = [first * 2**step for step in range(looks) if first * 2**step < responses]
    if len(sizes) < looks:
        sizes.append(responses)
    return tuple(AuditLook(size, number, len(sizes)) for number, size in enumerate(sizes, start=1))


def shuffle_by_hash(ids: Sequence[str], seed: str) -> list[int]:
    """Return all rows in the order in which they enter the sample: the first n are a simple random sample of every size n.

    By a hash of seed and id, so that the sample is reproducible, and a smaller one is part of a larger.
    """
    return sorted(range(len(ids)), key=lambda row: (hashlib.sha256(f"{seed}/{ids[row]}".encode()).digest(), row))


REGRESSION_FOLDS = 5
REGRESSION_RIDGE = 1.0  # penalty of each squared weight of the standardized features, in units of one claim's log-likelihood
FEWEST_CLAIMS, FEWEST_GROUPS, FEWEST_RARER = 40, 10, 5  # checked claims, groups and claims of the rarer verdict needed to fit


def predict_verdict_probabilities(
    features: FloatArray, verdicts: IntArray, groups: Any, classes: int, *, seed: int = 0
) -> FloatArray | None:
    """Predict the probability of each verdict of each claim, (claims, classes), out of fold by group.

    features: (claims, d), finite. verdicts: (claims,) codes from 0 (supported), −1 where people haven't checked. None where too few are
    checked to fit.
    """
    checked = verdicts >= 0
    wrong = int((verdicts > 0).sum())
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    asked = np.unique(codes[checked])
    rarer = min(wrong, int(checked.sum()) - wrong)
    if checked.sum() < FEWEST_CLAIMS or len(asked) < FEWEST_GROUPS or rarer < FEWEST_RARER:
        return None
    fold = np.full(len(names), -1)
    fold[np.random.default_rng(seed).permutation(asked)] = np.arange(len(asked)) % REGRESSION_FOLDS
    of_claim, chances = fold[codes], np.zeros((len(verdicts), classes))
    for number in range(REGRESSION_FOLDS):
        fitted_on = checked & (of_claim != number)
        found = _fit_verdict_regression(features[fitted_on], verdicts[fitted_on], features, classes)
        chances[of_claim == number] = found[of_claim == number]
        chances[of_claim < 0] += found[of_claim < 0] / REGRESSION_FOLDS
    return chances


def _fit_verdict_regression(features: FloatArray, verdicts: IntArray, of: FloatArray, classes: int) -> FloatArray:
    """Fit a multinomial logistic regression with a ridge penalty, and predict the verdicts of the rows `of`, (rows, classes)."""
    middle, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    table, told = (np.column_stack([np.ones(len(each)), np.clip((each - middle) / scale, -5, 5)]) for each in (features, of))
    seen = np.unique(verdicts)
    one_hot = (verdicts[:, None] == seen).astype(np.float64)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(table.shape[1], len(seen))
        scores = table @ weights
        slope = table.T @ (softmax(scores, axis=1) - one_hot)
        slope[1:] += REGRESSION_RIDGE * weights[1:]
        return float(-(one_hot * log_softmax(scores, axis=1)).sum() + REGRESSION_RIDGE / 2 * (weights[1:] ** 2).sum()), slope.ravel()

    weights = minimize(loss, np.zeros(table.shape[1] * len(seen)), jac=True, method="L-BFGS-B").x.reshape(table.shape[1], -1)
    chances = np.zeros((len(of), classes))
    chances[:, seen] = softmax(told @ weights, axis=1)
    return chances


VERDICTS = ("supported", "contradicted", "not_found")
HALLUCINATION_VERDICTS = ("contradicted", "not_found")  # count as hallucination, where the sources were given with the question
HALLUCINATION_RATES = ("hallucination", "hallucination_responses")  # the figures that need people's verdicts
FLAG_THRESHOLD = 0.5  # support below which a judge flags a claim


@dataclass(frozen=True)
class CheckedResponse:
    """A response as its claims, the judge's score of each, and people's verdicts where there are any.

    support: the judge's score of each claim, (claims,), in [0, 1]; NaN where it gave no verdict. verdicts: by the claim's number.
    trained_on: the claims (by number) whose human verdict the judge was trained on, so that its score would look better than it is.
    features: of each claim, (claims, d), for the regression, word overlap first (`claim_features`), then the judge's score, if that is
    another; None where the judge's score alone counts.
    """

    id: str
    group: str
    claims: tuple[str, ...]
    support: FloatArray
    verdicts: Mapping[int, str] | None = None
    trained_on: frozenset[int] = frozenset()
    features: FloatArray | None = None

    @property
    def is_checked(self) -> bool:
        """Whether each claim has a human verdict; a response without claims has nothing to check."""
        return not self.claims or (self.verdicts is not None and set(range(len(self.claims))) <= set(self.verdicts))

    @property
    def unknown_claims(self) -> int:
        """Number of verdicts on claims that the response doesn't have, as when it was split otherwise; they are ignored."""
        return len(set(self.verdicts or ()) - set(range(len(self.claims))))


@dataclass(frozen=True)
class FaithfulnessResult:
    """Figures by name, and what the judges add to people's verdicts.

    figures: the prediction-powered estimates. people_alone: the main figures from people's verdicts alone. equivalent_checks: how many
    responses people alone would have had to check for the same interval of each main figure. uses_regression: whether judges were combined
    by the regression, and not the judge's score alone. verdict_counts: claims of the sample by people's verdict.
    """

    figures: dict[str, Estimate]
    people_alone: dict[str, Estimate]
    equivalent_checks: dict[str, float]
    uses_regression: bool = False
    verdict_counts: Mapping[str, int] = field(default_factory=dict)


def check_responses(responses: Sequence[CheckedResponse]) -> None:
    """Validate that there are claims, and that each has a score in [0, 1] or NaN and a known verdict, if any.

    Raises UserError otherwise.
    """
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


def estimate_faithfulness(
    responses: Sequence[CheckedResponse],
    sample: Sequence[int],
    look: AuditLook,
    *,
    counted: Sequence[str] = HALLUCINATION_VERDICTS,
    confidence: float = 0.95,
) -> FaithfulnessResult:
    """Estimate all figures from the responses in the sample, which people have checked, and the judge's scores of all.

    sample: row numbers, sampled at random. look: the planned look at which the sample is. counted: the verdicts that count as
    hallucination. Raises UserError where nobody has checked any claim, or one of the sample isn't checked.
    """
    check_responses(responses)
    if not any(responses[row].claims for row in sample):
        raise UserError(
            "no human verdicts: no valid interval exists, however many claims the judge has scored",
            "have people check the responses that the design picks",
        )
    if waiting := [responses[row].id for row in sample if not responses[row].is_checked]:
        raise UserError(f"{len(waiting)} responses of the sample wait for people's verdicts, {waiting[0]!r} first", "let them answer first")
    table = _ClaimTable.from_responses(responses, sample, counted)
    ways = {"hallucination": table.per_claim, "hallucination_responses": table.per_response}
    by_people = {"hallucination": table.claims_alone, "hallucination_responses": table.responses_alone}
    shares = {verdict: partial(table.per_claim_of, verdict) for verdict in VERDICTS[1:]}
    joint, alone, parts = (
        {name: _estimate_at_look(look, estimator, confidence) for name, estimator in each.items()} for each in (ways, by_people, shares)
    )
    claimless = estimate_mean([float(not response.claims) for response in responses], clusters=[response.group for response in responses])
    figures = {**joint, **parts, "claimless": claimless, **table.judge(confidence)}
    worth = {name: _equivalent_checks(joint[name], alone[name], len(sample)) for name in joint}
    found = {verdict: int((table.verdicts == verdict).sum()) for verdict in VERDICTS}
    return FaithfulnessResult(figures, alone, worth, table.chances is not None, found)


@dataclass(frozen=True)
class _ClaimTable:
    """Claims as rows. wrong: whether people found each hallucinated (only of checked ones); flags: 1 − support, without gaps.

    Claims that the judge was trained on are only among the checked ones. There their score is the mean of the others, by claims as by
    responses: a constant, which biases no estimate.
    """

    owner: NDArray[np.int64]
    wrong: FloatArray
    verdicts: NDArray[np.str_]
    flags: FloatArray
    scored: NDArray[np.bool_]
    trained_on: NDArray[np.bool_]
    groups: NDArray[Any]
    sampled: NDArray[np.bool_]
    support: FloatArray
    chances: FloatArray | None

    @classmethod
    def from_responses(cls, responses: Sequence[CheckedResponse], sample: Sequence[int], counted: Sequence[str]) -> _ClaimTable:
        owner = np.repeat(np.arange(len(responses)), [len(response.claims) for response in responses])
        support = np.concatenate([np.asarray(response.support, dtype=np.float64) for response in responses])
        taught = np.array([number in response.trained_on for response in responses for number in range(len(response.claims))], dtype=bool)
        scored = ~np.isnan(support) & ~taught
        support = impute_missing(support)  # checked and unchecked alike: without them, the claims left would be of another kind
        sampled = np.zeros(len(responses), dtype=bool)
        sampled[list(sample)] = True
        support = np.where(taught, _mean_score(support[~sampled[owner] & ~taught]), support)
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
        chances = _predict_verdicts(responses, np.where(taught, "", said), groups[owner])
        flags = 1 - _average_judge_and_overlap(responses, support, taught, sampled[owner])
        if chances is not None:
            chances = np.where(taught[:, None], _mean_chances(chances[~sampled[owner] & ~taught]), chances)
            flags = chances[:, [VERDICTS.index(verdict) for verdict in counted]].sum(axis=1)
        return cls(owner, wrong, said, np.clip(flags, 0.0, 1.0), scored, taught, groups, sampled, support, chances)

    @property
    def checked(self) -> NDArray[np.bool_]:
        """Whether people's verdict on each claim counts."""
        return np.asarray(self.sampled[self.owner])

    def per_claim(self, confidence: float) -> Estimate:
        return self._ratio(self.wrong, self.flags, confidence)

    def per_claim_of(self, verdict: str, confidence: float) -> Estimate:
        """Estimate the share of claims of one verdict, by people alone where nothing predicts its probability."""
        said = (self.verdicts == verdict).astype(np.float64)
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
        taught = self._any(self.trained_on.astype(np.float64)) > 0
        claims = np.bincount(self.owner, minlength=len(here)) > 0  # responses without claims are never trained on: not part of the mean
        flags = np.where(taught, _mean_score(flags[~here & ~taught & claims]), flags)
        return ppi_mean(
            human=wrong[here], judge_on_human=flags[here], judge_on_rest=flags[~here],
            clusters_on_human=self.groups[here], clusters_on_rest=self.groups[~here], confidence=confidence,
        )  # fmt: skip

    def claims_alone(self, confidence: float) -> Estimate:
        return self._mean(self.wrong, confidence)

    def responses_alone(self, confidence: float) -> Estimate:
        return estimate_mean(self._any(self.wrong)[self.sampled], clusters=self.groups[self.sampled], confidence=confidence)

    def judge(self, confidence: float) -> dict[str, Estimate]:
        """Estimate the judge's precision and recall, as far as it has flagged and people have found something."""
        seen = self.checked & self.scored
        flagged, wrong = 1 - self.support > FLAG_THRESHOLD, self.wrong > 0
        of = {"judge_precision": (wrong, seen & flagged), "judge_recall": (flagged, seen & wrong)}
        return {
            name: estimate_mean(values[rows].astype(float), clusters=self.groups[self.owner[rows]], confidence=confidence)
            for name, (values, rows) in of.items()
            if rows.any()
        }

    def _mean(self, values: FloatArray, confidence: float) -> Estimate:
        return estimate_mean(values[self.checked], clusters=self.groups[self.owner[self.checked]], confidence=confidence)

    def _any(self, values: FloatArray) -> FloatArray:
        """Return the largest value of each response's claims, (responses,); 0 where there is none."""
        most = np.zeros(len(self.sampled))
        np.maximum.at(most, self.owner, values)
        return most


def _predict_verdicts(responses: Sequence[CheckedResponse], said: NDArray[np.str_], groups: NDArray[Any]) -> FloatArray | None:
    """Predict the probability of each verdict on each claim, (claims, verdicts); None where features or people's verdicts don't suffice."""
    features = [response.features for response in responses]
    if any(each is None for each in features):
        return None
    verdicts = np.array([VERDICTS.index(word) if word else -1 for word in said.tolist()])
    return predict_verdict_probabilities(np.concatenate([each for each in features if each is not None]), verdicts, groups, len(VERDICTS))


def _average_judge_and_overlap(
    responses: Sequence[CheckedResponse], support: FloatArray, taught: NDArray[np.bool_], sampled: NDArray[np.bool_]
) -> FloatArray:
    """Average the judge's score and word overlap, where both are available and too few verdicts show which is better."""
    features = [response.features for response in responses]
    if any(each is None or each.shape[1] <= len(CLAIM_FEATURES) for each in features):
        return support
    both = (support + np.concatenate([each[:, 0] for each in features if each is not None])) / 2
    return np.where(taught, _mean_score(both[~sampled & ~taught]), both)


def _mean_chances(chances: FloatArray) -> FloatArray:
    return chances.mean(axis=0) if len(chances) else np.full(len(VERDICTS), 1 / len(VERDICTS))


def _mean_score(scores: FloatArray) -> float:
    return float(scores.mean()) if len(scores) else 0.5


def _estimate_at_look(look: AuditLook, estimator: Callable[[float], Estimate], confidence: float) -> Estimate:
    return estimator(confidence) if look.total_looks == 1 else estimate_at_interim(estimator, look.total_looks, confidence=confidence)


def _equivalent_checks(joint: Estimate, alone: Estimate, checked: int) -> float:
    """Return the responses that people alone would have had to check for an interval as narrow.

    Widths shrink with the square root of their number.
    """
    width, by_people = joint.high - joint.low, alone.high - alone.low
    return float(checked * (by_people / width) ** 2) if 0 < width < np.inf and by_people < np.inf else float(checked)
