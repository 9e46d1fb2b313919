"""How often 95 % intervals hold the truth: judges good, useless and adversarial, few labels and many, rare events, rows in clusters, a
look after each label, scores, calibration error, agreement. 300 simulations a cell, and 2,000 where fewer than 94.5 % of these held.

n counts labels, or clusters of one to nine rows whose answers go together (correlation 0.2) and in which the judge errs alike. The
columns say how often the event happens; `width` is over that of people alone, at one half and at 5 %. `lower limit above` is how often an
estimate seems proven better than it is: 2.5 % is what the interval says, and a gate. Each cell under 93 % stands in the last table.
Exact limits (Clopper–Pearson, Gaffke) and sequences hold more often than they say, the more so the fewer labels there are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preceptor import Estimate
from preceptor.consensus import Judgments, agreement, fit_pairwise
from preceptor.statistics import (
    calibration_estimates,
    clopper_pearson_interval,
    compare_paired,
    confidence_sequence,
    estimate_active_mean,
    estimate_at_interim,
    estimate_mean,
    labelling_probabilities,
    neyman_allocation,
    ppi_mean,
    ppi_paired,
    ppi_sequence,
    ppi_stratified,
    residual_spreads,
    strata_by_score,
)

Floats = NDArray[np.float64]

RUNS, FIRST, REST, PEEKS = 2000, 300, 1000, 400
RATES, LABELS, JUDGES = (0.5, 0.2, 0.05, 0.01, 0.005, 0.002), (20, 50, 100, 400), ("good", "useless", "adversarial")
CORRELATION = 0.2
LEAST, PLAINLY = 0.93, 0.945
SCORES: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "token F1, many 0 and 1": lambda rng, n: mixed(rng, n, 0.15, 0.40, 2, 2),
    "token F1, mostly 1": lambda rng, n: mixed(rng, n, 0.03, 0.77, 4, 2),
    "ROUGE": lambda rng, n: rng.beta(2, 6, n),
    "Brier, skewed": lambda rng, n: rng.beta(0.4, 3, n),
    "nearly all good, 3 % wholly wrong": lambda rng, n: mixed(rng, n, 0.03, 0.0, 30, 2),
}
ANSWERS: dict[str, tuple[float, float]] = {  # overconfidence, and how sure the model is
    "perfect": (1.0, 3.0), "overconfident": (1.5, 3.0), "very overconfident": (3.0, 3.0), "sure and overconfident": (1.5, 20.0)
}  # fmt: skip


class Cell(NamedTuple):
    """What came of one cell: share that held, mean width, share whose lower limit lies above the truth, share without an interval."""

    held: float
    width: float
    above: float
    refused: float

    @classmethod
    def of(cls, draw: Callable[[], Estimate], truth: float) -> Cell:
        """Of some simulations, or of many where those leave it open."""
        found = [draw() for _ in range(FIRST)]
        if (cell := cls._of(found, truth)).held >= PLAINLY:
            return cell
        return cls._of([*found, *(draw() for _ in range(RUNS - FIRST))], truth)

    @classmethod
    def _of(cls, found: list[Estimate], truth: float) -> Cell:
        low, high = np.array([(each.low, each.high) for each in found]).T
        refused = np.mean(["no interval" in each.method for each in found])
        held = (low - 1e-12 <= truth) & (truth <= high + 1e-12)
        return cls(float(held.mean()), float((high - low).mean()), float((low - 1e-12 > truth).mean()), float(refused))


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
    return estimate_mean(y, clusters=names)


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
    return estimate_active_mean(y[here], here, f, pi)


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


def mixed(rng: np.random.Generator, n: int, none: float, full: float, a: float, b: float) -> Floats:
    """Scores of which so many are 0, so many 1, and the others between."""
    drawn = rng.random(n)
    return np.where(drawn < none, 0.0, np.where(drawn < none + full, 1.0, rng.beta(a, b, n)))


def after(rng: np.random.Generator, first: Floats) -> Floats:
    """Scores of a second model, mostly those of the first or near them, one in twenty of its own."""
    near = np.clip(first + rng.normal(-0.02, 0.08, len(first)) * (rng.random(len(first)) < 0.5), 0, 1)
    return np.where(rng.random(len(first)) < 0.05, rng.random(len(first)), near)


def scores(rng: np.random.Generator, shape: str, n: int) -> Estimate:
    return estimate_mean(SCORES[shape](rng, n))


def scores_in_clusters(rng: np.random.Generator, shape: str, n: int) -> Estimate:
    """One to five rows that share half of what they score."""
    names = np.repeat(np.arange(n), rng.integers(1, 6, n))
    shared, own = SCORES[shape](rng, n)[names], SCORES[shape](rng, len(names))
    return estimate_mean(np.where(rng.random(len(names)) < 0.5, shared, own), clusters=names)


def scores_of_two(rng: np.random.Generator, shape: str, n: int) -> Estimate:
    first = SCORES[shape](rng, n)
    return compare_paired(after(rng, first), first)


def scores_with_judge(rng: np.random.Generator, shape: str, n: int) -> Estimate:
    y = SCORES[shape](rng, n + REST)
    f = np.clip(y + rng.normal(0, 0.15, len(y)), 0, 1)
    return ppi_mean(y[:n], f[:n], f[n:])


SCORED: dict[str, Callable[..., Estimate]] = {
    "scores": scores,
    "scores, clusters": scores_in_clusters,
    "scores, two models": scores_of_two,
    "scores, ppi": scores_with_judge,
}


def calibrated(rng: np.random.Generator, overconfidence: float, sure: float, n: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Two-class probabilities whose logits are too large by a factor, how often such answers are right, and the right classes."""
    top = 0.5 + 0.5 * rng.beta(sure, 1.2, n) * (1 - 1e-9)
    right = 1 / (1 + np.exp(-np.log(top / (1 - top)) / overconfidence))
    return np.column_stack([top, 1 - top]), right, (rng.random(n) >= right).astype(np.int64)


