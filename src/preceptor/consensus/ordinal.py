"""Ordered answers and numbers from named annotators: a measurement model in which each has a bias, a scale and a noise of their own.

The posterior of an item's value is corrected for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import chdtri, ndtr, ndtri

from preceptor.consensus.aggregators import CONFIDENCE, AnnotatorQualities, aggregators
from preceptor.consensus.judgments import Codes, Floats, GoldAnswers, Integers, Judgments
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import AnnotatorQuality, Consensus, Estimate

NOISE_DF = 8.0  # degrees of freedom of the noise: a slip counts for little, and an honest extreme for much
NOISE_WEIGHT = 10.0  # ratings that the common noise is worth in an annotator's own
MIN_RATINGS = 20  # ratings below which an annotator's scale is the common one
SCALE_SPREAD = 0.1  # prior standard deviation of scales around 1; a wider one hurt where most ratings are 0
MIN_SCALE = 0.05  # scale of an annotator who reverses the scale, who thus counts for almost nothing


@dataclass(frozen=True, eq=False)
class RatingColumns:
    """Standardised ratings as columns sorted by item.

    y: ratings. weight: in votes. item, annotator: codes. known_item, known_value: items whose value is known from gold, and their values.
    """

    y: Floats
    weight: Floats
    item: Codes
    annotator: Codes
    n_items: int
    n_annotators: int
    known_item: Integers
    known_value: Floats

    def by_item(self, values: Floats) -> Floats:
        """Sum values, (ratings,), over each item."""
        return np.asarray(np.bincount(self.item, values, self.n_items))

    def by_annotator(self, values: Floats) -> Floats:
        """Sum values, (ratings,), over each annotator."""
        return np.asarray(np.bincount(self.annotator, values, self.n_annotators))


@dataclass(frozen=True, eq=False)
class RaterFit:
    """Parameters and posteriors on the standardised scale.

    value, variance: of each item, shape (items,). bias, scale, noise: of each annotator (noise is a variance); bias_error
    and scale_error are standard errors. centre, prior: mean and variance of the items; bias_prior: variance of the biases.
    trust: the weight of each rating under heavy tails; about 1 for one in the middle.
    """

    value: Floats
    variance: Floats
    bias: Floats
    scale: Floats
    noise: Floats
    bias_error: Floats
    scale_error: Floats
    centre: float
    prior: float
    bias_prior: float
    trust: Floats

    @classmethod
    def start(cls, ratings: RatingColumns) -> RaterFit:
        """Return the start of a fit: the mean rating of each item, and the same parameters for every annotator."""
        one, zero = np.ones(ratings.n_annotators), np.zeros(ratings.n_annotators)
        votes = ratings.by_item(ratings.weight)
        value = np.divide(ratings.by_item(ratings.weight * ratings.y), votes, out=np.zeros(ratings.n_items), where=votes > 0)
        variance = 1 / (1 + votes)
        return cls(value, variance, zero, one, one, one, zero, 0.0, 1.0, 1.0, np.ones(len(ratings.y)))


def fit_raters(ratings: RatingColumns, *, limit: int, tolerance: float) -> tuple[RaterFit, int, bool]:
    """Fit y_iw = μ + b_w + a_w (z_i − μ) + e, z_i ~ N(μ, τ²), b_w ~ N(0, β²), a_w ~ N(1, 0.1²), e ~ t_8(0, σ_w²) by EM.

    Raykar et al. 2010, "Learning From Crowds", with bias and scale; t noise as a scale mixture (Lange, Little & Taylor
    1989); β and the common noise are learnt. The biases come from differences within items, so that it doesn't matter
    who got which items. Without known values the biases have mean 0 over ratings and the scales
    geometric mean 1, as nothing else fixes the scale. Stops when no item moves by `tolerance` standard deviations, or after
    `limit` steps. Returns the fit, the number of steps, and whether it converged.
    """
    state = RaterFit.start(ratings)
    if not len(ratings.y):
        return state, 0, True
    for step in range(1, limit + 1):
        following = _update_items(ratings, _update_annotators(ratings, state))
        moved = float(np.abs(following.value - state.value).max())
        state = following
        if moved < tolerance:
            return state, step, True
    return state, limit, False


def _update_annotators(r: RatingColumns, s: RaterFit) -> RaterFit:
    """Run the M-step, given posteriors of the items."""
    gap = s.value - s.centre
    trust = _rating_weights(r, s, gap)
    precision = r.weight * trust / s.noise[r.annotator]
    bias, held = _estimate_biases(r, s, precision)
    n = r.by_annotator(r.weight)
    square = r.by_annotator(precision * (gap**2 + s.variance)[r.item]) + 1 / SCALE_SPREAD**2
    scale = (r.by_annotator(precision * (r.y - s.centre - bias[r.annotator]) * gap[r.item]) + 1 / SCALE_SPREAD**2) / square
    scale = np.where(n >= MIN_RATINGS, np.maximum(scale, MIN_SCALE), 1.0)
    if not len(r.known_item):
        bias = bias - (n * bias).sum() / n.sum()
        scale = scale / np.exp((n * np.log(scale)).sum() / n.sum())
    residual = (r.y - s.centre - bias[r.annotator] - scale[r.annotator] * gap[r.item]) ** 2 + scale[r.annotator] ** 2 * s.variance[r.item]
    spent = r.by_annotator(r.weight * trust * residual)
    noise = (spent + NOISE_WEIGHT * spent.sum() / n.sum()) / (n + NOISE_WEIGHT)
    here = n > 0
    bias_prior = float(((bias**2 + 1 / held)[here].sum() + 0.1) / (here.sum() + 1))
    told = replace(s, bias_error=np.sqrt(1 / held), scale_error=np.where(n >= MIN_RATINGS, np.sqrt(1 / square), 0.0), trust=trust)
    return replace(told, bias=bias, scale=scale, noise=np.maximum(noise, 1e-8), bias_prior=bias_prior)


def _estimate_biases(r: RatingColumns, s: RaterFit, precision: Floats) -> tuple[Floats, Floats]:
    """Return each annotator's bias from differences within items only, and its posterior precision.

    The items' values are eliminated as if they had a flat prior: under their own prior, annotators who get the low items
    would look severe. The equations are solved by conjugate gradients from the previous biases.
    """
    scale = s.scale[r.annotator]
    start = np.append(0, np.cumsum(np.bincount(r.item, minlength=r.n_items)))
    cross = sparse.csr_array((precision * scale, r.annotator, start), shape=(r.n_items, r.n_annotators))
    crossed = cross.T.tocsr()
    square = r.by_item(precision * scale**2)
    inverse = np.divide(1.0, square, out=np.zeros_like(square), where=square > 0)
    inverse[r.known_item] = 0.0
    told = np.zeros(r.n_items)
    told[r.known_item] = r.known_value - s.centre
    rest = r.y - s.centre - scale * told[r.item]
    total = r.by_annotator(precision) + 1 / s.bias_prior
    wanted = r.by_annotator(precision * rest) - crossed @ (inverse * r.by_item(precision * scale * rest))
    system = LinearOperator(total.shape * 2, matvec=lambda b: total * b - crossed @ (inverse * (cross @ b)), dtype=np.float64)
    bias, _ = cg(system, wanted, x0=s.bias, rtol=1e-6, maxiter=50, M=LinearOperator(total.shape * 2, matvec=lambda b: b / total))
    return bias, total - r.by_annotator(precision**2 * scale**2 * inverse[r.item])


def _rating_weights(r: RatingColumns, s: RaterFit, gap: Floats) -> Floats:
    error = r.y - s.centre - s.bias[r.annotator] - s.scale[r.annotator] * gap[r.item]
    spread = (error**2 + s.scale[r.annotator] ** 2 * s.variance[r.item]) / s.noise[r.annotator]
    return np.asarray((NOISE_DF + 1) / (NOISE_DF + spread))


def _update_items(r: RatingColumns, s: RaterFit) -> RaterFit:
    """Run the E-step: update the items' posteriors, and their prior."""
    value, variance = item_posterior(r, s)
    value[r.known_item], variance[r.known_item] = r.known_value, 0.0
    seen = r.by_item(r.weight) > 0
    seen[r.known_item] = True
    centre = float(value[seen].mean())
    prior = float(((value[seen] - centre) ** 2 + variance[seen]).mean())
    return replace(s, value=value, variance=variance, centre=centre, prior=max(prior, 1e-8))


