"""How often 95 % intervals hold the truth, over 2,000 simulations a cell: judges good, useless and adversarial, few labels and many,
rare events, rows in clusters, and a look after each label.

n counts labels, or clusters of one to nine rows whose answers go together (correlation 0.2) and in which the judge errs alike. The
columns say how often the event happens; `width` is over that of people alone, at one half and at 5 %. Each cell outside 93 to
97 % stands in the last table. Over 97 % is meant for Clopper–Pearson, for sequences, and where few labels have the rarer answer; where
fewer than five are expected, 90 % is the floor.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preceptor.domain import Estimate
from preceptor.statistics import (
    active_mean,
    clopper_pearson,
    compare_paired,
    confidence_sequence,
    labelling_probabilities,
    mean,
    neyman_allocation,
    ppi_mean,
    ppi_paired,
    ppi_sequence,
    ppi_stratified,
    residual_spreads,
    strata_by_score,
    wilson,
)
from preceptor.statistics.prediction_powered import ENOUGH_RARER

Floats = NDArray[np.float64]

RUNS, REST, PEEKS = 2000, 1000, 400
RATES, LABELS, JUDGES = (0.5, 0.2, 0.05, 0.01), (20, 50, 100, 400), ("good", "useless", "adversarial")
CORRELATION = 0.2
LEAST, MOST, LEAST_RARE, ENOUGH, FEW_RUNS = 0.93, 0.97, 0.90, 5, 0.05


class Cell(NamedTuple):
    """What came of one cell: share that held, mean width, share of runs in which few labels had the rarer answer."""

    held: float
    width: float
    few: float


def score(rng: np.random.Generator, truth: NDArray[np.bool_], judge: str, right: Floats | float = 0.9) -> Floats:
    """good: graded, and surer when right; useless: anything; adversarial: nine times in ten the opposite."""
    if judge == "useless":
        return rng.random(truth.shape)
    agrees = rng.random(truth.shape) < right
    if judge == "adversarial":
        return np.where(agrees, ~truth, truth).astype(float)
    said = np.where(agrees, truth, ~truth)
    return rng.beta(np.where(said, 3.0, 1.0), np.where(said, 1.0, 3.0))


def rows(rng: np.random.Generator, rate: float, number: int, judge: str) -> tuple[Floats, Floats]:
    """Independent answers and a judge's scores."""
    truth = rng.random(number) < rate
    return truth.astype(float), score(rng, truth, judge)


