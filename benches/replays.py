"""Adaptive redundancy on real crowds: judgments bought, and accuracy beside full and evenly spread redundancy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.guidance import Replay, replay
from preceptor.project.columns import read_gold, read_judgments
from preceptor.statistics import mean

CROWDS = Path(__file__).parents[2] / "shared" / "data" / "crowds"
SETS = ("dog", "face_sentiment", "snow_rte", "tweet_sentiment_1000", "weather_amt")  # at least eight judgments an item
SEEDS = range(5)


def row(name: str, choose_people: bool) -> tuple[dict[str, Any], list[Replay]]:
    """One set: means over seeds, each replay in points."""
    judgments, gold = read_judgments(CROWDS / name / "judgments.csv"), read_gold(CROWDS / name / "gold.csv")
    found = [replay(judgments, gold=gold, choose_people=choose_people, seed=seed) for seed in SEEDS]
    figures = {
        "bought_%": [100 * each.fraction for each in found],
        "accuracy_%": [100 * each.accuracy.value for each in found if each.accuracy],
        "full_%": [100 * each.full_accuracy.value for each in found if each.full_accuracy],
        "spread_evenly_%": [100 * each.fixed_accuracy.value for each in found if each.fixed_accuracy],
        "same_as_full_%": [100 * each.agreement.value for each in found],
        "claimed_%": [100 * each.claimed for each in found],
    }
    people = "chosen" if choose_people else "random"
    return {"set": name, "people": people, **{key: round(float(np.mean(values)), 1) for key, values in figures.items()}}, found


def run() -> list[dict[str, Any]]:
    """A row for each set and way of arrival, and their means with intervals over sets and seeds."""
    rows: list[dict[str, Any]] = []
    for choose_people in (False, True):
        made = [row(name, choose_people) for name in SETS]
        rows += [each for each, _ in made]
        replays = [each for _, found in made for each in found]
        sets = np.repeat(np.arange(len(SETS)), len(SEEDS))
        lost = np.array(
            [100 * (each.accuracy.value - each.full_accuracy.value) for each in replays if each.accuracy and each.full_accuracy]
        )
        bought = mean(np.array([100 * each.fraction for each in replays]), clusters=sets)
        rows.append(
            {
                "set": "mean",
                "people": "chosen" if choose_people else "random",
                "bought_%": f"{bought.value:.1f} [{bought.low:.1f}, {bought.high:.1f}]",
                "points_below_full": str(mean(lost, clusters=sets)),
            }
        )
    return rows


if __name__ == "__main__":
    import json

    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
