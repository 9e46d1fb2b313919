"""What a learning curve says of more rows: the accuracy with twice and four times as many, if its back-test passed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from preceptor.domain import Estimate
from preceptor.errors import UserError
from preceptor.planning.advice import Learner
from preceptor.planning.curves import FARTHEST, LEAST_SEEDS, LEAST_SIZES

AHEAD = (2, 4)  # times the largest size, unless other sizes are asked about
COLUMNS = "size,seed,error,held (or accuracy in place of error), and seconds where they are known"
MEASURE = "measure more: preceptor choose SNAPSHOT --way linear_probe trains on nested parts of a snapshot"


@dataclass(frozen=True, eq=False)
class Outlook:
    """A measured curve and its forecasts. ahead: rows -> accuracy; none where the back-test failed."""

    learner: Learner
    ahead: Mapping[int, Estimate]

    @classmethod
    def of(cls, learner: Learner, at: Sequence[int] = ()) -> Self:
        """Forecasts at twice and four times the largest size, or at the sizes `at`. UserError for one that is too far or too small."""
        measured = learner.curve.measured
        for size in at:
            if size > FARTHEST * measured.largest:
                raise UserError(
                    f"{size:,} rows are more than {FARTHEST} times the {measured.largest:,} that were measured, where no forecast holds",
                    f"ask about {FARTHEST * measured.largest:,} at most, or measure with more rows",
                )
            if size < measured.size.min():
                raise UserError(f"{size:,} rows are fewer than the {int(measured.size.min()):,} that were measured", "ask about more")
        sizes = sorted({*at} or {times * measured.largest for times in AHEAD})
        known = [size for size in sizes if learner.reaches(size)]
        return cls(learner, {size: learner.curve.accuracy(size) for size in known})

    @property
    def today(self) -> Estimate:
        """The accuracy at the largest size that was measured."""
        return self.learner.curve.accuracy(self.learner.curve.measured.largest)

    @property
    def headline(self) -> str:
        """What more rows would do."""
        name, rows = self.learner.name, f"{self.learner.curve.measured.largest:,} rows"
        if not self.ahead:
            return f"{name}: {_percent(self.today)} with {rows}; what more would do isn't known."
        ahead = ", ".join(f"{_percent(each)} with {size:,}" for size, each in self.ahead.items())
        return f"{name}: {_percent(self.today)} with {rows}; {ahead}."

    @property
    def check(self) -> str:
        """How far to believe it."""
        tested = self.learner.tested
        low, high, came = (f"{100 * _share(1 - error):.1f}" for error in (tested.high, tested.low, tested.measured))
        verdict = "Back-test passed" if tested.passed else "Back-test failed, so that nothing beyond it is shown"
        return (
            f"{verdict}: without the runs on {tested.size:,} rows the forecast for them was {low} to {high} %, and {came} % was measured."
        )

    @property
    def words(self) -> str:
        """Both."""
        return f"{self.headline} {self.check}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        learner, measured, tested = self.learner, self.learner.curve.measured, self.learner.tested
        points = [
            {
                "size": size,
                "accuracy": learner.curve.accuracy(size).to_dict(),
                "measured": [round(1 - float(error), 4) for error in measured.error[measured.size == size]],
            }
            for size in measured.means
        ]
        seen = {"size": tested.size, "low": 1 - tested.high, "high": 1 - tested.low, "measured": 1 - tested.measured}
        ahead = [{"size": size, "accuracy": accuracy.to_dict()} for size, accuracy in self.ahead.items()]
        backtest = {**seen, "passed": tested.passed}
        return {"name": learner.name, "points": points, "backtest": backtest, "forecasts": ahead, "words": self.words}


def read_curve(path: str | Path) -> Learner:
    """A curve from a CSV file of runs, in any order: size, seed, error or accuracy (shares), held, and seconds where they are known.

    held: the independent rows that the error was measured on, the same in all. UserError for anything else.
    """
    rows = _rows(Path(path))
    taken: set[tuple[int, int]] = set()
    sizes, errors, seconds, held = list[int](), list[float](), list[float](), set[int]()
    for line, row in rows:
        where = f"{path}:{line}"
        size, seed = (int(_number(row, name, where, whole=True)) for name in ("size", "seed"))
        if size < 1:
            raise UserError(f"nothing is learnt from {size} rows", where=where)
        if (size, seed) in taken:
            raise UserError(f"seed {seed} stands there twice with {size:,} rows", "a line a run", where=where)
        taken.add((size, seed))
        sizes.append(size)
        errors.append(_error(row, where))
        seconds.append(_number(row, "seconds", where) if row.get("seconds") else 0.0)
        held.add(int(_number(row, "held", where, whole=True)))
    if len(held) != 1 or min(held) < 1:
        raise UserError("all runs of a curve are measured on the same rows", "one number above 0 in the column held", where=str(path))
    try:
        return Learner.of(Path(path).stem, sizes, errors, seconds, held.pop())
    except UserError as error:
        raise UserError(error.message, f"{MEASURE}; or add lines: {LEAST_SIZES} sizes, {LEAST_SEEDS} seeds", where=str(path)) from None


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the measured points can't be read: {error}", f"CSV with the columns {COLUMNS}", where=str(path)) from None
    if not rows:
        raise UserError("no points stand in it", f"CSV with the columns {COLUMNS}", where=str(path))
    return rows


def _error(row: Mapping[str, str], where: str) -> float:
    """The share of wrong answers, from either column."""
    name = "error" if row.get("error") else "accuracy"
    share = _number(row, name, where)
    if not 0 <= share <= 1:
        raise UserError(f"{name} is a share from 0 to 1, not {share:g}", "90 % is 0.9", where=where)
    return share if name == "error" else 1 - share


def _number(row: Mapping[str, str], name: str, where: str, *, whole: bool = False) -> float:
    text = (row.get(name) or "").strip()
    try:
        value = float(int(text)) if whole else float(text)
    except ValueError:
        raise UserError(f"{name} is {text!r}" if text else f"{name} is missing", f"a line has the columns {COLUMNS}", where=where) from None
    if not abs(value) < float("inf"):
        raise UserError(f"{name} is {text}, which is no measurement", "measure this run again, or take its line out", where=where)
    return value


def _percent(accuracy: Estimate) -> str:
    value, low, high = (f"{100 * _share(share):.1f}" for share in (accuracy.value, accuracy.low, accuracy.high))
    return f"{value} % ({low} to {high})"


def _share(value: float) -> float:
    """A forecast, which may lie a little outside, as a share from 0 to 1."""
    return min(max(value, 0.0), 1.0)