def clusters(rng: np.random.Generator, rate: float, number: int, judge: str) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The same in clusters, with their numbers."""
    names = np.repeat(np.arange(number), rng.integers(1, 10, number))
    spread = (1 - CORRELATION) / CORRELATION
    truth = rng.random(len(names)) < rng.beta(rate * spread, (1 - rate) * spread, number)[names]
    return truth.astype(float), score(rng, truth, judge, rng.beta(0.9 * 8, 0.1 * 8, number)[names]), names


def plain(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    y, f = rows(rng, rate, n + REST, judge)
    return ppi_mean(y[:n], f[:n], f[n:])


def clustered(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    y, f, names = clusters(rng, rate, n + REST, judge)
    here = names < n
    return ppi_mean(y[here], f[here], f[~here], clusters_on_human=names[here], clusters_on_rest=names[~here])


def alone_clustered(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    y, _, names = clusters(rng, rate, n, "useless")
    return mean(y, clusters=names)


def stratified(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    """Four strata by score; a pilot of 40 others says where labels go."""
    y, f = rows(rng, rate, n + REST + 40, judge)
    strata = strata_by_score(f)
    y, f, strata, pilot = y[40:], f[40:], strata[40:], (y[:40], f[:40], strata[:40])
    sizes = np.bincount(strata)
    spreads = residual_spreads(*pilot)[0] if len(np.unique(pilot[2])) == len(sizes) else np.ones(len(sizes))
    given = neyman_allocation(sizes / sizes.sum(), spreads, n, floor=5, available=sizes)
    here = np.zeros(len(y), dtype=bool)
    for s, number in enumerate(given):
        here[np.flatnonzero(strata == s)[:number]] = True
    return ppi_stratified(y[here], f[here], f[~here], strata_on_human=strata[here], strata_on_rest=strata[~here])


def active(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    """Asked where the score is in the middle."""
    y, f = rows(rng, rate, n + REST, judge)
    pi = labelling_probabilities(np.sqrt(f * (1 - f)) + 0.01, n)
    here = np.flatnonzero(rng.random(len(y)) < pi)
    return active_mean(y[here], here, f, pi)


def paired(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    """Two models that err at this rate, and half as often; the judge scores both."""
    (a, f_a), (b, f_b) = (rows(rng, each, n + REST, judge) for each in (rate, rate / 2))
    return ppi_paired((a[:n], b[:n]), (f_a[:n], f_b[:n]), (f_a[n:], f_b[n:]))


def alone_paired(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    return compare_paired(*(rows(rng, each, n, judge)[0] for each in (rate, rate / 2)))


def peeking(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    """Bounds are the narrowest so far: holding at the end is holding at each of the looks."""
    y, f = rows(rng, rate, n + REST, judge)
    return ppi_sequence(y[:n], f[:n], f[n:])


def peeking_finite(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    """As an error from the mean of these items, put at the rate for the count."""
    y, f = rows(rng, rate, n + REST, judge)
    found = ppi_sequence(y[:n], f[:n], f[n:], finite=True)
    shift = rate - float(y.mean())
    return Estimate(found.value + shift, found.low + shift, found.high + shift, found.n, found.method)


def peeking_alone(rng: np.random.Generator, rate: float, n: int, judge: str) -> Estimate:
    return confidence_sequence(rows(rng, rate, n, judge)[0])


METHODS: dict[str, Callable[..., Estimate]] = {
    "ppi": plain,
    "ppi, clusters": clustered,
    "ppi, strata": stratified,
    "active": active,
    "ppi, two models": paired,
    "people alone, clusters": alone_clustered,
    "people alone, two models": alone_paired,
    "sequence": peeking_alone,
    "ppi sequence": peeking,
    "ppi sequence, these items": peeking_finite,
}
AGAINST = {
    "ppi": "people alone", "ppi, strata": "people alone", "active": "people alone", "ppi, clusters": "people alone, clusters",
    "ppi, two models": "people alone, two models", "ppi sequence": "sequence", "ppi sequence, these items": "sequence",
}  # fmt: skip


def cell(name: str, rate: float, n: int, judge: str) -> Cell:
    """2,000 simulations."""
    rng, truth = np.random.default_rng(n), rate / 2 if "two models" in name else rate
    found = [METHODS[name](rng, rate, n, judge) for _ in range(RUNS)]
    held = np.mean([each.low - 1e-12 <= truth <= each.high + 1e-12 for each in found])
    few = np.mean(["alone" in each.method for each in found])
    return Cell(float(held), float(np.mean([each.high - each.low for each in found])), float(few))


def counted(bounds: Callable[..., tuple[Floats, Floats]], rate: float, n: int) -> Cell:
    """People alone, from counts."""
    low, high = bounds(np.random.default_rng(n).binomial(n, rate, 50 * RUNS), np.full(50 * RUNS, n))
    return Cell(float(((low <= rate) & (rate <= high)).mean()), float((high - low).mean()), 0.0)


def cells() -> Iterator[tuple[tuple[str, str, int], dict[float, Cell]]]:
    """(method, judge, n) and its cells by rate; what people alone give comes first."""
    for name, bounds in (("people alone", wilson), ("people alone, Clopper–Pearson", clopper_pearson)):
        for n in LABELS:
            yield (name, "none", n), {rate: counted(bounds, rate, n) for rate in RATES}
    planned = [
        (name, judge, n)
        for name in sorted(METHODS, key=lambda each: each in AGAINST)
        for judge in (JUDGES if name in AGAINST else ("none",))
        for n in ((PEEKS,) if "sequence" in name else LABELS)
    ]
    with ProcessPoolExecutor() as pool:
        for key, by_rate in zip(planned, pool.map(rates, planned), strict=True):
            print(*key, file=sys.stderr)
            yield key, by_rate


def rates(key: tuple[str, str, int]) -> dict[float, Cell]:
    """The cells of a row."""
    name, judge, n = key
    return {rate: cell(name, rate, n, "good" if judge == "none" else judge) for rate in RATES}


def run() -> dict[str, Any]:
    """Coverage by method, judge and labels; and the cells outside."""
    table, outside, widths = [], [], dict[tuple[str, int], dict[float, float]]()
    for (name, judge, n), by_rate in cells():
        widths.setdefault((name, n), {rate: each.width for rate, each in by_rate.items()})
        row: dict[str, Any] = {"method": name, "judge": judge, "n": n}
        row |= {f"{rate:.0%}": round(100 * each.held, 1) for rate, each in by_rate.items()}
        if against := AGAINST.get(name):
            row |= {f"width, {rate:.0%}": round(by_rate[rate].width / widths[against, n][rate], 2) for rate in (0.5, 0.05)}
        table.append(row)
        for rate, each in by_rate.items():
            if why := verdict(name, rate, n, each):
                outside.append({"method": name, "judge": judge, "n": n, "rate": rate, "held %": round(100 * each.held, 1), "why": why})
    return {"coverage in %": table, "outside 93 to 97": outside or [{"cells": "none"}]}


def verdict(name: str, rate: float, n: int, found: Cell) -> str:
    """Nothing for a cell within 93 to 97 %, else why it may be outside, or that it may not."""
    if LEAST <= found.held <= MOST:
        return ""
    if found.held < LEAST:
        if n * rate < ENOUGH and found.held >= LEAST_RARE:
            return f"under {ENOUGH} events expected: 90 % is the floor"
        return "too low"
    if "Clopper" in name or "sequence" in name:
        return "holds at least"
    if n * rate < ENOUGH:
        return f"under {ENOUGH} events expected"
    if found.few > FEW_RUNS:
        return f"few labels of the rarer answer in {found.few:.0%} of runs"
    differing = n * (rate * (1 - rate / 2) + rate / 2 * (1 - rate))
    return f"{differing:.0f} items on which the models differ" if "two models" in name and differing < ENOUGH_RARER else "too high"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2, ensure_ascii=False) + "\n")
