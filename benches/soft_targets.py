"""Soft targets against majority labels: log loss and calibration of `classify` on the Amazon sentences, paired over rows and seeds.

Twenty people rated each sentence. A seed shuffles who is asked, and starts the training; the test rows are the same for all
(their documents are in no training). Of the same judgments each arm makes other targets:

posterior   what a rating's snapshot has: the probability of each class of the whole panel's mean
shares      the share of those asked who gave each class: soft targets of a snapshot by `--method majority`
majority    the class that most of them gave: hard targets of that snapshot; between equals, the class of their mean

Two designs: `three` asks three people about each item; `adaptive` asks 2 to 20, until the posterior is 98 % sure, as the demo
does. There are two truths of a test row, and each question has its own: what the panel's mean comes to (`panel`, one answer), or
what a person says (`people`, the twenty answers). Everything else is the same: MiniLM, 500 rows, 3 epochs, one rate, the epoch
with the best validation loss (against the arm's own targets).

A difference's interval has both parts: test documents drawn anew, and seeds drawn anew. What is done is kept in
bench-results/soft_targets and not done again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from preceptor import Estimate
from preceptor.consensus import Judgments, aggregate
from preceptor.models import class_probabilities
from preceptor.models.base_models import VADER_ASSET, fetch_asset, find_base_folder
from preceptor.pipeline.demo import (
    RATERS_PER_TEXT,
    SENTIMENT_CUTS,
    SENTIMENT_LABELS,
    SENTIMENT_SCALE,
    RecordedJudgments,
    code_sentiment,
    read_recorded_judgments,
)
from preceptor.statistics import bootstrap, brier_scores, compare_paired, estimate_mean, expected_calibration_error, log_loss_rows
from preceptor.storage import ObjectStore
from preceptor.storage.snapshot_rows import SnapshotRow, build_rows
from preceptor.storage.snapshots import write_snapshot
from preceptor.training import TrainingRun, recipes
from preceptor.types import Consensus, Item, Question

KEPT = Path(__file__).parents[1] / "bench-results" / "soft_targets"
SEEDS, ROWS, RATE, EPOCHS = range(5), {"train": 500, "validation": 150}, 1e-4, 3
CERTAIN, MINIMUM = 0.98, 2  # of the demo
ARMS = {"three": ("posterior", "majority", "shares"), "adaptive": ("posterior", "majority")}
PAIRS = [("three", "posterior", "majority"), ("three", "shares", "majority"), ("adaptive", "posterior", "majority")]
TRUTHS = ("panel", "people")
Table = np.ndarray[Any, Any]
Runs = Mapping[int, Table]  # a seed's probabilities of the test rows
QUESTION = Question(
    "sentiment", "rating", SENTIMENT_SCALE, settings={"cuts": SENTIMENT_CUTS, "labels": SENTIMENT_LABELS, "panel": RATERS_PER_TEXT}
)


@dataclass(frozen=True)
class Asked:
    """What was asked of whom: the first `counts` ratings of each item, and the consensus that rests on them."""

    recorded: RecordedJudgments
    items: list[str]
    counts: np.ndarray[Any, Any]
    consensus: Consensus

    def targets(self, arm: str) -> np.ndarray[Any, Any]:
        """The targets of each item by an arm, (items, answers)."""
        one_hot = np.eye(len(SENTIMENT_LABELS))
        if arm == "posterior":
            return np.asarray(self.consensus.posterior)
        given = [self.recorded.answers[item][:count] for item, count in zip(self.items, self.counts, strict=True)]
        votes = np.array([one_hot[code_sentiment(ratings)].sum(axis=0) for ratings in given])
        if arm == "shares":
            return votes / votes.sum(axis=1, keepdims=True)
        of_mean = code_sentiment(np.array([ratings.mean() for ratings in given]))
        return one_hot[(votes + 0.5 * one_hot[of_mean]).argmax(axis=1)]


def asked(recorded: RecordedJudgments, design: str) -> Asked:
    """Three people an item; or one more for each item that isn't certain, until all are or everybody was asked."""
    items = sorted(recorded.answers)
    counts = np.full(len(items), 3 if design == "three" else MINIMUM)
    fitted = agreed(recorded, items, counts)
    while design == "adaptive" and (more := (fitted.certainty < CERTAIN) & (counts < RATERS_PER_TEXT)).any():
        counts = counts + more
        fitted = agreed(recorded, items, counts)
    return Asked(recorded, items, counts, fitted)


