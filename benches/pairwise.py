"""Seconds and accuracy of ranking options from comparisons, beside crowd-kit; and how often the intervals hold the truth.

The promises: at least 10 times crowd-kit's speed at 100 thousand comparisons, ids as text, ours with intervals over
annotators and theirs without any; intervals cover the true strengths in 92 to 98 % of 1,000 simulations with at least 20
annotators. Run: python benches/pairwise.py [--sizes 100000,1000000] [--no-peer] [--coverage 1000]

Simulation: 100 options with strengths N(0, 1), 1,000 annotators. crowd-kit's BradleyTerry stops after two steps by its own
tolerance (it compares the scores with themselves), so it is run both ways: with the default, and with tol=0 for all 100 steps.
"error" is the root mean square error of the centred log-strengths.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

OPTIONS, PEOPLE = 100, 1000
METHODS = (
    "pairwise", "pairwise, everyone alike", "preceptor BradleyTerry", "preceptor NoisyBradleyTerry",
    "crowd-kit BradleyTerry", "crowd-kit BradleyTerry, tol=0", "crowd-kit NoisyBradleyTerry, n_iter=10",
)  # fmt: skip
LARGEST = {"crowd-kit NoisyBradleyTerry, n_iter=10": 100_000}
LIMIT = 600.0
WORLDS: dict[str, dict[str, Any]] = {
    "Bradley–Terry with ties": {},
    "no ties": {"tie": -60.0},
    "20 annotators, 10 options": {"people": 20, "each": 30, "options": 10},
    "own tastes, sd 0.5": {"taste": 0.5},
    "a quarter guesses": {"guessing": 0.25},
    "one comparison each": {"people": 600, "each": 1},
    "prompts matter": {"people": 30, "each": 30, "prompts": 30},
}


def simulate(n: int, *, text: bool, seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Columns of n comparisons without ties, and the true strengths in the order of the ids."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=OPTIONS)
    left = rng.integers(OPTIONS, size=n)
    right = (left + rng.integers(1, OPTIONS, size=n)) % OPTIONS
    won = rng.random(n) < 1 / (1 + np.exp(strength[right] - strength[left]))
    names = np.array([f"option-{code:04d}" for code in range(OPTIONS)]) if text else np.arange(OPTIONS)
    people = np.array([f"person-{code:05d}" for code in range(PEOPLE)]) if text else np.arange(PEOPLE)
    return {"left": names[left], "right": names[right], "won": won, "annotator": people[rng.integers(PEOPLE, size=n)]}, strength


def one(method: str, n: int, ids: str) -> dict[str, Any]:
    """One run; seconds from raw columns to strengths (and intervals, where there are any)."""
    columns, truth = simulate(n, text=ids == "text")
    won = columns.pop("won")
    base = peak_mb()
    if method.startswith("pairwise"):
        from preceptor.consensus import fit_pairwise

        winner = np.where(won, "left", "right")
        began = time.perf_counter()
        result = fit_pairwise(**columns, winner=winner, reliability="alike" not in method)
        found = np.array([estimate.value for estimate in result.strengths.values()])
        seconds = time.perf_counter() - began
    else:
        frame = _frame(columns, won)
        fitted = _shim(method)
        began = time.perf_counter()
        scores = fitted.fit_predict(frame).sort_index().to_numpy()
        seconds = time.perf_counter() - began
        found = np.log(scores / (1 - scores) if "Noisy" in method else scores)
    off = (found - found.mean()) - (truth - truth.mean())
    return {"seconds": seconds, "error": float(np.sqrt(np.mean(off**2))), "peak_mb": peak_mb(), "base_mb": base}


def _frame(columns: dict[str, Any], won: Any) -> Any:
    import pandas

    label = np.where(won, columns["left"], columns["right"])
    return pandas.DataFrame({"worker": columns["annotator"], "left": columns["left"], "right": columns["right"], "label": label})


def _shim(method: str) -> Any:
    """crowd-kit's class, or ours of the same name."""
    if method.startswith("crowd-kit"):
        import crowdkit.aggregation as library
    else:
        from preceptor.compat.crowdkit import bradley_terry as library
    if "Noisy" in method:
        return library.NoisyBradleyTerry(**({"n_iter": 10} if "n_iter" in method else {}))
    return library.BradleyTerry(n_iter=100, tol=0.0 if "tol=0" in method else 1e-5)


