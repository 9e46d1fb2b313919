"""Confidence sequences by betting, interim analyses, and a test martingale for change in a stream.

Bets against candidate means (Waudby-Smith & Ramdas 2024, the hedged capital process).

Who bets against a true mean can't grow rich, so a mean against which a bet grew far enough is out, for good.

Confidence sequences: intervals that hold at every moment at once, so that one may look after each label and stop.

Few human labels, many judge scores, and a look after each label.

Few planned looks at a growing number of labels.

Whether a stream still is what it was: looked at after every value, for as long as one likes.
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

GRID_SIZE = 1000  # candidate means on the way to the last bound
BISECTIONS = 30
MAX_BET = 0.5  # share of the capital that one value may lose
CHUNK_STEPS = 1000
MIN_LOSS = 1e-12


@dataclass(frozen=True, slots=True)
class BettingProcess:
    """Bets that the mean is above candidates m, value after value, all of shape (n,).

    values: in [floor, …], of which value t has expectation slope·m + shift given those before, if m is the mean. stakes: how much
    to bet, from values before only (else nothing holds), cut so that no value loses more than half the capital.
    """

    values: FloatArray
    stakes: FloatArray
    floor: FloatArray
    slope: FloatArray
    shift: FloatArray

    @classmethod
    def from_values(cls, values: FloatArray, stakes: FloatArray) -> BettingProcess:
        """On values in [0, 1] that all have the mean as expectation."""
        return cls(values, stakes, np.zeros(len(values)), np.ones(len(values)), np.zeros(len(values)))

    def bound(self, goal: float) -> float:
        """The largest mean that a bet has thrown out so far, by bisection: capital falls as the candidate mean rises."""
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            out = np.cumsum(self._log_growth(slice(None), np.asarray([middle]))).max() >= goal
            low, high = (middle, high) if out else (low, middle)
        return low

    def path(self, goal: float) -> FloatArray:
        """The bound after each value, (n,): how far up the grid means are out. The grid is finer at both ends."""
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
        """Log growth of each step's bet against each candidate mean, (steps, means)."""
        values, stakes, floor, slope, shift = (
            column[now, None] for column in (self.values, self.stakes, self.floor, self.slope, self.shift)
        )
        expected = slope * means + shift
        return np.asarray(np.log1p(np.minimum(stakes, MAX_BET / np.maximum(expected - floor, MIN_LOSS)) * (values - expected)))


