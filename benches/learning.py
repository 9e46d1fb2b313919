"""Learning curves on the Amazon sentences, and what the chooser advises beside what was best. Few-shot (SmolLM2), linear probe,
contrastive and full fine-tuning (MiniLM), LoRA (SmolLM2); accuracy on test documents against 20 people's answers, over seeds.

Fixed learning rates, no sweep. Validation is cut to 300 rows, on which alone the advice rests. Few-shot (4 examples) answers 48 rows
of each split, since each costs a second. The curves are drawn in docs/learning.svg. What was measured stays in bench-results/learning,
and a later start goes on; with LEARNING_MINUTES=N it begins no new point after so long, and shows what there is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.models.base_models import find_base_folder
from preceptor.pipeline.demo import DemoRun
from preceptor.planning.data_scaling import MeasuredMethod, recommend_method
from preceptor.runs.method_comparison import ComparedMethod, CurveBench, CurveLine, CurvePoint, HeldOutAnswers, draw_curves
from preceptor.statistics import estimate_mean
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingRow

HOME = Path(__file__).parents[1] / "bench-results" / "learning"
PICTURE = Path(__file__).parents[1] / "docs" / "learning.svg"
SIZES, SEEDS = (20, 50, 200, 1000), 5
VALIDATION, SHOWN = 300, 48
COMMON = {"dtype": "float32", "max_tokens": 64}


@dataclass(frozen=True)
class Thin:
    """A snapshot with fewer validation rows."""

    whole: Snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def rows(self, split: str) -> Iterator[TrainingRow]:
        return iter(some(list(self.whole.rows(split)), VALIDATION) if split == "validation" else list(self.whole.rows(split)))


@dataclass(frozen=True)
class Points:
    """Where a method's points are measured: validation rows, of which there are `split`, and then test rows."""

    bench: CurveBench
    split: int

    def learner(self, name: str, found: list[CurvePoint]) -> MeasuredMethod:
        """What the chooser sees of a method: its errors on validation rows."""
        held = len({row.group for row in self.bench.held.rows[: self.split]})
        errors = [float(1 - each.is_correct[: self.split].mean()) for each in found]
        return MeasuredMethod.from_runs(name, [each.size for each in found], errors, [each.seconds for each in found], held)


def some(rows: list[TrainingRow], count: int) -> list[TrainingRow]:
    return [rows[at] for at in np.random.default_rng(0).permutation(len(rows))[:count]]


def methods() -> dict[str, ComparedMethod]:
    minilm, smollm2 = find_base_folder("minilm"), find_base_folder("smollm2")
    tuned = {**COMMON, "epochs": 2, "min_steps": 60, "evals_per_epoch": 1, "batch_size": 16}
    once, lora = {**tuned, "epochs": 1}, {"learning_rate": 3e-4, "adapter": "lora"}
    shown = {"shots": 4, "max_tokens": 64, "calibration": 16}
    made = (
        ComparedMethod("linear_probe", "linear probe, MiniLM", "linear_probe", minilm, "minilm", COMMON),
        ComparedMethod("setfit", "SetFit, MiniLM", "setfit", minilm, "minilm", {**once, "min_steps": 40, "learning_rate": 5e-5}),
        ComparedMethod("full", "full fine-tuning, MiniLM", "classify", minilm, "minilm", {**tuned, "learning_rate": 1e-4}),
        ComparedMethod("in_context", "few-shot, SmolLM2", "in_context", smollm2, "smollm2", shown),
        ComparedMethod("lora", "LoRA, SmolLM2", "classify", smollm2, "smollm2", {**once, "min_steps": 20, **lora}),
    )
    return {method.name: method for method in made}


def places() -> tuple[Points, Points, int]:
    """For most methods, and for few-shot; and how many training rows there are."""
    demo = DemoRun(HOME / "demo")
    demo.run("snapshot")
    truth, code = demo.recorded.true_answers(), {answer: number for number, answer in enumerate(demo.snapshot.answers)}
    thin = Thin(demo.snapshot)
    seen = [(row, row.answer) for row in thin.rows("validation")]  # people's answers as far as they were bought
    test = [(row, truth[row.id]) for row in demo.snapshot.rows("test")]
    made = []
    for validation, rows in ((seen, test), (some(seen, SHOWN), some(test, SHOWN))):
        held = HeldOutAnswers([row for row, _ in (*validation, *rows)], np.array([code[answer] for _, answer in (*validation, *rows)]))
        made.append(Points(CurveBench(HOME / "points", thin, held, find_base_folder), len(validation)))
    return made[0], made[1], sum(1 for _ in thin.rows("train"))


