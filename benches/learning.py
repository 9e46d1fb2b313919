"""Learning curves on the Amazon sentences (test documents, answers of 20 people): few-shot, linear probe, contrastive and full
fine-tuning of MiniLM, LoRA of SmolLM2, over seeds; and what the chooser advises from training and validation rows alone.

Fixed learning rates, no sweep. Validation is cut to 300 rows. The curves
are drawn in docs/learning.svg. What was measured stays in bench-results/learning, and a later start goes on: with
LEARNING_MINUTES=N it stops beginning new points after so long. Few-shot (SmolLM2, 4 examples) answers 64 of the test texts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.project.assets import base_folder
from preceptor.project.demo import Demo
from preceptor.project.learning import Bench, Held, Method
from preceptor.recipes import Row
from preceptor.snapshots import Snapshot

HOME = Path(__file__).parents[1] / "bench-results" / "learning"
SIZES, SEEDS = (20, 50, 200, 1000), 5
VALIDATION, SHOWN = 300, 64
COMMON = {"dtype": "float32", "max_tokens": 64}


@dataclass(frozen=True)
class Thin:
    """A snapshot with fewer validation rows."""

    whole: Snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def rows(self, split: str) -> Iterator[Row]:
        rows = list(self.whole.rows(split))
        order = np.random.default_rng(0).permutation(len(rows))
        return iter([rows[at] for at in order[:VALIDATION]] if split == "validation" else rows)


def methods() -> list[Method]:
    minilm, smollm2 = base_folder("minilm"), base_folder("smollm2")
    tuned = {**COMMON, "epochs": 2, "min_steps": 60, "evaluations": 1, "batch_size": 16}
    pairs = {**tuned, "epochs": 1, "min_steps": 40}
    return [
        Method("linear_probe", "linear probe", "linear_probe", minilm, "minilm", COMMON),
        Method("contrastive", "contrastive", "contrastive", minilm, "minilm", {**pairs, "learning_rate": 5e-5}),
        Method("full", "full fine-tuning", "classify", minilm, "minilm", {**tuned, "learning_rate": 1e-4}),
        Method("few_shot", "few-shot", "few_shot", smollm2, "smollm2", {"shots": 4, "max_tokens": 64, "calibration": 16}),
        Method(
            "lora", "LoRA of SmolLM2", "classify", smollm2, "smollm2",
            {**tuned, "epochs": 1, "min_steps": 20, "learning_rate": 3e-4, "adapter": "lora"},
        ),
    ]  # fmt: skip


def benches() -> tuple[Bench, Bench, int]:
    """Where points are measured on all test texts, and on few of them; and how many training rows there are."""
    demo = Demo(HOME / "demo")
    demo.run("snapshot")
    snapshot, truth = demo.snapshot, demo.recorded.truth()
    rows = list(snapshot.rows("test"))
    order = np.random.default_rng(0).permutation(len(rows))
    code = {answer: number for number, answer in enumerate(snapshot.answers)}
    found = [Held(some, np.array([code[truth[row.id]] for row in some])) for some in (rows, [rows[at] for at in order[:SHOWN]])]
    whole, few = (Bench(HOME / "points", Thin(snapshot), held, base_folder) for held in found)  # type: ignore[arg-type]
    return whole, few, sum(1 for _ in snapshot.rows("train"))


def points(total: int) -> list[tuple[str, int, int]]:
    """(method, size, seed) in the order in which they are worth their time."""
    encoder = ("linear_probe", "contrastive", "full")
    small = [[(name, size, seed) for size in SIZES for name in encoder] for seed in range(SEEDS)]
    whole = [[(name, total, seed) for name in encoder] for seed in range(SEEDS)]
    first = [*small[0], *small[1], *whole[0], *small[2], *whole[1], *small[3], *small[4], *whole[2], *whole[3], *whole[4]]
    shown = [("few_shot", size, seed) for seed in range(SEEDS) for size in (*SIZES, total)]
    lora = [("lora", size, seed) for seed in range(SEEDS) for size in SIZES]
    both = [each for pair in zip(shown, lora, strict=False) for each in pair]
    return [*first, *both, *shown[len(lora) :]]


def measure(minutes: float, only: set[str]) -> None:
    """Measure what isn't known yet, until time is up."""
    whole, few, total = benches()
    (HOME / "points").mkdir(parents=True, exist_ok=True)
    named, end = {method.name: method for method in methods()}, time.monotonic() + 60 * minutes
    for name, size, seed in points(total):
        bench = few if name == "few_shot" else whole
        if (only and name not in only) or bench.known(named[name], size, seed):
            continue
        if time.monotonic() > end:
            return
        found = bench.outcome(named[name], size, seed)
        print(f"{name} {size} {seed}: {1 - found.error:.3f}, {found.seconds:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    measure(float(os.environ.get("LEARNING_MINUTES", "600")), set(sys.argv[1:]))