def calibration(rng: np.random.Generator, answers: str, n: int) -> Estimate:
    probabilities, _, truth = calibrated(rng, *ANSWERS[answers], n)
    return calibration_estimates(probabilities, truth, replicates=400)


def calibration_truth(answers: str) -> float:
    """Of 400,000 answers; an overconfident model's gap has one sign, so that bins change nothing."""
    probabilities, right, _ = calibrated(np.random.default_rng(0), *ANSWERS[answers], 400_000)
    return float(np.abs(probabilities[:, 0] - right).mean())


def judged_twice(rng: np.random.Generator, rate: float, n: int) -> Estimate:
    """Alpha of two people who each see the truth with probability 0.8 (so that alpha is 0.64), else guess at the rate; of samples with
    two different answers, without which there is no alpha."""
    while True:
        truth = rng.random(n) < rate
        given = np.where(rng.random((2, n)) < 0.8, truth, rng.random((2, n)) < rate).astype(int)
        if np.ptp(given):
            break
    judgments = Judgments.from_columns(item=np.tile(np.arange(n), 2), annotator=np.repeat([0, 1], n), answer=given.ravel())
    return agreement(judgments, replicates=400)


def taste(rng: np.random.Generator, lead: float, sd: float, careless: float) -> Estimate:
    """The difference of two models by 20 people with 20 votes each."""
    who = np.repeat(np.arange(20), 20)
    guesses, own = rng.random(20) < careless, lead + sd * rng.normal(size=20)
    first = rng.random(400) < np.where(guesses, 0.5, 1 / (1 + np.exp(-own)))[who]
    on_left = rng.random(400) < 0.5
    sides = np.where(on_left, "first", "second"), np.where(on_left, "second", "first")
    found = fit_pairwise(left=sides[0], right=sides[1], winner=np.where(first == on_left, "left", "right"), annotator=who)
    return found.difference("first", "second")


def average_lead(lead: float, sd: float, careless: float) -> float:
    """What the average of such people says, in log-odds."""
    own = lead + sd * np.random.default_rng(0).normal(size=1_000_000)
    average = (1 - careless) * float((1 / (1 + np.exp(-own))).mean()) + careless / 2
    return float(np.log(average / (1 - average)))


def looked(rng: np.random.Generator, rate: float) -> bool:
    """Whether none of four looks at 50 to 400 answers has its lower limit above the rate: a bound at the rate isn't called missed."""
    answers = (rng.random(400) < rate).astype(float)
    return all(
        estimate_at_interim(lambda confidence, n=n: estimate_mean(answers[:n], confidence=confidence), 4).low <= rate
        for n in (50, 100, 200, 400)
    )


def cell(name: str, rate: float, n: int, judge: str) -> Cell:
    """A cell of a rate."""
    rng, truth = np.random.default_rng(n), rate / 2 if "two models" in name else rate
    return Cell.of(lambda: METHODS[name](rng, rate, n, judge), truth)


def counted(rate: float, n: int) -> Cell:
    """People alone, from counts."""
    low, high = clopper_pearson_interval(np.random.default_rng(n).binomial(n, rate, 50 * RUNS), np.full(50 * RUNS, n))
    held = ((low <= rate) & (rate <= high)).mean()
    return Cell(float(held), float((high - low).mean()), float((low > rate).mean()), 0.0)


