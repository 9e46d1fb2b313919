"""How many right rows noisy ones are worth: answers of real tasks made wrong at random, beside curves from right answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from benches._curve_tasks import HOME, Task, sides

from preceptor.training.logistic_regression import LogisticData, select_logistic_head
from preceptor.types import FloatArray, IntArray

RIGHT, SEEDS = (0.8, 0.9), 4
PARTS = 2.0 ** -np.arange(6)  # of the rows, for the curve from right answers
LEARNABLE = 0.02  # that the error must fall over the last halving, else nothing can be read off it
PENALTIES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
SLOW = ("bank, part 2", "bank, part 3", "bank, part 4")  # ten answers each; the first part stands for them


def worth(task: Task) -> list[dict[str, Any]]:
    """What `_worth` finds of a task, as an earlier start left it or measured now."""
    kept = HOME / f"{task.name}-noisy.json"
    if not kept.exists():
        kept.write_text(json.dumps([] if task.name in SLOW else list(_worth(task))), encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _worth(task: Task) -> Iterator[dict[str, Any]]:
    """For each share of right answers q among K the part of the rows that would do as well if they were right, and the power of
    ((Kq − 1)/(K − 1))² (the factor) that this is. Nothing for a task whose curve is too flat to be read."""
    answers, rows = int(task.answers.max()) + 1, len(sides(task.groups)[2])
    sizes = np.array([round(rows * part) for part in PARTS])
    clean = np.array([np.mean([_error(task, size, 1.0, seed) for seed in range(SEEDS)]) for size in sizes])
    clean = np.minimum.accumulate(clean[::-1])[::-1]  # what chance has put out of order
    if clean[2] - clean[0] < LEARNABLE:
        return
    for right in RIGHT:
        noisy = float(np.mean([_error(task, rows, right, seed) for seed in range(SEEDS)]))
        part = float(2 ** np.interp(noisy, clean, np.log2(PARTS)))
        factor = ((answers * right - 1) / (answers - 1)) ** 2
        known = clean[0] < noisy < clean[-1]
        yield {
            "task": task.name,
            "answers": answers,
            "right": right,
            "error_of_right_rows": round(float(clean[0]), 3),
            "error_of_noisy_rows": round(noisy, 3),
            "rows_worth": round(part, 2),
            "factor": round(factor, 2),
            "power": round(float(np.log(part) / np.log(factor)), 1) if known else None,
        }


def _error(task: Task, size: int, right: float, seed: int) -> float:
    """On fresh rows, whose answers are right, of a probe that learnt from so many."""
    held, fresh, pool = sides(task.groups)
    answers, random = int(task.answers.max()) + 1, np.random.default_rng([seed, round(100 * right)])
    rows = np.random.default_rng(seed).permutation(pool)[:size]
    said = task.answers[rows].copy()
    wrong = random.random(size) > right
    said[wrong] = (said[wrong] + random.integers(1, answers, size=int(wrong.sum()))) % answers
    head = select_logistic_head(
        _sample(task.vectors[rows], said, answers), _sample(task.vectors[held], task.answers[held], answers), PENALTIES
    )
    return float(((task.vectors[fresh] @ head.weight.T + head.bias).argmax(axis=1) != task.answers[fresh]).mean())


def _sample(vectors: FloatArray, said: IntArray, answers: int) -> LogisticData:
    return LogisticData(vectors, np.eye(answers)[said], np.ones(len(said)))
