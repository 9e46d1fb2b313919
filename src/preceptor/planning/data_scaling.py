"""Accuracy to expect from more rows, and the training method to use at each size, from measured learning curves.

Forecasts reach up to four times the largest measured size, and are shown only where the curve's backtest passed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from preceptor.errors import UserError
from preceptor.planning.learning_curves import (
    MAX_EXTRAPOLATION,
    MIN_SEEDS,
    MIN_SIZES,
    CurveBacktest,
    LearningCurve,
    MeasuredErrors,
    backtest_curve,
)
from preceptor.types import Estimate, FloatArray, IntArray

WORTHWHILE_GAIN = 0.01  # accuracy that more machine time should bring to be worth it


@dataclass(frozen=True, eq=False)
class MeasuredMethod:
    """A training method with its learning curve, its backtest and its seconds of training, (runs,)."""

    name: str
    curve: LearningCurve
    backtest: CurveBacktest
    seconds: FloatArray

    @classmethod
    def from_runs(
        cls, name: str, size: Sequence[int], error: Sequence[float], seconds: Sequence[float], held: int, worth: float | None = None
    ) -> MeasuredMethod:
        """Build the method from runs: their sizes, errors and seconds, one each a run.

        held, worth: the number of held-out units and their effective number of rows, the same for all runs; see `MeasuredErrors`.
        Raises UserError where the runs are too few for a curve.
        """
        measured = MeasuredErrors(np.array(size, dtype=np.int64), np.array(error, dtype=np.float64), held, worth)
        measured.check()
        return cls(name, LearningCurve.fit(measured), backtest_curve(measured), np.array(seconds, dtype=np.float64))

    def training_seconds(self, size: float) -> float:
        """Return the seconds of training at a size: interpolated between measured sizes, extrapolated from the last two beyond them."""
        sizes: IntArray = np.unique(self.curve.measured.size)
        middle = np.array([np.median(self.seconds[self.curve.measured.size == each]) for each in sizes])
        if size <= sizes[-1]:
            return float(np.interp(size, sizes, middle))
        slope = max(0.0, float((middle[-1] - middle[-2]) / (sizes[-1] - sizes[-2])))
        return float(middle[-1] + slope * (size - sizes[-1]))

    def can_forecast(self, size: float) -> bool:
        """Return whether the curve can be used at a size."""
        largest = self.curve.measured.largest
        return size <= largest or (size <= MAX_EXTRAPOLATION * largest and self.backtest.passed)


@dataclass(frozen=True)
class MethodForecast:
    """The forecast of a method at a size: its accuracy, the probability that no other method is better, and seconds of training."""

    accuracy: Estimate
    probability_best: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {"accuracy": self.accuracy.to_dict(), "best": round(self.probability_best, 4), "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class MethodAdvice:
    """The method to use at a size. basis: "measured", "forecast" or "unknown"; method: None where it is unknown."""

    size: int
    basis: str
    method: str | None
    predictions: Mapping[str, MethodForecast]
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        found = {name: each.to_dict() for name, each in self.predictions.items()}
        return {"size": self.size, "basis": self.basis, "method": self.method, "predictions": found, "summary": self.summary}


def recommend_method(learners: Sequence[MeasuredMethod], size: int) -> MethodAdvice:
    """Recommend the cheapest method that is expected within a point of the best, among those with a usable curve at this size.

    Measured between the smallest and the largest size; forecast up to four times the largest, by methods whose backtest passed.
    """
    smallest = max(int(each.curve.measured.size.min()) for each in learners)
    largest = min(each.curve.measured.largest for each in learners)
    known = [each for each in learners if each.can_forecast(size)]
    if size < smallest or not known:
        return MethodAdvice(size, "unknown", None, {}, _unknown_reason(learners, size, smallest, largest))
    draws = np.stack([each.curve.error_draws(size) for each in known])
    wins = np.bincount(draws.argmin(axis=0), minlength=len(known)) / draws.shape[1]
    found = {
        each.name: MethodForecast(each.curve.accuracy(size), float(share), each.training_seconds(size))
        for each, share in zip(known, wins, strict=True)
    }
    highest = max(each.accuracy.value for each in found.values())
    enough = [name for name, each in found.items() if each.accuracy.value >= highest - WORTHWHILE_GAIN]
    chosen = min(enough, key=lambda name: found[name].seconds)
    basis = "measured" if size <= largest else "forecast"
    return MethodAdvice(
        size, basis, chosen, found, _advice_summary(found, chosen, basis, [each.name for each in learners if each not in known])
    )


def _unknown_reason(learners: Sequence[MeasuredMethod], size: int, smallest: int, largest: int) -> str:
    if size < smallest:
        return f"can't know: the smallest size that was measured is {smallest:,}"
    if size > MAX_EXTRAPOLATION * largest:
        return f"can't know: {size:,} is more than {MAX_EXTRAPOLATION} times the {largest:,} rows at hand"
    failed = ", ".join(each.name for each in learners if not each.backtest.passed)
    return f"can't know: without the last point, the forecasts of {failed} would have missed it"


def _advice_summary(found: Mapping[str, MethodForecast], chosen: str, basis: str, left_out: Sequence[str]) -> str:
    others = [f"{name} {each.probability_best:.0%}" for name, each in found.items() if name != chosen and each.probability_best >= 0.1]
    also = f"; the best may also be {', '.join(others)}" if others else ""
    missing = f"; no forecast for {', '.join(left_out)}, whose backtest failed" if left_out else ""
    return f"{chosen} ({basis}), {found[chosen].accuracy}{also}{missing}"


DEFAULT_MULTIPLES = (2, 4)  # times the largest size, unless other sizes are requested
CURVE_COLUMNS = "size,seed,error,held (or accuracy in place of error), and seconds where they are known"
MEASURE_HINT = "measure more: preceptor learning-curve SNAPSHOT --method linear_probe trains on nested parts of a snapshot"


@dataclass(frozen=True, eq=False)
class ScalingForecast:
    """A measured curve and its forecasts. forecasts: rows -> accuracy; empty where the backtest failed."""

    method: MeasuredMethod
    forecasts: Mapping[int, Estimate]

    @classmethod
    def from_method(cls, learner: MeasuredMethod, at: Sequence[int] = ()) -> Self:
        """Forecast at twice and four times the largest size, or at the sizes `at`.

        Raises UserError for a size that is too large or too small.
        """
        measured = learner.curve.measured
        for size in at:
            if size > MAX_EXTRAPOLATION * measured.largest:
                raise UserError(
                    (
                        f"{size:,} rows are more than {MAX_EXTRAPOLATION} times the "
                        f"{measured.largest:,} that were measured, where no forecast holds"
                    ),
                    f"ask about {MAX_EXTRAPOLATION * measured.largest:,} at most, or measure with more rows",
                )
            if size < measured.size.min():
                raise UserError(f"{size:,} rows are fewer than the {int(measured.size.min()):,} that were measured", "ask about more")
        sizes = sorted({*at} or {times * measured.largest for times in DEFAULT_MULTIPLES})
        known = [size for size in sizes if learner.can_forecast(size)]
        return cls(learner, {size: learner.curve.accuracy(size) for size in known})

    @property
    def current_accuracy(self) -> Estimate:
        """The accuracy at the largest size that was measured."""
        return self.method.curve.accuracy(self.method.curve.measured.largest)

    @property
    def headline(self) -> str:
        """The accuracy today and the forecast with more rows, in one sentence."""
        name, rows = self.method.name, f"{self.method.curve.measured.largest:,} rows"
        if not self.forecasts:
            return f"{name}: {_format_percent(self.current_accuracy)} with {rows}; what more would do isn't known."
        ahead = ", ".join(f"{_format_percent(each)} with {size:,}" for size, each in self.forecasts.items())
        return f"{name}: {_format_percent(self.current_accuracy)} with {rows}; {ahead}."

    @property
    def backtest_summary(self) -> str:
        """The result of the backtest, in one sentence."""
        tested = self.method.backtest
        low, high, came = (f"{100 * _clip_share(1 - error):.1f}" for error in (tested.high, tested.low, tested.measured))
        verdict = "Back-test passed" if tested.passed else "Back-test failed, so that nothing beyond it is shown"
        return (
            f"{verdict}: without the runs on {tested.size:,} rows the forecast for them was {low} to {high} %, and {came} % was measured."
        )

    @property
    def summary(self) -> str:
        """The headline and the result of the backtest."""
        return f"{self.headline} {self.backtest_summary}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        learner, measured, tested = self.method, self.method.curve.measured, self.method.backtest
        points = [
            {
                "size": size,
                "accuracy": learner.curve.accuracy(size).to_dict(),
                "measured": [round(1 - float(error), 4) for error in measured.error[measured.size == size]],
            }
            for size in measured.means
        ]
        seen = {"size": tested.size, "low": 1 - tested.high, "high": 1 - tested.low, "measured": 1 - tested.measured}
        ahead = [{"size": size, "accuracy": accuracy.to_dict()} for size, accuracy in self.forecasts.items()]
        backtest = {**seen, "passed": tested.passed}
        return {"name": learner.name, "points": points, "backtest": backtest, "forecasts": ahead, "summary": self.summary}


def read_measured_curve(path: str | Path) -> MeasuredMethod:
    """Read a curve from a CSV file of runs, in any order.

    Columns: size, seed, error or accuracy (shares), held, and seconds where they are known. held: the number of independent rows that the
    error was measured on, the same in all. Raises UserError for anything else.
    """
    rows = _read_rows(Path(path))
    taken: set[tuple[int, int]] = set()
    sizes, errors, seconds, held = list[int](), list[float](), list[float](), set[int]()
    for line, row in rows:
        where = f"{path}:{line}"
        size, seed = (int(_parse_number(row, name, where, whole=True)) for name in ("size", "seed"))
        if size < 1:
            raise UserError(f"nothing is learnt from {size} rows", where=where)
        if (size, seed) in taken:
            raise UserError(f"seed {seed} stands there twice with {size:,} rows", "a line a run", where=where)
        taken.add((size, seed))
        sizes.append(size)
        errors.append(_parse_error(row, where))
        seconds.append(_parse_number(row, "seconds", where) if row.get("seconds") else 0.0)
        held.add(int(_parse_number(row, "held", where, whole=True)))
    if len(held) != 1 or min(held) < 1:
        raise UserError("all runs of a curve are measured on the same rows", "one number above 0 in the column held", where=str(path))
    try:
        return MeasuredMethod.from_runs(Path(path).stem, sizes, errors, seconds, held.pop())
    except UserError as error:
        raise UserError(error.message, f"{MEASURE_HINT}; or add lines: {MIN_SIZES} sizes, {MIN_SEEDS} seeds", where=str(path)) from None


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the measured points can't be read: {error}", f"CSV with the columns {CURVE_COLUMNS}", where=str(path)) from None
    if not rows:
        raise UserError("no points stand in it", f"CSV with the columns {CURVE_COLUMNS}", where=str(path))
    return rows


def _parse_error(row: Mapping[str, str], where: str) -> float:
    """Return the share of wrong answers, from the column error or accuracy."""
    name = "error" if row.get("error") else "accuracy"
    share = _parse_number(row, name, where)
    if not 0 <= share <= 1:
        raise UserError(f"{name} is a share from 0 to 1, not {share:g}", "90 % is 0.9", where=where)
    return share if name == "error" else 1 - share


def _parse_number(row: Mapping[str, str], name: str, where: str, *, whole: bool = False) -> float:
    text = (row.get(name) or "").strip()
    try:
        value = float(int(text)) if whole else float(text)
    except ValueError:
        raise UserError(
            f"{name} is {text!r}" if text else f"{name} is missing", f"a line has the columns {CURVE_COLUMNS}", where=where
        ) from None
    if not abs(value) < float("inf"):
        raise UserError(f"{name} is {text}, which is no measurement", "measure this run again, or take its line out", where=where)
    return value


def _format_percent(accuracy: Estimate) -> str:
    value, low, high = (f"{100 * _clip_share(share):.1f}" for share in (accuracy.value, accuracy.low, accuracy.high))
    return f"{value} % ({low} to {high})"


def _clip_share(value: float) -> float:
    """Clip a forecast, which may lie a little outside, to a share from 0 to 1."""
    return min(max(value, 0.0), 1.0)