def agreed(recorded: RecordedJudgments, items: list[str], counts: np.ndarray[Any, Any]) -> Consensus:
    """The question's own consensus on the first so many ratings of each item."""
    row = np.repeat(np.arange(len(items)), counts)
    column = np.concatenate([np.arange(count) for count in counts])
    said = recorded.rating_matrix(items)[row, column].astype(int)
    judgments = Judgments.from_columns(item=np.array(items)[row], annotator=column, answer=said, answers=SENTIMENT_SCALE)
    found = aggregate(judgments, "rating", scale=SENTIMENT_SCALE, cuts=SENTIMENT_CUTS, labels=SENTIMENT_LABELS, panel=RATERS_PER_TEXT)
    place = {item: at for at, item in enumerate(found.items)}
    order = [place[item] for item in items]
    return replace(found, items=tuple(items), posterior=found.posterior[order], judgment_counts=found.judgment_counts[order])


@cache
def people() -> RecordedJudgments:
    """Everybody's ratings, in the first seed's order."""
    return read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon", seed=0)


@cache
def layout() -> dict[str, list[SnapshotRow]]:
    """The rows of each side of the demo's snapshot: groups whole, duplicates tied; train and validation thinned by document."""
    recorded = people()
    known = [Item(row["id"], {"text": row["text"]}, row["group"]) for row in recorded.rows]
    rows, _ = build_rows(known, agreed(recorded, sorted(recorded.answers), np.full(len(known), RATERS_PER_TEXT)), {}, seed=0)
    order = np.random.default_rng(0).permutation(len(rows))
    sides = {side: [rows[at] for at in order if rows[at].split == side] for side in ("train", "validation", "test")}
    return {side: found[: ROWS.get(side, len(found))] for side, found in sides.items()}


def predicted(design: str, arm: str, seed: int, ask: Callable[[], Asked]) -> Table:
    """Probabilities of the test rows after training on one arm's targets; kept, and read again when they are there."""
    path = KEPT / f"{design}-{arm}-{seed}.npy"
    if not path.exists():
        print(path.stem, file=sys.stderr, flush=True)
        made = trained(ask(), arm, seed)
        KEPT.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".part").open("wb") as file:
            np.save(file, made)
        path.with_suffix(".part").rename(path)
    return np.asarray(np.load(path))


def trained(found: Asked, arm: str, seed: int) -> np.ndarray[Any, Any]:
    targets = dict(zip(found.items, found.targets(arm), strict=True))
    rows = [
        replace(row, target=dict(zip(SENTIMENT_LABELS, targets[row.id].tolist(), strict=True)))
        for side in layout().values()
        for row in side
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = write_snapshot(ObjectStore(folder / "objects"), QUESTION, SENTIMENT_LABELS, rows, {"checks": []})
        recipe = recipes.get("classify")
        options = recipe.Options(learning_rate=RATE, epochs=EPOCHS, min_steps=1, evals_per_epoch=1, dtype="float32")
        model = recipe(TrainingRun(folder / "run", find_base_folder("minilm"), snapshot, seed), options)
        return class_probabilities(model.path, [row.text for row in layout()["test"]])


@dataclass(frozen=True)
class Held:
    """The test rows' truths and documents. said: what each of the twenty said, (rows, RATERS)."""

    panel: np.ndarray[Any, Any]
    said: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any]

    @classmethod
    def out(cls) -> Held:
        rows = layout()["test"]
        ratings = people().rating_matrix([row.id for row in rows])
        said = np.array([code_sentiment(row) for row in ratings])
        return cls(code_sentiment(ratings.mean(axis=1)), said, np.array([row.group for row in rows]))

    def scores(self, probabilities: Table) -> dict[str, Table]:
        """Each score of each row, (rows,), by its truth."""
        shares = np.eye(len(SENTIMENT_LABELS))[self.said].mean(axis=1)
        return {
            "panel": {"log_loss": log_loss_rows(probabilities, self.panel), "brier": brier_scores(probabilities, self.panel)},
            "people": {"log_loss": log_loss_rows(probabilities, shares), "brier": brier_scores(probabilities, shares)},
        }  # type: ignore[return-value]

    def calibration(self, probabilities: Table, truth: str, weights: Any = None) -> Any:
        """Expected calibration error; a row's twenty answers are each a truth of it."""
        if truth == "panel":
            return expected_calibration_error(probabilities, self.panel, weights)
        each = np.repeat(probabilities, RATERS_PER_TEXT, axis=0)
        return expected_calibration_error(
            each, self.said.ravel(), None if weights is None else np.repeat(weights, RATERS_PER_TEXT, axis=-1)
        )

    def figures(self, runs: Runs, truth: str) -> dict[str, Any]:
        """Figures of one arm, means over the seeds."""
        accuracy = np.mean([(found.argmax(axis=1)[:, None] == self._answers(truth)).mean(axis=1) for found in runs.values()], axis=0)
        found = {name: estimate_mean(values, clusters=self.groups) for name, values in self._averaged(runs, truth).items()}
        error = np.mean([self.calibration(each, truth) for each in runs.values()])
        return {"accuracy": estimate_mean(accuracy, clusters=self.groups), **found, "calibration_error": round(float(error), 4)}

    def difference(self, one: Runs, other: Runs, truth: str) -> dict[str, Estimate]:
        """one − other, below zero where one is better; rows and seeds drawn anew."""
        a, b = self._averaged(one, truth), self._averaged(other, truth)
        rows = {name: compare_paired(a[name], b[name], clusters=self.groups) for name in a}
        rows["calibration_error"] = bootstrap(
            lambda weights: np.mean(
                [self.calibration(one[seed], truth, weights) - self.calibration(other[seed], truth, weights) for seed in one], axis=0
            ),
            clusters=self.groups, replicates=200,
        )  # fmt: skip
        seeds = {
            name: [float(self.scores(one[seed])[truth][name].mean() - self.scores(other[seed])[truth][name].mean()) for seed in one]
            for name in a
        }
        seeds["calibration_error"] = [self.calibration(one[seed], truth) - self.calibration(other[seed], truth) for seed in one]
        return {name: both(rows[name], seeds[name]) for name in rows}

    def _answers(self, truth: str) -> Table:
        return self.panel[:, None] if truth == "panel" else self.said

    def _averaged(self, runs: Runs, truth: str) -> dict[str, Table]:
        each = [self.scores(found)[truth] for found in runs.values()]
        return {name: np.mean([found[name] for found in each], axis=0) for name in each[0]}


