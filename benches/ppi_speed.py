"""Seconds for intervals from a million judge scores and a thousand labels, the best of five; the promise is under one second each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from preceptor import Estimate
from preceptor.statistics import (
    estimate_active_mean,
    labelling_probabilities,
    ppi_mean,
    ppi_paired,
    ppi_ratio,
    ppi_sequence,
    ppi_stratified,
    strata_by_score,
)

SCORES, LABELS, REPEATS = 1_000_000, 1000, 5


def run() -> list[dict[str, Any]]:
    """A row an estimator."""
    rng, n = np.random.default_rng(0), LABELS
    truth = (rng.random(SCORES + n) < 0.2).astype(float)
    score = rng.beta(np.where(truth, 4, 1), np.where(truth, 1, 4))
    claims = rng.integers(1, 10, SCORES + n).astype(float)
    groups, strata = np.arange(SCORES + n) // 4, strata_by_score(score)
    pi = labelling_probabilities(score * (1 - score), n)
    chosen = np.flatnonzero(rng.random(SCORES + n) < pi)
    calls: dict[str, Callable[[], Estimate]] = {
        "ppi_mean": lambda: ppi_mean(truth[:n], score[:n], score[n:]),
        "ppi_mean, clusters": lambda: ppi_mean(truth[:n], score[:n], score[n:], clusters_on_human=groups[:n], clusters_on_rest=groups[n:]),
        "ppi_paired": lambda: ppi_paired((truth[:n], score[:n]), (score[:n], truth[:n]), (score[n:], truth[n:])),
        "ppi_ratio": lambda: ppi_ratio(truth[:n] * claims[:n], claims[:n], score[:n] * claims[:n], score[n:] * claims[n:], claims[n:]),
        "ppi_stratified": lambda: ppi_stratified(truth[:n], score[:n], score[n:], strata_on_human=strata[:n], strata_on_rest=strata[n:]),
        "active_mean": lambda: estimate_active_mean(truth[chosen], chosen, score, pi),
        "ppi_sequence": lambda: ppi_sequence(truth[:n], score[:n], score[n:]),
    }
    return [{"estimator": name, "scores": SCORES, "labels": n, "seconds": round(best(call), 3)} for name, call in calls.items()]


def best(call: Callable[[], Estimate]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