def cells(pool: ProcessPoolExecutor) -> Iterator[tuple[tuple[str, str, int], dict[float, Cell]]]:
    """(method, judge, n) and its cells by rate; what people alone give comes first."""
    for n in LABELS:
        yield ("people alone", "none", n), {rate: counted(rate, n) for rate in RATES}
    planned = [
        (name, judge, n)
        for name in sorted(METHODS, key=lambda each: each in AGAINST)
        for judge in (JUDGES if name in AGAINST else ("none",))
        for n in ((PEEKS,) if "sequence" in name else LABELS)
    ]
    for key, by_rate in zip(planned, pool.map(rates, planned), strict=True):
        print(*key, file=sys.stderr)
        yield key, by_rate


def rates(key: tuple[str, str, int]) -> dict[float, Cell]:
    """The cells of a row."""
    name, judge, n = key
    return {rate: cell(name, rate, n, "good" if judge == "none" else judge) for rate in RATES}


def beside(key: tuple[str, str, int]) -> Cell:
    """A cell of scores, of calibration error or of agreement."""
    name, of, n = key
    rng = np.random.default_rng(n)
    if name == "calibration error":
        return Cell.of(lambda: calibration(rng, of, n), calibration_truth(of))
    if name == "alpha":
        return Cell.of(lambda: judged_twice(rng, float(of), n), 0.64)
    if "two models" in name:
        first = SCORES[of](np.random.default_rng(1), 1_000_000)
        truth = float((after(np.random.default_rng(2), first) - first).mean())
    else:
        truth = float(SCORES[of](np.random.default_rng(1), 4_000_000).mean())
    return Cell.of(lambda: SCORED[name](rng, of, n), truth)


def of_people(key: tuple[float, float, float]) -> Cell:
    """A cell of tastes."""
    rng = np.random.default_rng(0)
    return Cell.of(lambda: taste(rng, *key), average_lead(*key))


def percent(share: float) -> float:
    return round(100 * share, 1)


def run() -> dict[str, Any]:
    """Coverage by method, judge and labels; and the cells below."""
    table, below, widths = [], [], dict[tuple[str, int], dict[float, float]]()
    with ProcessPoolExecutor() as pool:
        for (name, judge, n), by_rate in cells(pool):
            widths.setdefault((name, n), {rate: each.width for rate, each in by_rate.items()})
            row: dict[str, Any] = {"method": name, "judge": judge, "n": n}
            row |= {f"{rate:.1%}".replace(".0%", "%"): percent(each.held) for rate, each in by_rate.items()}
            if against := AGAINST.get(name):
                row |= {f"width, {rate:.0%}": round(by_rate[rate].width / widths[against, n][rate], 2) for rate in (0.5, 0.05)}
            table.append(row)
            below += [
                {"cell": f"{name}, {judge}, {n}, {rate:.1%}", "held %": percent(each.held)}
                for rate, each in by_rate.items()
                if each.held < LEAST
            ]
        planned = [(name, shape, n) for name in SCORED for shape in SCORES for n in (10, 20, 50, 100, 500)]
        planned += [("calibration error", answers, n) for answers in ANSWERS for n in (20, 30, 50, 100, 300)]
        planned += [("alpha", str(rate), n) for rate in (0.5, 0.1, 0.03) for n in (10, 20, 50, 200)]
        others = []
        for key, found in zip(planned, pool.map(beside, planned), strict=True):
            print(*key, file=sys.stderr)
            others.append(told(key, found))
        people = [(lead, sd, careless) for lead in (0.0, 0.2) for sd, careless in ((0.0, 0.0), (0.7, 0.0), (0.0, 0.3), (0.7, 0.3))]
        tastes = [
            {"lead": key[0], "sd of tastes": key[1], "careless": key[2], "held %": percent(found.held), "width": round(found.width, 2)}
            for key, found in zip(people, pool.map(of_people, people), strict=True)
        ]
    rng = np.random.default_rng(0)
    looks = [
        {"rate = bound": rate, "called missed %": percent(1 - np.mean([looked(rng, rate) for _ in range(RUNS)]))}
        for rate in (0.002, 0.01, 0.05)
    ]
    low = [row for row in (*others, *tastes) if row["held %"] < 100 * LEAST]
    below += [{"cell": ", ".join(str(value) for value in list(row.values())[:3]), "held %": row["held %"]} for row in low]
    return {
        "coverage in %": table, "scores, calibration error, agreement": others,
        "two models by 20 people with tastes, or careless ones": tastes, "four looks, no more than 2.5 % said": looks,
        "below 93": below or [{"cells": "none"}],
    }  # fmt: skip


def told(key: tuple[str, str, int], found: Cell) -> dict[str, Any]:
    """A row of the second table."""
    held, above, refused = map(percent, (found.held, found.above, found.refused))
    row = {"figure": key[0], "of": key[1], "n": key[2], "held %": held, "lower limit above %": above, "mean width": round(found.width, 3)}
    return row | {"no interval %": refused}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2, ensure_ascii=False) + "\n")