def both(rows: Estimate, seeds: Sequence[float]) -> Estimate:
    """One interval from two sources of chance: their half-widths add as squares (wider than needed where they overlap)."""
    apart = estimate_mean(np.asarray(seeds))
    below, above = np.hypot(rows.value - rows.low, apart.value - apart.low), np.hypot(rows.high - rows.value, apart.high - apart.value)
    return Estimate(rows.value, float(rows.value - below), float(rows.value + above), len(seeds), "documents by cluster, seeds by t")


def run() -> dict[str, Any]:
    """Figures of each arm by each truth, and the differences."""
    ask = cache(lambda design, seed: asked(read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon", seed=seed), design))
    runs = {
        (design, arm): {seed: predicted(design, arm, seed, partial(ask, design, seed)) for seed in SEEDS}
        for design, arms in ARMS.items()
        for arm in arms
    }
    held = Held.out()
    return {
        "figures": [
            {"design": design, "targets": arm, "truth": truth, **plain(held.figures(found, truth))}
            for (design, arm), found in runs.items()
            for truth in TRUTHS
        ],
        "differences": [
            {"design": design, "of": f"{one} − {other}", "truth": truth}
            | plain(held.difference(runs[design, one], runs[design, other], truth))
            for design, one, other in PAIRS
            for truth in TRUTHS
        ],
        "judgments": [judged(design, [ask(design, seed) for seed in SEEDS]) for design in ARMS],
        "seeds": len(SEEDS),
        "test_rows": len(held.panel),
        "test_documents": len(set(held.groups)),
        "learning_rate": RATE,
    }


def judged(design: str, each: Sequence[Asked]) -> dict[str, Any]:
    """What a design asked, and how often its targets' most probable class is the panel's; means over the seeds."""
    truth = code_sentiment(people().rating_matrix(each[0].items).mean(axis=1))
    right = {arm: np.mean([one.targets(arm).argmax(axis=1) == truth for one in each]) for arm in ("posterior", "majority")}
    return {
        "design": design,
        "judgments_an_item": round(float(np.mean([one.counts.mean() for one in each])), 2),
        "certainty": round(float(np.mean([one.consensus.certainty.mean() for one in each])), 3),
        **{f"{arm}_as_the_panel": round(float(share), 3) for arm, share in right.items()},
    }


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates as JSON values."""
    return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in row.items()}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
