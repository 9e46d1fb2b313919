"""DAgger beside behaviour cloning on 20 intents of banking77 as answers to write: how much an expert must do for the same quality. It
begins with a model that is right six times in ten, since an earlier measurement, from a third right, could tell nothing; pool and samples
are the recipe's defaults, and no other setting was tried.

All arms begin with the same labelled messages and the same base, and train by the same plan, to its end, from the base at every size.
cloning: further messages, drawn at random, for each of which an expert writes the intent. human, whole: `dagger` answers `candidate_pool`
messages a round; the expert (the set's own label) is asked about those that it chooses: a draft that is right is left as it is, another is
corrected; learnt is what the expert wrote alone, or the whole answer, drafts that were right included. `whole` was measured when the
figures of `human` were known, and seeds 6 to 11 of all when six could tell nothing. So `asked` counts the messages that an expert read,
`written` the answers that an expert wrote; in cloning they are the same.

Accuracy is that of a greedy answer, word for word, on test messages that no arm sees. Intervals: of accuracies and differences, both
over test messages and (small model) over seeds, half-widths added as squares; of what is needed, bootstrap over messages and
seeds of where the mean curve first reaches cloning's accuracy at all of its answers, by straight lines between rounds. Where it doesn't
within `most`, more than that are needed, nobody knows how many: `most` stands there, the interval is open above, and `reached` is the
share of the bootstrap's draws in which it does. Beside cloning of as many written answers: its accuracy between two sizes, by straight
lines. The small model has 1.3 million weights, all of which are tuned; SmolLM2-135M has LoRA on its upper third.

Each part is kept in bench-results/imitation. Run: python -m benches.imitation PART …, where a part's name begins so (small-human);
without any, what is there is told.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benches._banking import KEPT, right, sides, small
from benches._given import Given
from benches.soft_targets import both, plain

from preceptor.models.base_models import find_base_folder
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.training import TrainingRun, dagger, recipes, sft
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import FeedbackRequest, UnlabelledItem
from preceptor.training.run_folder import cached_json
from preceptor.training.sft import SFTOptions, sft_train_config
from preceptor.types import Estimate

FOLDER = KEPT / "imitation"
ARMS = ("cloning", "human", "whole")
REPLICATES = 2000
Curves = dict[int, np.ndarray[Any, Any]]  # by seed: (sizes, test messages), 1 where right


@dataclass(frozen=True)
class Setting:
    """start: labelled messages to begin with; then `rounds` times `budget` messages are asked about, of `pool` that the model answered."""

    base: str
    start: int
    rounds: int
    budget: int
    pool: int
    test: int
    seeds: Sequence[int]
    options: Mapping[str, Any]

    def folder(self) -> Path:
        return small() if self.base == "small" else find_base_folder(self.base)

    @property
    def asked(self) -> list[int]:
        return [number * self.budget for number in range(self.rounds + 1)]


SETTINGS = {
    "small": Setting(
        "small", 300, 2, 80, 400, 300, range(12),
        {"adapter": "none", "learning_rate": 2e-3, "epochs": 10, "dtype": "float32", "samples": 3, "max_tokens": 256},
    ),
    "smollm2": Setting(
        "smollm2", 300, 1, 100, 300, 100, range(1),
        {"adapter": "lora-top", "learning_rate": 1e-3, "epochs": 3, "dtype": "float32", "samples": 0, "max_tokens": 256},
    ),
}  # fmt: skip
PARTS = [(name, arm, seed) for name, setting in SETTINGS.items() for seed in setting.seeds for arm in ARMS]


def part(name: str, arm: str, seed: int) -> dict[str, Any]:
    """What one arm answered right on the test messages at each size; cloning's first size is that of the others."""
    setting, started = SETTINGS[name], time.perf_counter()
    train, validation, test = sides(seed)
    seen: list[list[int]] = []
    recipe, base = recipes.get("dagger"), setting.folder()

    def look(chat: Any, *_: Any, **__: Any) -> Estimate:
        """In place of the recipe's own look at validation messages."""
        seen.append(right(chat.model, base, test[: setting.test]))
        print(f"{name} {arm} {seed}: {np.mean(seen[-1]):.3f}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        return estimate_mean(seen[-1])

    dagger.exact_match_rate, sft.sft_train_config = look, partial(to_the_end, setting.start)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        if arm == "cloning":
            sizes = [setting.start + spent for spent in setting.asked[1:]]
            models = [
                recipe(
                    TrainingRun(Path(folder) / str(size), base, Given(train[:size], validation), seed), options(setting, recipe, rounds=0)
                )
                for size in sizes
            ]
        else:
            rest = train[setting.start :]
            labels = {row.id: next(iter(row.target)) for row in rest}
            run = TrainingRun(
                Path(folder) / "run", base, Given(train[: setting.start], validation), seed, ask=partial(labelled, labels),
                unlabelled=lambda: (UnlabelledItem(row.id, row.content, row.group) for row in rest),
            )  # fmt: skip
            budget = {"rounds": setting.rounds, "budget": setting.budget, "candidate_pool": setting.pool, "target": arm}
            models = [recipe(run, options(setting, recipe, **budget))]
        told = models[-1].manifest
    return {
        "right": seen,
        "steps": told["steps"],
        "learnt_tokens": told["supervised_tokens"],
        "rounds": [{"asked": each["asked"], "right": each["right"]["value"]} for each in told["dagger"]["rounds"]],
        "seconds": round(time.perf_counter() - started),
    }


def to_the_end(start: int, task: TrainingTask, options: SFTOptions) -> TrainConfig:
    """`sft`'s plan without early stopping, which on so few validation messages would end arms of one size after different steps.

    Its batches are those that the first `start` messages ask for, as in all rounds of `dagger`: equal sizes take equal steps.
    """
    first = replace(task, train=task.train.select(range(start)))
    return replace(sft_train_config(first, options), patience=10**6, evals_per_epoch=1)


def options(setting: Setting, recipe: Any, **more: Any) -> Any:
    return recipe.Options.parse({**setting.options, **more}, of="dagger")


def labelled(labels: Mapping[str, str], kind: str, asked: Sequence[FeedbackRequest]) -> dict[str, str]:
    """The expert, who knows the set's own label."""
    return {each.id: labels[each.id.split(":", 1)[1]] for each in asked}


def kept(name: str, arm: str, seed: int) -> dict[str, Any]:
    """A part, measured now or before."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return dict(cached_json(FOLDER / f"{name}-{arm}-{seed}.json", partial(part, name, arm, seed)))


def curves(name: str) -> dict[str, Curves]:
    """Of each arm, of the seeds for which it is measured, as cloning and human are."""
    there = {arm: {seed for seed in SETTINGS[name].seeds if (FOLDER / f"{name}-{arm}-{seed}.json").exists()} for arm in ARMS}
    seeds = there["cloning"] & there["human"]
    found = {arm: {seed: np.array(kept(name, arm, seed)["right"], dtype=float) for seed in sorted(there[arm] & seeds)} for arm in ARMS}
    for seed in seeds:
        found["cloning"][seed] = np.concatenate([found["human"][seed][:1], found["cloning"][seed]])
    return {arm: each for arm, each in found.items() if each}


def written(name: str, arm: str, seed: int) -> list[float]:
    """How many answers an expert wrote at each size, those to begin with aside."""
    asked = SETTINGS[name].asked
    if arm == "cloning":
        return [float(count) for count in asked]
    return np.cumsum([0.0, *(each["asked"] * (1 - each["right"]) for each in kept(name, arm, seed)["rounds"])]).tolist()


def over_both(name: str, each: Sequence[np.ndarray[Any, Any]], other: Sequence[np.ndarray[Any, Any]] | None = None) -> Estimate:
    """The mean over seeds of test rows' values, or of their difference."""
    against = [np.zeros_like(rows) for rows in each] if other is None else other
    rows = estimate_mean(np.mean(each, axis=0)) if other is None else compare_paired(np.mean(each, axis=0), np.mean(against, axis=0))
    return rows if len(each) == 1 else both(rows, [float((a - b).mean()) for a, b in zip(each, against, strict=True)])


def needed(name: str, mine: Curves, cloning: Curves, counts: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """Where an arm's mean curve over `counts` reaches cloning's last accuracy, and in how many of the bootstrap's draws it does."""
    draw, seeds, tested = np.random.default_rng(0), sorted(mine), SETTINGS[name].test

    def once(rows: np.ndarray[Any, Any], taken: Sequence[int]) -> tuple[float, float]:
        curve, goal = (np.mean([each[seed][:, rows].mean(axis=1) for seed in taken], axis=0) for each in (mine, cloning))
        spent = np.mean([counts[seed] for seed in taken], axis=0)
        return crossing(spent, curve, float(goal[-1])), float(spent[-1])

    found, most = once(np.arange(tested), seeds)
    again = [once(draw.integers(0, tested, tested), draw.choice(seeds, len(seeds)))[0] for _ in range(REPLICATES)]
    low, high = (float(np.quantile(again, at, method="nearest")) for at in (0.025, 0.975))
    estimate = Estimate(min(found, most), min(low, most), high, len(seeds), "bootstrap over messages and seeds")
    return {"most": most, "needed": estimate, "reached": round(float(np.isfinite(again).mean()), 3)}


def crossing(spent: Sequence[int], curve: Sequence[float], goal: float) -> float:
    """Where a curve first reaches the goal, straight between its points; infinity where it never does."""
    for at, value in enumerate(curve):
        if value >= goal:
            if at == 0:
                return float(spent[0])
            before = curve[at - 1]
            return float(spent[at - 1] + (spent[at] - spent[at - 1]) * (goal - before) / (value - before))
    return math.inf


def between(spent: Sequence[float], rows: np.ndarray[Any, Any], count: float) -> np.ndarray[Any, Any]:
    """What a curve (sizes, test messages) is at a count between its points, by straight lines."""
    return np.array([np.interp(count, spent, column) for column in rows.T])


def run() -> dict[str, Any]:
    """Accuracies by what was asked and written, differences from cloning, what is needed for its quality; of what is measured."""
    found: dict[str, list[dict[str, Any]]] = {"accuracy": [], "needed_for_cloning_s_last_accuracy": [], "rounds": []}
    for name, setting in SETTINGS.items():
        by_arm = curves(name)
        for arm, each in by_arm.items():
            counts = {seed: written(name, arm, seed) for seed in sorted(each)}
            cloned = {seed: by_arm["cloning"][seed] for seed in sorted(each)}
            for at, asked in enumerate(setting.asked):
                mine = [each[seed][at] for seed in sorted(each)]
                row = {"base": name, "arm": arm, "labelled": setting.start, "asked": asked}
                row |= {"written": round(float(np.mean([count[at] for count in counts.values()])), 1), "accuracy": over_both(name, mine)}
                if arm != "cloning" and at:
                    row["above_cloning"] = over_both(name, mine, [rows[at] for rows in cloned.values()])
                    as_written = [between(setting.asked, rows, counts[seed][at]) for seed, rows in cloned.items()]
                    row["above_cloning_of_as_many_written"] = over_both(name, mine, as_written)
                found["accuracy"].append(plain({**row, "seeds": len(each)}))
            if arm != "cloning":
                of = {"asked": dict.fromkeys(counts, setting.asked), "written": counts}
                found["needed_for_cloning_s_last_accuracy"] += [
                    plain({"base": name, "arm": arm, "of": kind, "cloning": setting.asked[-1], **needed(name, each, cloned, spent)})
                    for kind, spent in of.items()
                ]
        found["rounds"] += [told_rounds(name, arm, sorted(each)) for arm, each in by_arm.items()]
    parts = [f"{name}-{arm}-{seed}" for name, arm, seed in PARTS]
    missing = [part for part in parts if not (FOLDER / f"{part}.json").exists()]
    return {**found, "not_measured": ", ".join(missing) or "nothing"}


def told_rounds(name: str, arm: str, seeds: Sequence[int]) -> dict[str, Any]:
    """What training took at the last size, and how many drafts were right already; means over the seeds."""
    parts = [kept(name, arm, seed) for seed in seeds]
    steps, tokens = (round(float(np.mean([each[key] for each in parts]))) for key in ("steps", "learnt_tokens"))
    rights = [[round_["right"] for round_ in each["rounds"]] for each in parts]
    shares = {"drafts_right": " ".join(f"{share:.2f}" for share in np.mean(rights, axis=0))} if arm != "cloning" else {}
    return {"base": name, "arm": arm, "steps_at_last_size": steps, "learnt_tokens_at_last_size": tokens, **shares}


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for name, arm, seed in PARTS:
        if any(f"{name}-{arm}-{seed}".startswith(each) for each in wanted):
            kept(name, arm, seed)
    print(json.dumps(run(), indent=2))
