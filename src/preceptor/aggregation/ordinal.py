"""Ordered answers and numbers from named people: posteriors freed of everyone's bias, scale and noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import Field
from scipy.special import chdtri, ndtr, ndtri

from preceptor.aggregation.aggregators import aggregators
from preceptor.aggregation.gold import Gold
from preceptor.aggregation.judgments import Floats, Integers, Judgments
from preceptor.aggregation.quality import CONFIDENCE, People
from preceptor.aggregation.raters import Fit, Ratings, fit, posterior
from preceptor.domain import AnnotatorQuality, Consensus, Estimate
from preceptor.errors import UserError
from preceptor.registry import OptionsBase

LEVELS = 101  # answers beyond which the posterior is over equal steps of the range
CONTRADICTION = 4.0  # standard deviations


@aggregators.register("continuous")
@aggregators.register("ordinal")
@dataclass(frozen=True)
class Ordinal:
    """The measurement model of `raters`; the posterior over levels is that of the item's value between the levels' midpoints.

    Answers that are numbers are taken as they are; others as 0, 1, 2 … in the order of `judgments.answers`, so give
    `answers` in their order. With more than LEVELS distinct numbers, the Consensus' answers are LEVELS equal steps.
    `value` and `spread` are the item's posterior mean and standard deviation on the scale of the answers (or of their
    positions); they don't include what is unknown of the annotators. Gold numbers fix items' values and with them the
    scale; without gold the biases have mean 0 over all ratings.
    """

    class Options(OptionsBase):
        iterations: int = Field(500, ge=1, description="most EM steps")
        tolerance: float = Field(1e-4, gt=0, description="stop when no item moves more, in standard deviations of the ratings")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: Gold | None = None) -> Consensus:
        numbers = _numbers(judgments)
        rated = numbers[judgments.answer_code]
        some = rated if len(rated) else numbers
        middle, unit = float(some.mean()), float(some.std()) or 1.0
        known, keys = _known(judgments, gold, numbers)
        j = judgments
        ratings = Ratings(
            (rated - middle) / unit, j.weight, j.item_code, j.annotator_code, j.n_items, j.n_annotators, known, (keys - middle) / unit
        )  # fmt: skip
        fitted, steps, converged = fit(ratings, limit=self.options.iterations, tolerance=self.options.tolerance)
        value, spread = middle + unit * fitted.value, unit * np.sqrt(fitted.variance)
        levels, answers = _levels(judgments, numbers)
        chance = _level_posterior(value, spread, levels)
        nearest = np.abs(numbers[:, None] - levels).argmin(axis=1)
        recoded = replace(judgments, answers=answers, answer_code=nearest[judgments.answer_code].astype(np.int32))
        notes = _contradictions(judgments, known, keys, middle, unit, posterior(ratings, fitted))
        return Consensus(
            judgments.items, answers, chance, judgments.counts, Raters(People(recoded, chance), judgments, fitted, unit), "ordinal",
            value=value, spread=spread, converged=converged, iterations=steps, notes=tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RaterQuality(AnnotatorQuality):
    """Also: bias (added to each rating), scale (how far their ratings move as the item moves by 1), noise (standard deviation).

    All on the scale of the answers. A scale of exactly 1 with no interval to speak of: too few ratings to tell.
    """

    bias: Estimate | None = None
    scale: Estimate | None = None
    noise: Estimate | None = None


class Raters(Mapping[Any, RaterQuality]):
    """Annotator id -> RaterQuality, computed when asked for."""

    def __init__(self, people: People, judgments: Judgments, fitted: Fit, unit: float) -> None:
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


def _numbers(judgments: Judgments) -> Floats:
    """The answers as numbers, or their positions where they are names."""
    if any(isinstance(answer, str) for answer in judgments.answers):
        return np.arange(judgments.n_answers, dtype=np.float64)
    try:
        return np.asarray([float(answer) for answer in judgments.answers])
    except (TypeError, ValueError):
        raise UserError("ordered answers must be numbers or names", "give numbers, or `answers` in their order", where="answer") from None


def _known(judgments: Judgments, gold: Gold | None, numbers: Floats) -> tuple[Integers, Floats]:
    """Codes of the judged items with gold, sorted, and the keys as numbers; gold of other items is left out."""
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


def _levels(judgments: Judgments, numbers: Floats) -> tuple[Floats, tuple[Any, ...]]:
    """The levels of the posterior as numbers and as answers."""
    if len(numbers) <= LEVELS:
        return numbers, judgments.answers
    steps = np.linspace(numbers.min(), numbers.max(), LEVELS)
    return steps, tuple(steps.tolist())


def _level_posterior(value: Floats, spread: Floats, levels: Floats) -> Floats:
    """P(value lies nearer to this level than to any other), rows summing to 1; the outer levels are open."""
    order = np.argsort(levels)
    edges = (levels[order][1:] + levels[order][:-1]) / 2
    below = ndtr((edges - value[:, None]) / np.maximum(spread, 1e-9)[:, None])
    chance = np.empty((len(value), len(levels)))
    chance[:, order] = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return chance


def _contradictions(
    judgments: Judgments, known: Integers, keys: Floats, middle: float, unit: float, unclamped: tuple[Floats, Floats]
) -> list[str]:
    value, spread = middle + unit * unclamped[0][known], unit * np.sqrt(unclamped[1][known])
    against = np.flatnonzero(np.abs(value - keys) > CONTRADICTION * spread)
    if not len(against):
        return []
    shown = ", ".join(f"{judgments.items[known[g]]!r} (key {keys[g]:g}, judged {value[g]:.3g})" for g in against[:5])
    return [f"{len(against)} of {len(known)} gold answers contradict the judgments; check the keys: {shown}"]