def item_posterior(r: RatingColumns, s: RaterFit) -> tuple[Floats, Floats]:
    """Return the mean and variance of each item's value as if no value were known."""
    scale = s.scale[r.annotator]
    precision = r.weight * s.trust * scale / s.noise[r.annotator]
    held = 1 / s.prior + r.by_item(precision * scale)
    return s.centre + r.by_item(precision * (r.y - s.centre - s.bias[r.annotator])) / held, 1 / held


MAX_LEVELS = 101  # number of answers beyond which the posterior is over equal steps of the range
CONTRADICTION_ERRORS = 4.0  # standard deviations


@aggregators.register("continuous")
@aggregators.register("ordinal")
@dataclass(frozen=True)
class OrdinalAggregator:
    """The measurement model of `fit_raters`; a level's posterior is the probability that the item's value lies between its midpoints.

    Answers that are numbers are taken as they are; others as 0, 1, 2 … in the order of `judgments.answers`, so give
    `answers` in their order. With more than MAX_LEVELS distinct numbers, the answers of the Consensus are MAX_LEVELS equal steps.
    `value` and `spread` are the item's posterior mean and standard deviation on the scale of the answers (or of their
    positions); they don't include the uncertainty of the annotators' parameters. Gold numbers fix items' values and with them the
    scale; without gold the biases have mean 0 over all ratings.
    """

    class Options(OptionsBase):
        iterations: int = Field(500, ge=1, description="most EM steps")
        tolerance: float = Field(1e-4, gt=0, description="stop when no item moves more, in standard deviations of the ratings")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> Consensus:
        """Fit the judgments and return the posterior over levels, with the value and spread of each item.

        gold: item -> a number, or one of the answers. Raises UserError for answers and keys that are neither numbers nor names.
        """
        numbers = _answer_numbers(judgments)
        rated = numbers[judgments.answer_code]
        some = rated if len(rated) else numbers
        middle, unit = float(some.mean()), float(some.std()) or 1.0
        known, keys = _gold_numbers(judgments, gold, numbers)
        j = judgments
        ratings = RatingColumns(
            (rated - middle) / unit, j.weight, j.item_code, j.annotator_code, j.n_items, j.n_annotators, known, (keys - middle) / unit
        )  # fmt: skip
        fitted, steps, converged = fit_raters(ratings, limit=self.options.iterations, tolerance=self.options.tolerance)
        value, spread = middle + unit * fitted.value, unit * np.sqrt(fitted.variance)
        levels, answers = _posterior_levels(judgments, numbers)
        chance = _level_posterior(value, spread, levels)
        nearest = np.abs(numbers[:, None] - levels).argmin(axis=1)
        recoded = replace(judgments, answers=answers, answer_code=nearest[judgments.answer_code].astype(np.int32))
        notes = _contradiction_notes(judgments, known, keys, middle, unit, item_posterior(ratings, fitted))
        return Consensus(
            judgments.items, answers, chance, judgments.counts,
            RaterQualities(AnnotatorQualities(recoded, chance), judgments, fitted, unit), "ordinal",
            value=value, spread=spread, converged=converged, iterations=steps, notes=tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RaterQuality(AnnotatorQuality):
    """An annotator's quality with their bias, scale and noise.

    bias: added to each rating. scale: rating change per unit of the item's value. noise: standard deviation. bias and noise are on the
    scale of the answers. A scale of exactly 1 with an interval of no width means too few ratings to estimate it.
    """

    bias: Estimate | None = None
    scale: Estimate | None = None
    noise: Estimate | None = None


class RaterQualities(Mapping[Any, RaterQuality]):
    """A lazy mapping of annotator id -> RaterQuality."""

    def __init__(self, people: AnnotatorQualities, judgments: Judgments, fitted: RaterFit, unit: float) -> None:
        self._people, self._fit, self._unit = people, fitted, unit
        self._place = {annotator: code for code, annotator in enumerate(judgments.annotators)}
        self._votes = np.bincount(judgments.annotator_code, judgments.weight, judgments.n_annotators)

    def __getitem__(self, annotator: Any) -> RaterQuality:
        w, fitted, unit = self._place[annotator], self._fit, self._unit
        told = self._people[annotator]
        n = round(float(self._votes[w]))
        z = float(ndtri((1 + CONFIDENCE) / 2))
        bias, scale = (
            Estimate(value, value - z * error, value + z * error, n, "normal, given the items", CONFIDENCE)
            for value, error in ((unit * fitted.bias[w], unit * fitted.bias_error[w]), (fitted.scale[w], fitted.scale_error[w]))
        )
        noise = unit * float(np.sqrt(fitted.noise[w]))
        df = max(n, 1)
        low, high = (noise * float(np.sqrt(df / chdtri(df, tail))) for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
        spread = Estimate(noise, low, high, n, "chi-squared, given the items", CONFIDENCE)
        return RaterQuality(told.judgments, told.accuracy, None, bias, scale, spread)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


def _answer_numbers(judgments: Judgments) -> Floats:
    """Return the answers as numbers, or their positions where they are names."""
    if any(isinstance(answer, str) for answer in judgments.answers):
        return np.arange(judgments.n_answers, dtype=np.float64)
    try:
        return np.asarray([float(answer) for answer in judgments.answers])
    except (TypeError, ValueError):
        raise UserError("ordered answers must be numbers or names", "give numbers, or `answers` in their order", where="answer") from None


def _gold_numbers(judgments: Judgments, gold: GoldAnswers | None, numbers: Floats) -> tuple[Integers, Floats]:
    """Return the codes of the judged items with gold, sorted, and the keys as numbers; gold of other items is left out."""
    place = dict(zip(judgments.answers, numbers.tolist(), strict=True))
    pairs: list[tuple[int, float]] = []
    for item, key in (gold or {}).items():
        if item in judgments.item_index:
            number: Any = place.get(key, key)
            if isinstance(number, str) or not np.isfinite(float(number)):
                raise UserError(f"the gold answer {key!r} of item {item!r} is neither a number nor among the answers", "correct the key")
            pairs.append((judgments.item_index[item], float(number)))
    pairs.sort()
    return np.array([code for code, _ in pairs], dtype=np.int64), np.array([number for _, number in pairs])


def _posterior_levels(judgments: Judgments, numbers: Floats) -> tuple[Floats, tuple[Any, ...]]:
    """Return the levels of the posterior as numbers and as answers."""
    if len(numbers) <= MAX_LEVELS:
        return numbers, judgments.answers
    steps = np.linspace(numbers.min(), numbers.max(), MAX_LEVELS)
    return steps, tuple(steps.tolist())


def _level_posterior(value: Floats, spread: Floats, levels: Floats) -> Floats:
    """Return P(the value lies nearer to this level than to any other), rows summing to 1; the outer levels are unbounded."""
    order = np.argsort(levels)
    edges = (levels[order][1:] + levels[order][:-1]) / 2
    below = ndtr((edges - value[:, None]) / np.maximum(spread, 1e-9)[:, None])
    chance = np.empty((len(value), len(levels)))
    chance[:, order] = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return chance


def _contradiction_notes(
    judgments: Judgments, known: Integers, keys: Floats, middle: float, unit: float, unclamped: tuple[Floats, Floats]
) -> list[str]:
    value, spread = middle + unit * unclamped[0][known], unit * np.sqrt(unclamped[1][known])
    against = np.flatnonzero(np.abs(value - keys) > CONTRADICTION_ERRORS * spread)
    if not len(against):
        return []
    shown = ", ".join(f"{judgments.items[known[g]]!r} (key {keys[g]:g}, judged {value[g]:.3g})" for g in against[:5])
    return [f"{len(against)} of {len(known)} gold answers contradict the judgments; check the keys: {shown}"]
