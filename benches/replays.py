"""Adaptive redundancy on real crowds, and on a simulated one whose votes are overturned by what people confuse: judgments
bought, and accuracy beside full and evenly spread redundancy. Intervals of one set are over three orders of arrival (of the
simulated crowd: three crowds), those of the means over the five sets with at least eight judgments an item.

The curves of those five are drawn in docs/replays.svg. Replays run side by side, one a core.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.annotation.row_parser import read_gold, read_judgments
from preceptor.consensus import Judgments
from preceptor.planning import JudgmentReplay, replay_judgments
from preceptor.reporting.charts import PlotFrame, svg_document, svg_element, svg_line, svg_path, svg_text
from preceptor.statistics import estimate_mean
from preceptor.testing import simulate_misleading_crowd

CROWDS = Path(__file__).parents[2] / "shared" / "data" / "crowds"
SETS = ("dog", "face_sentiment", "snow_rte", "tweet_sentiment_1000", "weather_amt")  # at least eight judgments an item
SHALLOW = ("fact_eval", "music_genre", "product_pairs", "sp", "trec2010", "zencrowd_us")  # three to six: less to save
OVERTURNED = "simulated, vote overturned"  # 39 judgments an item; most people take two of the four answers for the others
SEEDS = range(3)
PICTURE = Path(__file__).parents[1] / "docs" / "replays.svg"
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#444}.grid{stroke:#ddd}.axis{stroke:#888}.line-a{stroke:#1f4e79;stroke-width:2.5;fill:none}"
    ".line-b{stroke:#b45f06;stroke-width:1.5;stroke-dasharray:5 3;fill:none}.full{stroke:#666;stroke-dasharray:2 3}"
)
HEIGHT = 185.0  # of one set's panel


def replayed(name: str, choose_people: bool, seed: int) -> JudgmentReplay:
    """One order of arrival, or one simulated crowd."""
    if name == OVERTURNED:
        crowd = simulate_misleading_crowd(seed=seed)
        judgments, gold = Judgments.from_columns(**crowd.columns), crowd.truth
    else:
        judgments, gold = read_judgments(CROWDS / name / "judgments.csv"), read_gold(CROWDS / name / "gold.csv")
    found = replay_judgments(judgments, gold=gold, choose_people=choose_people, seed=seed)
    if found.accuracy and found.fixed_accuracy:
        against = f"{found.accuracy.value:.3f}, evenly {found.fixed_accuracy.value:.3f}"
        print(f"{name}, {'chosen' if choose_people else 'random'}, {seed}: {found.fraction:.3f} bought, {against}", file=sys.stderr)
    return found


def row(name: str, choose_people: bool, found: list[JudgmentReplay]) -> dict[str, Any]:
    """One set: means over seeds, in points."""
    figures = {
        "bought_%": [100 * each.fraction for each in found],
        "accuracy_%": [100 * each.accuracy.value for each in found if each.accuracy],
        "full_%": [100 * each.full_accuracy.value for each in found if each.full_accuracy],
        "spread_evenly_%": [100 * each.fixed_accuracy.value for each in found if each.fixed_accuracy],
        "same_as_full_%": [100 * each.agreement.value for each in found],
        "claimed_%": [100 * each.claimed for each in found],
    }
    gains = np.array(figures["accuracy_%"]) - np.array(figures["spread_evenly_%"])
    better = estimate_mean(gains, within=(-np.inf, np.inf))
    row = {"set": name, "people": "chosen" if choose_people else "random"}
    row |= {key: round(float(np.mean(values)), 1) for key, values in figures.items()}
    interval = f" [{better.low:+.1f}, {better.high:+.1f}]" if np.ptp(gains) else ""  # three zeros, where all was bought, have none
    return row | {"better_than_evenly": f"{better.value:+.1f}{interval}"}


def draw(replays: dict[tuple[str, str], JudgmentReplay]) -> str:
    """Accuracy against gold while judgments are bought, one panel a set and way of arrival, with the picture's own style."""
    parts = [svg_element("style", STYLE), svg_text("bought as certainty asks", 44, 14), svg_line((190, 10), (215, 10), "line-a")]
    parts += [svg_text("spread evenly", 225, 14), svg_line((305, 10), (330, 10), "line-b")]
    for number, ((name, people), found) in enumerate(replays.items()):
        shown = [(point.fraction, point.accuracy.value, point.fixed_accuracy.value) for point in found.curve
                 if point.accuracy and point.fixed_accuracy]  # fmt: skip
        full = found.full_accuracy.value if found.full_accuracy else 1.0
        low = min(min(ours, evenly) for _, ours, evenly in shown)
        top = 50 + number * HEIGHT
        frame = PlotFrame((0.0, 1.0), (low - 0.01, full + 0.01), top=top, bottom=top + HEIGHT - 75)
        parts += frame.axes("share of the judgments", f"{name}, people {people}: accuracy", [0, 0.25, 0.5, 0.75, 1], percent, percent)
        parts.append(svg_line((frame.left, frame.y(full)), (frame.right, frame.y(full)), "full"))
        for column, class_ in ((2, "line-b"), (1, "line-a")):
            parts.append(svg_path([(frame.x(point[0]), frame.y(point[column])) for point in shown], class_))
    words = "Accuracy against gold by share of judgments bought, for each crowd; the dotted line is all judgments"
    return str(svg_document("Replays", words, 30 + len(replays) * HEIGHT, parts)).replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def run() -> list[dict[str, Any]]:
    """A row for each set and way of arrival, and their means with intervals over sets and seeds."""
    cases = list(product((False, True), (*SETS, *SHALLOW, OVERTURNED), SEEDS))
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(replayed, *zip(*((name, choose, seed) for choose, name, seed in cases), strict=True)))
    done = dict(zip(cases, made, strict=True))
    rows: list[dict[str, Any]] = []
    first: dict[tuple[str, str], JudgmentReplay] = {}
    for choose_people in (False, True):
        rows += [row(name, choose_people, [done[choose_people, name, seed] for seed in SEEDS]) for name in (*SETS, *SHALLOW, OVERTURNED)]
        first |= {(name, "chosen" if choose_people else "random"): done[choose_people, name, SEEDS[0]] for name in SETS}
        replays = [done[choose_people, name, seed] for name in SETS for seed in SEEDS]
        sets = np.repeat(np.arange(len(SETS)), len(SEEDS))
        lost = np.array(
            [100 * (each.accuracy.value - each.full_accuracy.value) for each in replays if each.accuracy and each.full_accuracy]
        )
        bought = estimate_mean(np.array([100 * each.fraction for each in replays]), clusters=sets)
        rows.append(
            {
                "set": f"mean of {len(SETS)}",
                "people": "chosen" if choose_people else "random",
                "bought_%": f"{bought.value:.1f} [{bought.low:.1f}, {bought.high:.1f}]",
                "points_below_full": str(estimate_mean(lost, clusters=sets)),
            }
        )
    PICTURE.write_text(draw(first) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    import json

    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