def compared(
    rng: Any,
    *,
    options: int = 8,
    people: int = 25,
    each: int = 24,
    taste: float = 0.0,
    prompts: int = 0,
    guessing: float = 0.0,
    tie: float = -0.5,
) -> tuple[dict[str, Any], Any]:
    """A small crowd with ties, an order bias of 0.2, tastes of one's own, prompts that favour options (sd 0.7), people who guess."""
    strength = rng.normal(size=options)
    strength -= strength.mean()
    who = np.repeat(np.arange(people), each)
    left = rng.integers(options, size=len(who))
    right = (left + rng.integers(1, options, size=len(who))) % options
    own = taste * rng.normal(size=(people, options))
    delta = strength[left] - strength[right] + own[who, left] - own[who, right] + 0.2
    columns = {"left": left, "right": right, "annotator": who}
    if prompts:
        columns["prompt"], favour = rng.integers(prompts, size=len(who)), 0.7 * rng.normal(size=(prompts, options))
        delta = delta + favour[columns["prompt"], left] - favour[columns["prompt"], right]
    odds = np.exp(np.stack([delta / 2, -delta / 2, np.full(len(who), tie)]))
    drawn = (rng.random(len(who)) > np.cumsum(odds / odds.sum(axis=0), axis=0)).sum(axis=0).clip(0, 2)
    exchanged = (rng.random(people) < guessing)[who] & (rng.random(len(who)) < 0.5) & (drawn < 2)
    columns["winner"] = np.array(["left", "right", "tie"], dtype=object)[np.where(exchanged, 1 - drawn, drawn)]
    return columns, strength


def coverage(world: dict[str, Any], runs: int) -> dict[str, Any]:
    """Share of true strengths, and of differences of the first two, inside their 95 % intervals; mean width of a strength's."""
    from preceptor.consensus import fit_pairwise

    inside, between, width = [], [], []
    for seed in range(runs):
        columns, truth = compared(np.random.default_rng(seed), **world)
        result = fit_pairwise(**columns)
        inside += [estimate.low <= truth[option] <= estimate.high for option, estimate in result.strengths.items()]
        width += [estimate.high - estimate.low for estimate in result.strengths.values()]
        gap = result.difference(0, 1)
        between.append(gap.low <= truth[0] - truth[1] <= gap.high)
    return {"runs": runs, "strengths": float(np.mean(inside)), "differences": float(np.mean(between)), "width": float(np.mean(width))}


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run(method: str, n: int, ids: str) -> dict[str, Any]:
    """One run in a process of its own."""
    row = {"method": method, "n": n, "ids": ids, "load": round(os.getloadavg()[0], 1)}
    if n > LARGEST.get(method, n):
        return row | {"left_out": f"runs over {LARGEST[method]:,} comparisons take minutes"}
    command = [sys.executable, __file__, "--one", method, str(n), ids]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return row | {"left_out": f"over {LIMIT:.0f} s"}
    return row | (json.loads(done.stdout) if done.returncode == 0 else {"left_out": done.stderr.strip().splitlines()[-1]})


def show(row: dict[str, Any]) -> dict[str, Any]:
    """The row on stderr, and returned."""
    told = "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    print(told, file=sys.stderr)
    return row


def main() -> None:
    """The tables on stderr while they grow, JSON on stdout at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--sizes", default="100000,1000000")
    parser.add_argument("--ids", default="text,numbers")
    parser.add_argument("--no-peer", action="store_true", help="leave crowd-kit out")
    parser.add_argument("--coverage", type=int, default=1000, metavar="RUNS", help="simulations of each world, 0 for none")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(one(chosen.one[0], int(chosen.one[1]), chosen.one[2])))
        return
    methods = [method for method in METHODS if not (chosen.no_peer and method.startswith("crowd-kit"))]
    sizes, kinds = [int(n) for n in chosen.sizes.split(",") if n], chosen.ids.split(",")
    rows = [show(run(method, n, ids)) for n in sizes for ids in kinds for method in methods]
    covered = [show({"world": name} | coverage(world, chosen.coverage)) for name, world in WORLDS.items() if chosen.coverage]
    document = {
        "bench": "pairwise",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "rows": rows,
        "coverage": covered,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
