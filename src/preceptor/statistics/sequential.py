"""Confidence sequences by betting, interim analyses, and a test martingale for change in a stream.

A confidence sequence is valid at all times at once, so that one may look after each label and stop. It bets against candidate means
(Waudby-Smith & Ramdas 2024, the hedged capital process): a bet against the true mean can't grow in expectation, so a mean against
which a bet grew far enough is excluded for good.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_values, check_confidence
from preceptor.statistics.ppi import check_judge_scores, check_ppi_columns
from preceptor.types import Estimate, FloatArray

GRID_SIZE = 1000  # candidate means up to the last bound
BISECTIONS = 30
MAX_BET = 0.5  # share of the capital that one value may lose
CHUNK_STEPS = 1000
MIN_LOSS = 1e-12


@dataclass(frozen=True, slots=True)
class BettingProcess:
    """Bets that the mean is above candidates m, value after value, all of shape (n,).

    values: in [floor, …], where value t has expectation slope·m + shift given those before, if m is the mean. stakes: how much
    to bet, from earlier values only (else the guarantee is lost), cut so that no value loses more than half the capital.
    """

    values: FloatArray
    stakes: FloatArray
    floor: FloatArray
    slope: FloatArray
    shift: FloatArray

    @classmethod
    def from_values(cls, values: FloatArray, stakes: FloatArray) -> BettingProcess:
        """Build the process on values in [0, 1] that all have the mean as expectation."""
        return cls(values, stakes, np.zeros(len(values)), np.ones(len(values)), np.zeros(len(values)))

    def bound(self, goal: float) -> float:
        """Return the largest mean that a bet has excluded so far, by bisection: capital falls as the candidate mean rises.

        goal: the log capital at which a mean is excluded.
        """
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            out = np.cumsum(self._log_growth(slice(None), np.asarray([middle]))).max() >= goal
            low, high = (middle, high) if out else (low, middle)
        return low

    def path(self, goal: float) -> FloatArray:
        """Return the bound after each value, (n,): the largest excluded mean of a grid, which is finer at both ends."""
        last, length = self.bound(goal), len(self.values)
        if last == 0:
            return np.zeros(length)
        grid = last * (1 - np.cos(np.pi * np.arange(1, GRID_SIZE + 1) / GRID_SIZE)) / 2
        path, capital, best = np.empty(length), np.zeros(GRID_SIZE), np.full(GRID_SIZE, -np.inf)
        for start in range(0, length, CHUNK_STEPS):
            now = slice(start, start + CHUNK_STEPS)
            steps = capital + np.cumsum(self._log_growth(now, grid), axis=0)
            highest = np.maximum(best, np.maximum.accumulate(steps, axis=0))
            out = np.count_nonzero(highest >= goal, axis=1)
            path[now] = np.where(out > 0, grid[out - 1], 0.0)
            capital, best = steps[-1], highest[-1]
        return path

    def _log_growth(self, now: slice, means: FloatArray) -> FloatArray:
        """Return the log growth of each step's bet against each candidate mean, (steps, means)."""
        values, stakes, floor, slope, shift = (
            column[now, None] for column in (self.values, self.stakes, self.floor, self.slope, self.shift)
        )
        expected = slope * means + shift
        return np.asarray(np.log1p(np.minimum(stakes, MAX_BET / np.maximum(expected - floor, MIN_LOSS)) * (values - expected)))


def predictable_stakes(goal: float, errors: FloatArray) -> FloatArray:
    """Return λ_t, the paper's predictable plug-in, (n,), each from the errors before it; errors: values less their expectation."""
    t = np.arange(1, len(errors) + 1)
    variance = (0.25 + np.cumsum(errors**2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * goal / (before * t * np.log1p(t))))


def running_deviations(column: FloatArray) -> FloatArray:
    """Return values less the mean so far, which starts as half of one value of 1."""
    return np.asarray(column - (0.5 + np.cumsum(column)) / np.arange(2, len(column) + 2))