def predictable_stakes(goal: float, errors: FloatArray) -> FloatArray:
    """λ_t, the paper's predictable plug-in, from values less what was expected of them; (n,), each from the errors before it."""
    t = np.arange(1, len(errors) + 1)
    variance = (0.25 + np.cumsum(errors**2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.asarray(np.sqrt(2 * goal / (before * t * np.log1p(t))))


def running_deviations(column: FloatArray) -> FloatArray:
    """Values less the mean so far, which starts as half of one value of 1."""
    return np.asarray(column - (0.5 + np.cumsum(column)) / np.arange(2, len(column) + 2))


def confidence_sequence(values: ArrayLike, confidence: float = 0.95, *, population: int | None = None) -> Estimate:
    """The mean of values in [0, 1], in the order in which they came, with bounds valid at any stop.

    population: how many items there are in all, where the values are of some drawn at random without replacement and the mean
    over exactly these items is asked; the bounds then meet when all are seen. Else the values are of an endless stream.

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
    """(low, high) after each value, both of shape (n,): all intersected with those before, the last as `confidence_sequence`.

    Earlier bounds lie on a grid of means, to the safe side by less than 0.002. Low above high: no mean fits.
    """
    column, goal = as_values(values, "values", low=0, high=1), log_goal(confidence)
    low, high = (_place_bets(side, goal, population).path(goal) for side in (column, 1 - column))
    high = 1 - high
    if population is not None:
        low, high = np.maximum(low, np.cumsum(column) / population), np.minimum(high, 1 - np.cumsum(1 - column) / population)
    return low, high


def log_goal(confidence: float) -> float:
    """Log capital at which a mean is out: α is shared by the bets on both sides."""
    return float(np.log(2 / (1 - check_confidence(confidence))))


def possible_mean_range(column: FloatArray, items: float) -> tuple[float, float]:
    """What the values seen leave possible for the mean of so many items in [0, 1]."""
    return float(column.sum() / items), float(1 - (len(column) - column.sum()) / items)


def bound_estimate(
    value: float, bounds: tuple[float, float], possible: tuple[float, float], n: int, method: str, confidence: float
) -> Estimate:
    """The estimate within what is possible; the latter alone where bounds and it leave no mean."""
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
    # what is left of the mean, given what has been drawn
    left = population - np.arange(len(column))
    drawn = np.concatenate([[0.0], np.cumsum(column)[:-1]])
    return BettingProcess(column, amounts, np.zeros(len(column)), population / left, -drawn / left)


PILOT_LABELS = 20  # labels before the judge is used
JUDGE_ERROR_SHARE = 0.1  # share of the error that the judge's mean over all items may have


class _PPIStream(NamedTuple):
    """Labels and scores in order, λ of each from those before, the judge's mean over all items with how far it may be off.

    items: how many there are in all, infinite where they stand for an endless stream.
    """

    y: FloatArray
    f: FloatArray
    weight: FloatArray
    mean: float
    margin: float
    items: float

    def mirrored(self) -> _PPIStream:
        return self._replace(y=1 - self.y, f=1 - self.f, mean=1 - self.mean)

    def bets(self, goal: float) -> BettingProcess:
        """On y − λf, of expectation m − λ·(the judge's mean); the latter at the end of its margin that speaks least against m."""
        t = np.arange(1, len(self.y) + 1)
        errors = running_deviations(self.y) - self.weight * (self.f - np.cumsum(self.f) / t)
        if np.isfinite(self.items):  # both means are then of the items that are left
            left = np.asarray(self.items - t + 1, dtype=np.float64)
            slope, drawn, judge = self.items / left, _sums_before(self.y) / left, (self.items * self.mean - _sums_before(self.f)) / left
        else:
            slope, drawn, judge = np.ones(len(t)), np.zeros(len(t)), self.mean - np.sign(self.weight) * self.margin
        floor = np.minimum(-self.weight, 0.0)
        return BettingProcess(self.y - self.weight * self.f, predictable_stakes(goal, errors), floor, slope, -drawn - self.weight * judge)


def ppi_sequence(
    human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float = 0.95, *, finite: bool = False
) -> Estimate:
    """The mean that people would give, with bounds valid at any stop; arguments as of `ppi_mean`, labels in the order they came.

    Bets on y − λf (Waudby-Smith & Ramdas 2024), λ from the labels before (0 for the first 20), cut to [−1, 1]. Labels and scores
    lie in [0, 1]; items are drawn at random. finite: the mean over exactly these items, labelled and rest, is asked, so that the
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
    """(low, high) after each label, both (n,), as `confidence_sequence_path`; the last are those of `ppi_sequence`."""
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
    """The sum before each."""
    return np.concatenate([[0.0], np.cumsum(column)[:-1]])


def _predictable_weights(y: FloatArray, f: FloatArray) -> FloatArray:
    """The slope of labels on scores among the items before each, (n,); 0 for the first, and where scores don't vary."""
    t = np.arange(1, len(y) + 1)
    y, f = y - 0.5, f - 0.5
    products = np.cumsum(y * f) - np.cumsum(y) * np.cumsum(f) / t
    squares = np.cumsum(f * f) - np.cumsum(f) ** 2 / t
    slope = np.where(squares > 1e-9, products / np.where(squares > 1e-9, squares, 1.0), 0.0)
    before = np.concatenate([[0.0], slope[:-1]])
    before[:PILOT_LABELS] = 0.0
    return np.asarray(np.clip(before, -1, 1))


def estimate_at_interim(estimator: Callable[[float], Estimate], looks: int, *, confidence: float = 0.95) -> Estimate:
    """An interval that holds together with those of at most `looks` looks planned beforehand: one may stop at any of them.

    estimator: makes the estimate at a confidence, `lambda confidence: ppi_mean(…, confidence=confidence)`. Each look errs with
    (1 − confidence)/looks at most (Bonferroni). Let the number of labels double from look to look; who wants to look after each label
    takes a confidence sequence. The result's confidence is that of all looks together.
    """
    if looks < 1:
        raise UserError("at least one look must be planned", "pass how many looks there will be at most", where="looks")
    estimate = estimator(1 - (1 - check_confidence(confidence)) / looks)
    return replace(estimate, method=f"{estimate.method}; one of {looks} looks", confidence=confidence)


JUMP_RATE = 0.01  # share of the capital that changes sides at each value
_BET_DIRECTIONS = np.array([-1.0, 0.0, 1.0])  # bets that values fall, stay, rise


@dataclass(frozen=True, slots=True)
class ChangeEvidence:
    """Evidence that a stream has changed since its reference.

    evidence: the capital of who bets on a change, after each value (n,): begins at 1, and doesn't grow on average while nothing changes.
    since: the number of values after which it first reached 1/(1 − confidence); None where it never did.
    """

    evidence: FloatArray
    since: int | None

    @property
    def drifted(self) -> bool:
        """Whether the stream has changed; false alarms are as rare as the confidence says, over all looks together."""
        return self.since is not None


def detect_change(reference: ArrayLike, stream: ArrayLike, confidence: float = 0.95, *, seed: int = 0) -> ChangeEvidence:
    """Bet that the values of a stream lie higher or lower among all before them than chance would have it.

    reference, stream: numbers in the order in which they came. A conformal test martingale, the Simple Jumper (Vovk et al. 2021,
    algorithm 1) over the rank of each value among reference and stream up to it; equal values are ranked by chance (seed). If all are
    exchangeable, the probability that it ever reaches 1/α is at most α (Ville 1939), however often one looks. UserError for what is
    no number.
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
