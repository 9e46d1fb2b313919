"""Seconds, accuracy and peak memory of aggregating 100 thousand, 1 million and 10 million judgments, beside crowd-kit.

The promises: Dawid–Skene at least 5 times crowd-kit's speed at a million, encoding of ids included, at equal or better
accuracy; one-coin, MACE and GLAD at least 10 times; linear to 10 million in under 4 GB; a refit after 1 % more judgments
at least 5 times faster than a cold one. Run: python benches/aggregate.py [--sizes 100000,1000000] [--no-peer]

Simulation: 4 answers, 5 judgments an item, 2,000 people whose accuracy is Beta(8, 3), wrong answers uniform. Each run has a
process of its own, so that peak memory is its own; crowd-kit is timed on a DataFrame, we on the same columns.
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

ANSWERS, PER_ITEM, PEOPLE = 4, 5, 2000
OURS = ("majority", "dawid_skene", "dawid_skene:text", "one_coin", "mace", "glad", "auto", "warm", "warm:auto", "online")
PEER: dict[str, tuple[str, dict[str, Any]]] = {  # ours -> theirs, with the settings under which it does no more work than ours
    "majority": ("MajorityVote", {}),
    "dawid_skene": ("DawidSkene", {"n_iter": 100}),
    "one_coin": ("OneCoinDawidSkene", {"n_iter": 100}),
    "mace": ("MACE", {"n_restarts": 1, "n_iter": 10}),
    "glad": ("GLAD", {}),
}
LARGEST = {"glad": 1_000_000, "GLAD": 100_000, "warm:auto": 1_000_000}  # beyond, a run takes minutes
LIMIT = 600.0


def simulate(n: int, seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Columns of n judgments and the truth; each item's people differ."""
    rng = np.random.default_rng(seed)
    items = n // PER_ITEM
    truth, skill = rng.integers(ANSWERS, size=items), rng.beta(8, 3, size=PEOPLE)
    item = np.repeat(np.arange(items), PER_ITEM)
    start = rng.integers(PEOPLE, size=items)
    steps = np.concatenate([np.zeros((items, 1), int), rng.integers(1, PEOPLE // PER_ITEM, size=(items, PER_ITEM - 1))], axis=1)
    annotator = ((start[:, None] + steps.cumsum(axis=1)) % PEOPLE).ravel()
    right = rng.random(n) < skill[annotator]
    answer = np.where(right, truth[item], (truth[item] + rng.integers(1, ANSWERS, size=n)) % ANSWERS)
    return {"item": item, "annotator": annotator, "answer": answer}, truth


def ours(method: str, n: int) -> dict[str, Any]:
    """One run of ours; seconds from raw columns to posterior."""
    from preceptor.consensus import Judgments, aggregate

    columns, truth = simulate(n)
    name, _, form = method.partition(":")
    if name == "warm":
        return warm(columns, form or "dawid_skene")
    if name == "online":
        return online(columns)
    if form == "text":
        columns = {kind: [f"{kind}-{code:08d}" for code in column.tolist()] for kind, column in columns.items()}
    base, began = peak_mb(), time.perf_counter()
    consensus = aggregate(Judgments.from_columns(**columns), name)
    seconds = time.perf_counter() - began
    found = (consensus.posterior.argmax(axis=1) == truth).mean()
    return {"seconds": seconds, "accuracy": float(found), "peak_mb": peak_mb(), "base_mb": base, "steps": consensus.iterations}


def warm(columns: dict[str, Any], method: str) -> dict[str, Any]:
    """Cold against warm fit after 1 % more judgments, ids encoded (fit), and from the new rows on (all)."""
    from preceptor.consensus import Judgments, aggregate

    cut = len(columns["item"]) * 100 // 101
    old = Judgments.from_columns(**{kind: column[:cut] for kind, column in columns.items()})
    start = aggregate(old, method)
    began = time.perf_counter()
    encoded = Judgments.from_columns(**columns)
    encoding = time.perf_counter() - began
    cold, cold_seconds = timed(lambda: aggregate(encoded, method))
    extended, extending = timed(lambda: old.extend(**{kind: column[cut:] for kind, column in columns.items()}))
    again, warm_seconds = timed(lambda: aggregate(extended, method, start=start))
    moved = np.abs(cold.posterior - again.posterior)
    return {
        "seconds": extending + warm_seconds, "fit_ratio": cold_seconds / warm_seconds,
        "all_ratio": (encoding + cold_seconds) / (extending + warm_seconds), "mean_difference": float(moved.mean()),
        "flips": float(np.mean(cold.posterior.argmax(axis=1) != again.posterior.argmax(axis=1))),
    }  # fmt: skip


def online(columns: dict[str, Any]) -> dict[str, Any]:
    """Median time of one judgment on top of n."""
    from preceptor.consensus import Judgments, OnlineDawidSkene

    state = OnlineDawidSkene(Judgments.from_columns(**columns))
    rng = np.random.default_rng(0)
    rows = [(int(rng.integers(state.judgments.n_items)), f"new-{turn % 50}", int(rng.integers(ANSWERS))) for turn in range(2000)]
    spent = [timed(lambda row=row: state.add(*row))[1] for row in rows]  # type: ignore[misc]
    return {"seconds": float(np.median(spent)), "p99": float(np.quantile(spent, 0.99))}


def peer(method: str, n: int) -> dict[str, Any]:
    """One run of crowd-kit; seconds of fit_predict."""
    import crowdkit.aggregation
    import pandas

    name, settings = PEER[method]
    columns, truth = simulate(n)
    frame = pandas.DataFrame({"task": columns["item"], "worker": columns["annotator"], "label": columns["answer"]})
    base, began = peak_mb(), time.perf_counter()
    labels = getattr(crowdkit.aggregation, name)(**settings).fit_predict(frame)
    seconds = time.perf_counter() - began
    found = (labels.sort_index().to_numpy() == truth).mean()
    return {"seconds": seconds, "accuracy": float(found), "peak_mb": peak_mb(), "base_mb": base}


def timed(call: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    return call(), time.perf_counter() - began


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def run(library: str, method: str, n: int) -> dict[str, Any]:
    """One run in a process of its own."""
    name = PEER[method][0] if library == "crowd-kit" else method
    row = {"library": library, "method": name, "n": n, "load": round(os.getloadavg()[0], 1)}
    if n > LARGEST.get(name, n):
        return row | {"left_out": f"runs over {LARGEST[name]:,} judgments take minutes"}
    command = [sys.executable, __file__, "--one", library, method, str(n)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
        )
    except subprocess.TimeoutExpired:
        return row | {"left_out": f"over {LIMIT:.0f} s"}
    return row | (json.loads(done.stdout) if done.returncode == 0 else {"left_out": done.stderr.strip().splitlines()[-1]})


def main() -> None:
    """The table on stderr while it grows, JSON on stdout at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--sizes", default="100000,1000000,10000000")
    parser.add_argument("--methods", default=",".join(OURS))
    parser.add_argument("--no-peer", action="store_true", help="leave crowd-kit out")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        library, method, n = chosen.one
        print(json.dumps((ours if library == "preceptor" else peer)(method, int(n))))
        return
    rows = []
    for n in map(int, chosen.sizes.split(",")):
        for method in chosen.methods.split(","):
            libraries = ["preceptor"] + ["crowd-kit"] * (method in PEER and n <= 1_000_000 and not chosen.no_peer)
            for library in libraries:
                rows.append(run(library, method, n))
                print(
                    "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in rows[-1].items()),
                    file=sys.stderr,
                )
    document = {"bench": "aggregate", "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread", "rows": rows}
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
