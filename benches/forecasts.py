"""How often what a learning curve forecasts comes true: the accuracy with twice and four times the rows, inside a band of 95 %.
Real curves: a linear probe on MiniLM's vectors, on fifteen tasks with three divisions of the rows each, and MiniLM fine-tuned whole by
`classify` on one. A forecast is right when the mean accuracy at the larger size lies in its band: on the rows that the curve was measured
on, and on fresh ones, whose own luck is not in the band. Simulated curves have shapes that the families mostly aren't, and the truth is
the curve itself. Only forecasts count whose back-test passed ("shown"). "stays": how often the last accuracy that was measured would
have done, give or take the luck of the held-out rows. Noisy answers: how many right rows they are worth, beside the factor
((Kq − 1)/(K − 1))² for a share q of right answers among K.

Each real curve has three seeds and sizes that double; forecasts come from five or six sizes.
FORECASTS_TUNE=1 trains what is missing of the fine-tuned curves (half an hour); else they come from what an earlier start left.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from benches._curve_shapes import SHAPES, SIZES, measured_on
from benches._curve_tasks import HOME, Task, sides, tasks
from benches._noisy_answers import worth

from preceptor import Estimate
from preceptor.planning.learning_curves import MIN_SIZES, LearningCurve, MeasuredErrors, backtest_curve, effective_rows
from preceptor.statistics import estimate_mean
from preceptor.training.logistic_regression import LogisticData, select_logistic_head

SEEDS, DIVISIONS, MOST_SIZES, SMALLEST = 3, 3, 7, 20
WORLDS = 60  # of each shape


@dataclass(frozen=True)
class Forecast:
    """One forecast and what came about: the error on the curve's own rows, and by fresh rows or the known curve.

    unit: the task or world, within which forecasts resemble each other.
    """

    unit: str
    times: int
    shown: bool
    band: Estimate
    before: float
    same: float
    true: float
    held: float

    @property
    def stays(self) -> bool:
        """Whether the last accuracy, give or take the luck of the held-out rows, would have done."""
        return bool(abs(self.true - self.before) <= 1.96 * np.sqrt(self.before * (1 - self.before) / self.held))

    def holds(self, error: float) -> bool:
        return self.band.low <= 1 - error <= self.band.high


def real() -> Iterator[tuple[str, str, Forecast]]:
    """(way to learn, task, forecast) of the measured curves."""
    for task in tasks():
        for division in range(DIVISIONS):
            for found in forecasts(task.name, probe_curve(task, division)):
                yield "linear probe", task.name, found
    from benches._tuned_curves import measure

    for curve in measure(only_known="FORECASTS_TUNE" not in os.environ, say=lambda words: print(words, file=sys.stderr, flush=True)):
        for found in forecasts(curve["task"], curve):
            yield "fine-tuned", curve["task"], found


def probe_curve(task: Task, division: int) -> dict[str, Any]:
    """Errors of the probe at nested sizes that double, as an earlier start left them or measured now."""
    kept = HOME / f"{task.name}-{division}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_probed(task, division)), encoding="utf-8")
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _probed(task: Task, division: int) -> dict[str, Any]:
    held, fresh, pool = sides(task.groups, division + 1)
    answers = int(task.answers.max()) + 1
    sizes = [round(len(pool) / 2**halvings) for halvings in range(MOST_SIZES)]
    sizes = sorted(size for size in sizes if size >= max(SMALLEST, 2 * answers))
    found: dict[str, Any] = {"size": [], "held": [], "fresh": [], "groups": len(np.unique(task.groups[held]))}
    last = []
    for seed in range(SEEDS):
        order = np.random.default_rng([division, seed]).permutation(pool)
        for size in sizes:
            head = select_logistic_head(_sample(task, order[:size], answers), _sample(task, held, answers))
            found["size"].append(size)
            for name, rows in (("held", held), ("fresh", fresh)):
                said = (task.vectors[rows] @ head.weight.T + head.bias).argmax(axis=1)
                found[name].append(float((said != task.answers[rows]).mean()))
                if size == sizes[-1] and name == "held":
                    last.append(said == task.answers[rows])
    found["worth"] = effective_rows(last, task.groups[held])
    return found


def _sample(task: Task, rows: Any, answers: int) -> LogisticData:
    return LogisticData(task.vectors[rows], np.eye(answers)[task.answers[rows]], np.ones(len(rows)))


def forecasts(unit: str, curve: dict[str, Any]) -> Iterator[Forecast]:
    """Of twice and four times each size below which there are enough others."""
    size, held, fresh = (np.array(curve[name]) for name in ("size", "held", "fresh"))
    sizes = np.unique(size)
    for last in range(MIN_SIZES - 1, len(sizes) - 1):
        known = size <= sizes[last]
        measured = MeasuredErrors(size[known].astype(np.int64), held[known], curve["groups"], curve["worth"])
        fitted, shown, before = LearningCurve.fit(measured), backtest_curve(measured).passed, measured.means[measured.largest]
        for doublings, ahead in enumerate(sizes[last + 1 : last + 3], start=1):
            same, true = (float(errors[size == ahead].mean()) for errors in (held, fresh))
            yield Forecast(unit, 2**doublings, shown, fitted.accuracy(float(ahead)), before, same, true, curve["worth"])


def simulated() -> Iterator[tuple[str, Forecast]]:
    """(shape, forecast) of worlds whose truth is known."""
    for name in SHAPES:
        for number in range(WORLDS):
            measured, truth = measured_on(name, number)
            fitted, shown, before = LearningCurve.fit(measured), backtest_curve(measured).passed, measured.means[measured.largest]
            for times in (2, 4):
                ahead = times * SIZES[-1]
                true = float(truth(np.array([ahead]))[0])
                yield (
                    name,
                    Forecast(f"{name} {number}", times, shown, fitted.accuracy(ahead), before, true, true, measured.heldout_units),
                )


def row(found: list[Forecast], *, real_rows: bool = False) -> dict[str, Any]:
    """How many were shown, how often they held, how wide they were."""
    shown = [each for each in found if each.shown]
    units = np.array([each.unit for each in shown])
    true, same = (estimate_mean([each.holds(getattr(each, name)) for each in shown], clusters=units).to_dict() for name in ("true", "same"))
    return {
        "forecasts": len(found),
        "shown": len(shown),
        **({"inside_on_the_same_rows": same, "inside_on_fresh_rows": true} if real_rows else {"inside": true}),
        "stays": round(float(np.mean([each.stays for each in shown])), 3),
        "median_width": round(float(np.median([each.band.high - each.band.low for each in shown])), 3),
    }


def counted(found: list[Forecast]) -> dict[str, Any]:
    """The same of one task, whose forecasts resemble each other too much for an interval."""
    shown = [each for each in found if each.shown]
    same, fresh = (sum(each.holds(getattr(each, name)) for each in shown) for name in ("same", "true"))
    width = round(float(np.median([each.band.high - each.band.low for each in shown])), 3) if shown else None
    counts = {"shown": len(shown), "inside_on_the_same_rows": same, "inside_on_fresh_rows": fresh}
    return {"forecasts": len(found), **counts, "median_width": width}


def report() -> dict[str, Any]:
    """The tables: real curves by way and distance and by task, simulated ones by shape."""
    measured, worlds = list(real()), list(simulated())
    ways = list(dict.fromkeys(way for way, _, _ in measured))
    by_way = [(way, times, [each for one, _, each in measured if one == way and each.times == times]) for way in ways for times in (2, 4)]
    by_task = {task: [each for _, one, each in measured if one == task] for task in dict.fromkeys(task for _, task, _ in measured)}
    by_shape = {shape: [each for one, each in worlds if one == shape] for shape in SHAPES}
    return {
        "real_curves": [
            {"way": "all", "times": "2 and 4", **row([each for _, _, each in measured], real_rows=True)},
            *(
                {"way": way, "times": str(times), **row(found, real_rows=True)}
                for way, times, found in by_way
                if any(each.shown for each in found)
            ),
        ],
        "real_curves_by_task": [{"task": task, **counted(found)} for task, found in by_task.items()],
        "simulated_curves": [
            {"shape": "all", **row([each for _, each in worlds])},
            *({"shape": shape, **row(found)} for shape, found in by_shape.items()),
        ],
        "noisy_answers": [found for task in tasks() for found in worth(task)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report(), indent=2) + "\n")