def confidence_sequence(values: ArrayLike, confidence: float = 0.95, *, population: int | None = None) -> Estimate:
    """Estimate the mean of values in [0, 1], in order of arrival, with bounds valid at any stopping time.

    population: how many items there are in all, where the values are of a random sample without replacement and the mean
    over exactly these items is estimated; the bounds then meet when all are seen. Else the values are of an endless stream.

    About 1.5 to 2 times as wide as an interval for a number of values fixed beforehand. The bounds are the narrowest so far;
    should they exclude every mean, the values drift: then nothing is known (0 to 1), and `method` says so.
    """
    column, goal = as_values(values, "values", low=0, high=1), log_goal(confidence)
    low, high = (_place_bets(side, goal, population).bound(goal) for side in (column, 1 - column))
    method = "betting confidence sequence" + ("" if population is None else f" without replacement from {population} items")
    return bound_estimate(
        float(column.mean()), (low, 1 - high), possible_mean_range(column, population or np.inf), len(column), method, confidence
    )


def confidence_sequence_path(
    values: ArrayLike, confidence: float = 0.95, *, population: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return (low, high) after each value, both of shape (n,), intersected with those before; the last are of `confidence_sequence`.

    Earlier bounds lie on a grid of means, conservative by less than 0.002. Low above high: no mean fits.
    """
    column, goal = as_values(values, "values", low=0, high=1), log_goal(confidence)
    low, high = (_place_bets(side, goal, population).path(goal) for side in (column, 1 - column))
    high = 1 - high
    if population is not None:
        low, high = np.maximum(low, np.cumsum(column) / population), np.minimum(high, 1 - np.cumsum(1 - column) / population)
    return low, high


def log_goal(confidence: float) -> float:
    """Return the log capital at which a mean is excluded: α is shared by the bets on both sides."""
    return float(np.log(2 / (1 - check_confidence(confidence))))


def possible_mean_range(column: FloatArray, items: float) -> tuple[float, float]:
    """Return the range that the values seen leave possible for the mean of so many items in [0, 1]."""
    return float(column.sum() / items), float(1 - (len(column) - column.sum()) / items)


def bound_estimate(
    value: float, bounds: tuple[float, float], possible: tuple[float, float], n: int, method: str, confidence: float
) -> Estimate:
    """Return the estimate with bounds cut to what is possible; the possible range alone where the two leave no mean."""
    low, high = max(bounds[0], possible[0]), min(bounds[1], possible[1])
    if low > high + 1e-9:
        return Estimate(value, *possible, n, "no interval: no single mean fits these values, they drift", confidence)
    return Estimate(value, low, max(low, high), n, method, confidence)


def _place_bets(column: FloatArray, goal: float, population: int | None) -> BettingProcess:
    amounts = predictable_stakes(goal, running_deviations(column))
    if population is None:
        return BettingProcess.from_values(column, amounts)
    if not float(population).is_integer():
        raise UserError(f"{population!r} is not a number of items", "pass how many items there are in all", where="population")
    if population < len(column):
        raise UserError(f"{len(column)} values of {population} items", "pass how many items there are in all", where="population")
    # the mean of the items that are left, given those sampled so far
    left = population - np.arange(len(column))
    drawn = np.concatenate([[0.0], np.cumsum(column)[:-1]])
    return BettingProcess(column, amounts, np.zeros(len(column)), population / left, -drawn / left)


PILOT_LABELS = 20  # labels before the judge is used
JUDGE_ERROR_SHARE = 0.1  # share of the error that the judge's mean over all items may have


class _PPIStream(NamedTuple):
    """Labels and scores in order of arrival, with λ of each from those before.

    y, f, weight: labels, judge scores and λ, (n,). mean: the judge's mean over all items. margin: its margin of error.
    items: how many there are in all, infinite where they stand for an endless stream.
    """

    y: FloatArray
    f: FloatArray
    weight: FloatArray
    mean: float
    margin: float
    items: float

    def mirrored(self) -> _PPIStream:
        """Return the stream of 1 − labels and 1 − scores, for the bets on the other side."""
        return self._replace(y=1 - self.y, f=1 - self.f, mean=1 - self.mean)

    def bets(self, goal: float) -> BettingProcess:
        """Return bets on y − λf, of expectation m − λ·(the judge's mean).

        The judge's mean is taken at the end of its margin that is least favourable to the bet.
        """
        t = np.arange(1, len(self.y) + 1)
        errors = running_deviations(self.y) - self.weight * (self.f - np.cumsum(self.f) / t)
        if np.isfinite(self.items):  # both expectations are then over the items that are left
            left = np.asarray(self.items - t + 1, dtype=np.float64)
            slope, drawn, judge = self.items / left, _sums_before(self.y) / left, (self.items * self.mean - _sums_before(self.f)) / left
        else:
            slope, drawn, judge = np.ones(len(t)), np.zeros(len(t)), self.mean - np.sign(self.weight) * self.margin
        floor = np.minimum(-self.weight, 0.0)
        return BettingProcess(self.y - self.weight * self.f, predictable_stakes(goal, errors), floor, slope, -drawn - self.weight * judge)


def ppi_sequence(
    human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float = 0.95, *, finite: bool = False
) -> Estimate:
    """Estimate the mean human label with bounds valid at any stopping time; arguments as in `ppi_mean`, labels in order of arrival.

    Bets on y − λf (Waudby-Smith & Ramdas 2024), λ from the labels before (0 for the first 20), clipped to [−1, 1]. Labels and scores
    lie in [0, 1]; items are a random sample. finite: the mean over exactly these items, labelled and rest, is estimated, so that the
    judge's mean is known; else they stand for others like them, and the judge's mean takes a tenth of the error.
    """
    seen, goal = _build_ppi_stream(human, judge_on_human, judge_on_rest, confidence, finite)
    low, high = seen.bets(goal).bound(goal), 1 - seen.mirrored().bets(goal).bound(goal)
    value = float(np.mean(seen.y - seen.weight * (seen.f - seen.mean)))
    method = f"ppi betting confidence sequence{f' for these {seen.items:.0f} items' if finite else ''}, λ from labels before"
    return bound_estimate(min(max(value, 0.0), 1.0), (low, high), possible_mean_range(seen.y, seen.items), len(seen.y), method, confidence)


def ppi_sequence_path(
    human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float = 0.95, *, finite: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return (low, high) after each label, both (n,), as `confidence_sequence_path`; the last are those of `ppi_sequence`."""
    seen, goal = _build_ppi_stream(human, judge_on_human, judge_on_rest, confidence, finite)
    return seen.bets(goal).path(goal), 1 - seen.mirrored().bets(goal).path(goal)


def _build_ppi_stream(
    human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float, finite: bool
) -> tuple[_PPIStream, float]:
    alpha = 1 - check_confidence(confidence)
    y, f, rest = check_ppi_columns(human, judge_on_human, judge_on_rest)
    as_values(y, "human", low=0, high=1)
    check_judge_scores(f, rest)
    scores = np.concatenate([f, rest])
    weight = _predictable_weights(y, f) if len(rest) else np.zeros(len(y))
    if finite:
        return _PPIStream(y, f, weight, float(scores.mean()), 0.0, len(scores)), log_goal(confidence)
    margin = -ndtri(JUDGE_ERROR_SHARE * alpha / 2) * scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.5
    return _PPIStream(y, f, weight, float(scores.mean()), float(margin), np.inf), log_goal(1 - (1 - JUDGE_ERROR_SHARE) * alpha)


def _sums_before(column: FloatArray) -> FloatArray:
    """Return the sum before each element."""
    return np.concatenate([[0.0], np.cumsum(column)[:-1]])


def _predictable_weights(y: FloatArray, f: FloatArray) -> FloatArray:
    """Return the slope of labels on scores among the items before each, (n,); 0 for the first 20, and where scores don't vary."""
    t = np.arange(1, len(y) + 1)
    y, f = y - 0.5, f - 0.5
    products = np.cumsum(y * f) - np.cumsum(y) * np.cumsum(f) / t
    squares = np.cumsum(f * f) - np.cumsum(f) ** 2 / t
    slope = np.where(squares > 1e-9, products / np.where(squares > 1e-9, squares, 1.0), 0.0)
    before = np.concatenate([[0.0], slope[:-1]])
    before[:PILOT_LABELS] = 0.0
    return np.asarray(np.clip(before, -1, 1))


def estimate_at_interim(estimator: Callable[[float], Estimate], looks: int, *, confidence: float = 0.95) -> Estimate:
    """Estimate with an interval that is valid together with those of at most `looks` planned looks, so that one may stop at any of them.

    estimator: makes the estimate at a confidence, `lambda confidence: ppi_mean(…, confidence=confidence)`. Each look errs with
    probability (1 − confidence)/looks at most (Bonferroni). Let the number of labels double from look to look; to look after each label,
    use a confidence sequence. The result's confidence is that of all looks together. Raises UserError for fewer than one look.
    """
    if looks < 1:
        raise UserError("at least one look must be planned", "pass how many looks there will be at most", where="looks")
    estimate = estimator(1 - (1 - check_confidence(confidence)) / looks)
    return replace(estimate, method=f"{estimate.method}; one of {looks} looks", confidence=confidence)


JUMP_RATE = 0.01  # share of the capital that is redistributed among the bets at each value
_BET_DIRECTIONS = np.array([-1.0, 0.0, 1.0])  # bets that values fall, stay, rise


@dataclass(frozen=True, slots=True)
class ChangeEvidence:
    """Evidence that a stream has changed since its reference.

    evidence: the capital of a bet on a change, after each value (n,): it begins at 1, and doesn't grow in expectation while nothing
    changes. since: the number of values after which it first reached 1/(1 − confidence); None where it never did.
    """

    evidence: FloatArray
    since: int | None

    @property
    def drifted(self) -> bool:
        """Whether the stream has changed; the false alarm rate is at most 1 − confidence, over all looks together."""
        return self.since is not None


def detect_change(reference: ArrayLike, stream: ArrayLike, confidence: float = 0.95, *, seed: int = 0) -> ChangeEvidence:
    """Detect a change of a stream by betting that its values rank higher or lower among all before them than chance allows.

    reference, stream: numbers in order of arrival. A conformal test martingale, the Simple Jumper (Vovk et al. 2021,
    algorithm 1) over the rank of each value among reference and stream up to it; ties are ranked at random (seed). If all are
    exchangeable, the probability that it ever reaches 1/α is at most α (Ville 1939), however often one looks. Raises UserError for
    values that aren't numbers.
    """
    goal = 1 / (1 - check_confidence(confidence))
    known, values = sorted(as_values(reference, "reference").tolist()), np.asarray(stream, dtype=np.float64)
    chance = np.random.default_rng(seed).random(len(values))
    sides = np.full(3, 1 / 3)
    capital = np.empty(len(values))
    for at, value in enumerate(as_values(values, "stream").tolist() if len(values) else []):
        insort(known, value)
        below, up_to = bisect_left(known, value), bisect_right(known, value)
        rank = (below + chance[at] * (up_to - below)) / len(known)
        sides = (1 - JUMP_RATE) * sides + JUMP_RATE / 3 * sides.sum()
        sides *= 1 + _BET_DIRECTIONS * (rank - 0.5)
        capital[at] = sides.sum()
    reached = np.flatnonzero(capital >= goal)
    return ChangeEvidence(capital, int(reached[0]) + 1 if len(reached) else None)