def order(total: int) -> list[tuple[str, int, int]]:
    """(method, size, seed) in the order in which they are worth their time."""
    encoder = ("linear_probe", "setfit", "full")
    small = [[(name, size, seed) for size in SIZES for name in encoder] for seed in range(SEEDS)]
    whole = [[(name, total, seed) for name in encoder] for seed in range(SEEDS)]
    shown = [[("in_context", size, seed) for size in (*SIZES, total)] for seed in range(SEEDS)]
    lora = [[("lora", size, seed) for size in SIZES] for seed in range(SEEDS)]
    first = [*small[0], *whole[0], *small[1], *small[2], *lora[0], *shown[0], *whole[1], *whole[2], *lora[1], *lora[2], *small[3]]
    return [*first, *small[4], *whole[3], *whole[4], *(each for seed in range(1, SEEDS) for each in shown[seed]), *lora[3], *lora[4]]


def measure(minutes: float) -> dict[str, tuple[Points, list[CurvePoint]]]:
    """The points of each method, measured now while there is time, or before."""
    whole, few, total = places()
    (HOME / "points").mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes
    found: dict[str, tuple[Points, list[CurvePoint]]] = {name: (few if name == "in_context" else whole, []) for name in methods()}
    for name, size, seed in order(total):
        (points, outcomes), method = found[name], methods()[name]
        if time.monotonic() > end and not points.bench.has_point(method, size, seed):
            continue
        outcomes.append(points.bench.measure_point(method, size, seed))
        tested = outcomes[-1].is_correct[points.split :].mean()
        print(f"{name} {size} {seed}: {tested:.3f}, {outcomes[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    return found


def rows_of(found: dict[str, tuple[Points, list[CurvePoint]]]) -> Iterator[dict[str, Any]]:
    """Of each method and size: accuracy on test rows with its interval over documents, its spread over seeds, seconds."""
    for name, (points, outcomes) in found.items():
        groups = np.array([row.group for row in points.bench.held.rows[points.split :]])
        for size in sorted({each.size for each in outcomes}):
            at = [each for each in outcomes if each.size == size]
            right = np.array([each.is_correct[points.split :] for each in at])
            yield {
                "method": name,
                "rows": size,
                "seeds": len(at),
                "accuracy": estimate_mean(right.mean(axis=0), clusters=groups).to_dict(),
                "between_seeds": f"{right.mean(axis=1).min():.3f} to {right.mean(axis=1).max():.3f}",
                "log_loss": round(float(np.mean([each.loss[points.split :].mean() for each in at])), 3),
                "seconds": round(float(np.median([each.seconds for each in at]))),
            }


def advised(found: dict[str, tuple[Points, list[CurvePoint]]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At each size what the chooser advises from validation rows, and what was best on test rows, of methods whose curve is whole."""
    learners = []
    for name, (points, outcomes) in found.items():
        counts = {size: sum(each.size == size for each in outcomes) for size in {each.size for each in outcomes}}
        if len(counts) > len(SIZES) and min(counts.values()) >= 3:
            learners.append(points.learner(name, outcomes))
    table = []
    names = {each.name for each in learners}
    for size in sorted({row["rows"] for row in rows if row["method"] in names}):
        on_test = {row["method"]: row["accuracy"]["value"] for row in rows if row["rows"] == size and row["method"] in names}
        best = max(on_test, key=lambda name: on_test[name])
        chosen = recommend_method(learners, size)
        lost = 100 * (on_test[best] - on_test.get(chosen.method or best, np.nan))
        table.append({"rows": size, "advised": chosen.method, "best_on_test": best, "points_lost": round(lost, 1), "why": chosen.summary})
    return table


def picture(rows: list[dict[str, Any]]) -> str:
    """The curves with their intervals over documents."""
    lines = []
    for name, method in methods().items():
        mine = [row for row in rows if row["method"] == name]
        points = [(row["rows"], row["accuracy"]["value"]) for row in mine]
        if mine:
            lines.append(CurveLine(method.display_name, points, [(row["accuracy"]["low"], row["accuracy"]["high"]) for row in mine]))
    return draw_curves(
        "Learning curves", lines, words="Accuracy on Amazon test documents by training rows, with 95 % intervals over documents"
    )


if __name__ == "__main__":
    measured = measure(float(os.environ.get("LEARNING_MINUTES", "600")))
    table = list(rows_of(measured))
    PICTURE.write_text(picture(table), encoding="utf-8")
    sys.stdout.write(json.dumps({"rows": table, "advice": advised(measured, table)}, indent=2) + "\n")
