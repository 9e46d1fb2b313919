"""Accuracy, log loss and calibration error against gold over eleven real crowds, ours beside crowd-kit's.

The promises: `auto` is at least as accurate as the best single crowd-kit method on average; its log loss and calibration
error are below plain Dawid–Skene's; with 50 gold answers it is never more than a point below majority on a set with at
least 500 gold; with few judgments an item, real or simulated, it is never half a point below the votes (ties split evenly)
beyond the noise of the draw. Run: python -m benches.crowds [--data ../shared/data/crowds] [--peers MajorityVote] [--draws 20]

Intervals are 95 %: of one set over its gold items, of a mean over sets from the sets' own (the sets are not a sample).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from benches._crowd_worlds import WORLDS, simulated, thinned

from preceptor.consensus import Judgments, aggregate
from preceptor.statistics import estimate_mean
from preceptor.statistics.calibration import expected_calibration_error

SETS = (
    "dog", "face_sentiment", "fact_eval", "music_genre", "product_pairs", "snow_rte", "sp", "trec2010",
    "tweet_sentiment_1000", "weather_amt", "zencrowd_us",
)  # fmt: skip
OURS: dict[str, dict[str, Any]] = {
    "auto": {},
    "majority": {},
    "one_coin": {},
    "mace": {},
    "glad": {},
    "dawid_skene": {},
    "dawid_skene, two kinds": {"kinds": 2},
    "dawid_skene, no prior": {"prior": "none", "smoothing": 0},
}
PEERS: dict[str, dict[str, Any]] = {
    "MajorityVote": {}, "DawidSkene": {"n_iter": 100}, "OneCoinDawidSkene": {"n_iter": 100}, "MACE": {}, "GLAD": {}, "MMSR": {},
    "Wawa": {}, "ZeroBasedSkill": {},
}  # fmt: skip
FLOOR = 1e-6  # a probability below counts as this one in the log loss
GOLD = 50
THIN, CLASSES, REDUNDANCY = (2, 3, 4), (2, 3, 5, 10), (2, 3, 5, 10)
SEEDS = range(3)
SLACK = 0.5  # points below the votes that are allowed


class Crowd:
    """One set: its rows, its gold, and figures of a posterior against it."""

    def __init__(self, folder: Path) -> None:
        with (folder / "judgments.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with (folder / "gold.csv").open(encoding="utf-8") as file:
            gold = {row["item"]: row["answer"] for row in csv.DictReader(file)}
        self.columns = {
            name: [row[column] for row in rows] for name, column in (("item", "item"), ("annotator", "worker"), ("answer", "answer"))
        }
        self.judgments = Judgments.from_columns(**self.columns)
        answers = {answer: code for code, answer in enumerate(self.judgments.answers)}
        known = [(self.judgments.item_index[item], answers[answer]) for item, answer in gold.items() if item in self.judgments.item_index]
        self.item, self.key = np.array(known).T

    def figures(self, posterior: Any, among: Any = None) -> dict[str, Any]:
        """Per gold item: right (0 or 1) and log loss; over all: calibration error; `among`: which gold items, default all."""
        item, key = (self.item, self.key) if among is None else (self.item[among], self.key[among])
        rows = posterior[item]
        loss = -np.log(np.maximum(rows[np.arange(len(key)), key], FLOOR))
        return {"right": rows.argmax(axis=1) == key, "loss": loss, "ece": float(expected_calibration_error(rows, key))}

    def known(self, among: Any) -> dict[Any, Any]:
        """Gold as `aggregate` takes it."""
        j = self.judgments
        return {j.items[i]: j.answers[k] for i, k in zip(self.item[among], self.key[among], strict=True)}


def crowd_kit(crowd: Crowd, name: str) -> Any:
    """The posterior of one of crowd-kit's methods, one-hot where it has none."""
    import crowdkit.aggregation
    import pandas

    frame = pandas.DataFrame({"task": crowd.columns["item"], "worker": crowd.columns["annotator"], "label": crowd.columns["answer"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, about their own dependencies
        model = getattr(crowdkit.aggregation, name)(**PEERS[name])
        labels = model.fit_predict(frame)
    items, answers = list(crowd.judgments.items), list(crowd.judgments.answers)
    found = getattr(model, "probas_", None)
    one_hot = (labels.reindex(items).to_numpy()[:, None] == np.array(answers, dtype=object)).astype(float)
    if found is None or name == "MMSR":
        return one_hot
    posterior = found.reindex(index=items, columns=answers).fillna(0.0).to_numpy()
    # its own label wins ties, so that accuracy is that of its labels
    return posterior / posterior.sum(axis=1, keepdims=True) * (1 - 1e-9) + 1e-9 * one_hot


def compare(crowds: dict[str, Crowd], peers: list[str]) -> list[dict[str, Any]]:
    """A row a method: figures of each set, and their means."""
    rows = []
    for library, methods in (("preceptor", list(OURS)), ("crowd-kit", peers)):
        for method in methods:
            found, began = {}, time.perf_counter()
            for name, crowd in crowds.items():
                try:
                    found[name] = crowd.figures(ours(crowd, method) if library == "preceptor" else crowd_kit(crowd, method))
                except Exception as error:  # a peer that can't run here is said to, not left out in silence
                    if library == "preceptor":
                        raise
                    found = {}
                    rows.append({"library": library, "method": method, "failed": f"{name}: {str(error).splitlines()[0][:120]}"})
                    break
            if found:
                rows.append({"library": library, "method": method, "seconds": round(time.perf_counter() - began, 2), **summary(found)})
            print(told(rows[-1]), file=sys.stderr)
    return rows


def ours(crowd: Crowd, method: str, **more: Any) -> Any:
    return aggregate(crowd.judgments, method.partition(",")[0], **OURS[method], **more).posterior


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Accuracy and log loss with intervals, a set and on average; calibration error."""
    sets = {
        name: {
            "accuracy": estimate_mean(f["right"].astype(float)).to_dict(),
            "log_loss": estimate_mean(f["loss"]).to_dict(),
            "ece": f["ece"],
        }
        for name, f in found.items()
    }
    average = {figure: averaged([row[figure] for row in sets.values()]) for figure in ("accuracy", "log_loss")}
    return {"mean": average | {"ece": float(np.mean([row["ece"] for row in sets.values()]))}, "sets": sets}


def averaged(estimates: list[dict[str, float]]) -> dict[str, float]:
    """The mean of independent estimates; its half width is the root of the sum of squares of theirs, over their number."""
    value = float(np.mean([e["value"] for e in estimates]))
    half = float(np.sqrt(np.sum([((e["high"] - e["low"]) / 2) ** 2 for e in estimates])) / len(estimates))
    return {"value": value, "low": value - half, "high": value + half}


def with_gold(crowds: dict[str, Crowd], draws: int) -> list[dict[str, Any]]:
    """auto with 50 gold answers against majority, on the rest of gold; the worst of `draws` random choices of them."""
    rows = []
    for name, crowd in crowds.items():
        majority, gains = ours(crowd, "majority"), []
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(len(crowd.item))
            given, rest = order[:GOLD], order[GOLD:]
            posterior = ours(crowd, "auto", gold=crowd.known(given))
            gains.append(crowd.figures(posterior, rest)["right"].mean() - crowd.figures(majority, rest)["right"].mean())
        rows.append(
            {"set": name, "gold": len(crowd.item), "draws": draws, "mean_gain": float(np.mean(gains)), "worst_gain": float(np.min(gains))}
        )
        print(rows[-1], file=sys.stderr)
    return rows


def few(crowds: dict[str, Crowd]) -> list[dict[str, Any]]:
    """auto beside the votes on each set thinned to few judgments an item, over `SEEDS`."""
    rows = []
    for name, crowd in crowds.items():
        for per_item in THIN:
            drawn = [beside_votes(thinned(crowd.judgments, per_item, seed), crowd.item, crowd.key) for seed in SEEDS]
            # the draws judge the same gold items, which are what an interval must count
            rows.append({"set": name, "judgments an item": per_item, **cell({f: np.mean([d[f] for d in drawn], axis=0) for f in drawn[0]})})
            print(rows[-1], file=sys.stderr)
    return rows


def worlds() -> list[dict[str, Any]]:
    """auto beside the votes in simulated worlds, over `SEEDS`."""
    rows = []
    for world in WORLDS:
        for answers in CLASSES:
            for per_item in REDUNDANCY:
                made = [simulated(world, answers, per_item, seed) for seed in SEEDS]
                drawn = [beside_votes(j, np.arange(j.n_items), truth) for j, truth in made]
                figures = {f: np.concatenate([d[f] for d in drawn]) for f in drawn[0]}
                rows.append({"world": world, "answers": answers, "judgments an item": per_item, **cell(figures)})
    return rows


def beside_votes(j: Judgments, item: Any, key: Any) -> dict[str, Any]:
    """Per gold item: whether right (a tie counts as its part) and log loss, by auto and by the votes, and auto's claim."""
    posterior = aggregate(j).posterior[item]
    votes = j.votes[item] / np.maximum(j.votes[item].sum(axis=1, keepdims=True), 1e-12)
    found: dict[str, Any] = {"claimed": posterior.max(axis=1)}
    for name, rows in (("auto", posterior), ("votes", votes)):
        top = rows >= rows.max(axis=1, keepdims=True) - 1e-9
        found[name] = top[np.arange(len(key)), key] / top.sum(axis=1)
        found[f"{name} loss"] = -np.log(np.maximum(rows[np.arange(len(key)), key], FLOOR))
    return found


def cell(found: dict[str, Any]) -> dict[str, Any]:
    """A row: accuracy in %, the gain on the votes in points with its paired interval, and what that says of the promise."""
    gain = estimate_mean(100 * (found["auto"] - found["votes"]))
    kept = "kept" if gain.value >= -SLACK else "undecided" if gain.high >= -SLACK else "broken"
    return {
        "votes %": round(float(100 * found["votes"].mean()), 1),
        "auto %": round(float(100 * found["auto"].mean()), 1),
        "gain": f"{gain.value:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]",
        "claimed %": round(float(100 * found["claimed"].mean()), 1),
        "votes, log loss": round(float(found["votes loss"].mean()), 2),
        "auto, log loss": round(float(found["auto loss"].mean()), 2),
        "not below the votes": kept,
    }


def told(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"{row['library']:10} {row['method']:24} failed on {row['failed']}"
    accuracy, loss = row["mean"]["accuracy"], row["mean"]["log_loss"]
    each = " ".join(f"{figures['accuracy']['value']:.3f}" for figures in row["sets"].values())
    return (
        f"{row['library']:10} {row['method']:24} accuracy {accuracy['value']:.4f} [{accuracy['low']:.4f}, {accuracy['high']:.4f}]  "
        f"log loss {loss['value']:.3f} [{loss['low']:.3f}, {loss['high']:.3f}]  ece {row['mean']['ece']:.3f}  {row['seconds']} s  {each}"
    )


def main() -> None:
    """Rows on stderr while they come, JSON on stdout at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "crowds")
    parser.add_argument(
        "--peers", default="MajorityVote,DawidSkene,OneCoinDawidSkene", help=f"of {', '.join(PEERS)}; GLAD takes half an hour"
    )
    parser.add_argument("--draws", type=int, default=20)
    chosen = parser.parse_args()
    if not chosen.data.is_dir():
        sys.exit(f"{chosen.data} is missing: give the folder of crowds with --data")
    crowds = {name: Crowd(chosen.data / name) for name in SETS}
    rows = compare(crowds, [name for name in chosen.peers.split(",") if name])
    gold = with_gold(crowds, chosen.draws)
    found = {"thinned": few(crowds), "simulated": worlds()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(json.dumps({"bench": "crowds", "machine": machine, "sets": list(SETS), "methods": rows, "with_50_gold": gold, **found}, indent=2))


if __name__ == "__main__":
    main()
