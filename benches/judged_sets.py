"""Real labels and real judges: what the interval with a judge holds, and how many labels the judge is worth.

A random part of each set is labelled, the rest has the judge only, the truth comes from all labels; 400 draws. `held` counts the
mean over these items; `held anew` draws items with replacement, as if the set were a sample of more like it, which is what the
interval promises. `gain`: labels that people alone would need over labels given, at this width; `allowed`: 1/(1 − ρ²N/(N + n)),
the most that the judge's correlation allows without strata. `strata`: the same for four strata by score with Neyman's allocation
from a pilot of ten a stratum. Shuffled scores stand for a judge that knows nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from benches._scored_sets import Scored, all_sets
from numpy.typing import NDArray

from preceptor import Estimate
from preceptor.statistics import estimate_mean, neyman_allocation, ppi_mean, ppi_ratio, ppi_stratified, residual_spreads, strata_by_score
from preceptor.statistics.intervals import estimate_clustered_proportion

DRAWS, PILOT = 400, 10
LABELS = {"wice, supported": (50,), "wice, how far": (50,), "llmbar": (100,), "summedits": (100, 400), "frank": (100, 400)}
COUNTS = (100, 200, 400)  # of the other sets


class Draws(NamedTuple):
    """The estimates of all draws of one kind, and the truth of each."""

    found: list[Estimate]
    truth: float

    @property
    def width(self) -> float:
        return float(np.mean([each.high - each.low for each in self.found]))

    @property
    def held(self) -> float:
        return float(np.mean([each.low - 1e-12 <= self.truth <= each.high + 1e-12 for each in self.found]))


def measured(each: Scored, n: int) -> dict[str, Any]:
    """One set, judge and number of labels."""
    rng, truth = np.random.default_rng(n), float(each.y.sum() / each.sizes.sum())
    items, plain = len(each.y), bool((each.sizes == 1).all())
    alone, joint, anew, strata = ([] for _ in range(4))
    for _ in range(DRAWS):
        order = rng.permutation(items)
        alone.append(by_people(each, order[:n]))
        joint.append(by_both(each, order[:n], order[n:]))
        again = rng.integers(items, size=items)
        anew.append(by_both(each, again[:n], again[n:]))
        if plain:
            strata.append(by_strata(rng, each, n))
    people, both = Draws(alone, truth), Draws(joint, truth)
    found = {"set": each.name, "judge": each.judge, "items": items, "n": n, "ρ": correlation(each)}
    found |= {"held %": 100 * both.held, "held anew %": 100 * Draws(anew, truth).held, "people alone held %": 100 * people.held}
    found |= {"gain": (people.width / both.width) ** 2, "allowed": allowed(found["ρ"], n, items - n)}
    found["gain / allowed"] = found["gain"] / found["allowed"]
    if plain:
        found |= {"strata held %": 100 * Draws(strata, truth).held, "strata gain": (people.width / Draws(strata, truth).width) ** 2}
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}


def by_people(each: Scored, here: NDArray[np.int64]) -> Estimate:
    if (each.sizes == 1).all():
        return estimate_mean(each.y[here])
    return estimate_clustered_proportion(each.y[here], each.sizes[here])


def by_both(each: Scored, here: NDArray[np.int64], rest: NDArray[np.int64]) -> Estimate:
    if (each.sizes == 1).all():
        return ppi_mean(each.y[here], each.f[here], each.f[rest])
    return ppi_ratio(each.y[here], each.sizes[here], each.f[here], each.f[rest], each.sizes[rest])


def by_strata(rng: np.random.Generator, each: Scored, n: int) -> Estimate:
    """A pilot of each stratum, then the labels that are left where they narrow most; the pilot's labels count."""
    strata = strata_by_score(each.f, min(4, n // PILOT))
    order, sizes = rng.permutation(len(strata)), np.bincount(strata)
    queue = [order[strata[order] == s] for s in range(len(sizes))]
    pilot = np.concatenate([rows[:PILOT] for rows in queue])
    spreads, _ = residual_spreads(each.y[pilot], each.f[pilot], strata[pilot])
    given = neyman_allocation(sizes / sizes.sum(), spreads, n, floor=PILOT, available=sizes)
    here = np.zeros(len(strata), dtype=bool)
    here[np.concatenate([rows[:number] for rows, number in zip(queue, given, strict=True)])] = True
    return ppi_stratified(
        each.y[here], each.f[here], each.f[~here], strata_on_human=strata[here], strata_on_rest=strata[~here]
    )  # fmt: skip


def correlation(each: Scored) -> float:
    """Between labels and scores; of a rate of sums, between what is left of both beyond their rates."""
    y, f = (column - column.sum() / each.sizes.sum() * each.sizes for column in (each.y, each.f))
    return float((y @ f) / np.sqrt((y @ y) * (f @ f)))


def allowed(rho: float, n: int, rest: int) -> float:
    return 1 / (1 - rho**2 * rest / (rest + n))


def real() -> list[dict[str, Any]]:
    """A row a set, judge and number of labels."""
    planned = [(each, n) for each in all_sets() for n in LABELS.get(each.name, COUNTS)]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(measured, *zip(*planned, strict=True)))


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a set: over its judges and numbers of labels."""
    found = []
    for name in dict.fromkeys(row["set"] for row in rows):
        of = [row for row in rows if row["set"] == name]
        row = {"set": name, "cells": len(of), "least held %": min(each["held %"] for each in of)}
        row["mean held anew %"] = round(float(np.mean([each["held anew %"] for each in of])), 1)
        ratios = [each["gain / allowed"] for each in of]
        row |= {"gain / allowed, least": min(ratios), "gain / allowed, most": max(ratios), "gain, most": max(each["gain"] for each in of)}
        if "strata gain" in of[0]:
            row["strata gain / allowed, most"] = round(max(each["strata gain"] / each["allowed"] for each in of), 3)
        found.append(row)
    return found


def shuffled() -> Iterator[dict[str, Any]]:
    """Judges that know nothing: one judge of each set with its scores dealt out anew."""
    for each in {each.name: each for each in all_sets()}.values():
        rng, n = np.random.default_rng(0), min(100, len(each.y) // 2)
        blind = each._replace(judge="shuffled", f=rng.permutation(each.f / each.sizes) * each.sizes)
        found = measured(blind, n)
        yield {**{name: found[name] for name in ("set", "n", "held anew %")}, "width / people alone": round(found["gain"] ** -0.5, 3)}


def simulated() -> Iterator[dict[str, Any]]:
    """Judges that double the labels and more: right so often, at a rate of one half and of a fifth; 5,000 items."""
    for rate, right in ((0.5, 0.86), (0.5, 0.93), (0.2, 0.92), (0.2, 0.96)):
        rng = np.random.default_rng(1)
        truth = rng.random(5000) < rate
        said = np.where(rng.random(5000) < right, truth, ~truth)
        score = rng.beta(np.where(said, 4.0, 1.0), np.where(said, 1.0, 4.0))
        yield measured(Scored(f"simulated, rate {rate}", f"right {right:.0%}", truth.astype(float), score, np.ones(5000)), 200)


def beside_ppi_py() -> list[dict[str, Any]]:
    """ppi_py and ours on the same draws: at hand, or in the folder that PPI_SITE names (`pip install --target DIR ppi-python`)."""
    if site := os.environ.get("PPI_SITE"):
        sys.path.append(site)
    try:
        from ppi_py import ppi_mean_ci
    except ImportError:
        return [{"ppi_py": "not at hand"}]
    rows = []
    for rate, n in ((0.5, 50), (0.2, 50), (0.2, 400), (0.05, 100), (0.05, 400)):
        rng, theirs, ours = np.random.default_rng(2), [], []
        for _ in range(1000):
            truth, right = rng.random(n + 2000) < rate, rng.random(n + 2000) < 0.9
            y, f = truth.astype(float), np.where(right, truth, ~truth).astype(float)
            low, high = ppi_mean_ci(y[:n], f[:n], f[n:], alpha=0.05)
            theirs.append(Estimate(0.0, float(low[0]), float(high[0]), n, "ppi_py"))
            ours.append(ppi_mean(y[:n], f[:n], f[n:]))
        both = {"ppi_py": Draws(theirs, rate), "ours": Draws(ours, rate)}
        columns = {f"{who} {what}": round(value, 3) for who, of in both.items() for what, value in (("held", of.held), ("width", of.width))}
        rows.append({"rate": rate, "n": n, **columns})
    return rows


def run() -> dict[str, Any]:
    """All tables."""
    rows = real()
    return {
        "summary": summary(rows),
        "simulated judges": list(simulated()),
        "judges that know nothing": list(shuffled()),
        "beside ppi_py": beside_ppi_py(),
        "all sets and judges": rows,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2, ensure_ascii=False) + "\n")
