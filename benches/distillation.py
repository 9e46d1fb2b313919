"""A student on a teacher's word beside the same student on labels alone: 20 intents of banking77 as answers to write. The settings were
chosen on three seeds that have a table of their own; the first table is of others.

All arms train the same base on the same labelled messages by the same plan. labels: `sft` on people's answers. The others are `distill`,
without people's answers in the loss: kl, teacher to student on people's answers (the classic kind, off-policy); kl, more: so too, with
500 messages more that nobody labelled and the teacher answers (`unlabelled`; fewer passes, as there are more rows). What was tried
on the first three seeds is told apart, for the settings were chosen by it: kl, own: half the batches on the student's own answers from
the beginning; jsd: so too, with beta 0.5. labels longer, kl longer, kl then own go on from what labels and kl ended with, by the same
further plan: with the same loss, or (own) with beta 0.5 on the student's own answers. The teacher is the same base, trained on other
labelled messages, which no student sees and which are many more: what a student can gain is what the teacher knows from those. The
small model has 1.3 million weights, all of which are tuned; SmolLM2-135M has LoRA on its upper third.

Accuracy is that of a greedy answer, word for word, on test messages; intervals as in `imitation`, of the seeds at hand. Each part is
kept in bench-results/distillation. Run: python -m benches.distillation PART …, where a part's name begins so (small-labels); without
any, what is there is told.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benches._banking import KEPT, right, sides, small
from benches._given import Given
from benches.imitation import over_both
from benches.soft_targets import plain

from preceptor.models import load_causal
from preceptor.models.base_models import find_base_folder
from preceptor.training import TrainingRun, recipes
from preceptor.training.recipe import UnlabelledItem
from preceptor.training.run_folder import cached_json
from preceptor.types import Model

FOLDER = KEPT / "distillation"
FURTHER = 500
LONGER = {"learning_rate": 5e-4, "epochs": 6}
ARMS: dict[str, dict[str, Any]] = {
    "labels": {},
    "kl": {"beta": 0.0, "on_policy_fraction": 0.0},
    "kl, more": {"beta": 0.0, "on_policy_fraction": 0.0, "unlabelled": FURTHER, "epochs": 6},
    "kl, own": {"beta": 0.0, "on_policy_fraction": 0.5},
    "jsd": {"beta": 0.5, "on_policy_fraction": 0.5},
    "labels longer": LONGER,
    "kl longer": {"beta": 0.0, "on_policy_fraction": 0.0, **LONGER},
    "kl then own": {"beta": 0.5, "on_policy_fraction": 1.0, **LONGER},
}
AFTER = {"labels longer": "labels", "kl longer": "kl", "kl then own": "kl"}  # where an arm begins, if not at the base


@dataclass(frozen=True)
class Setting:
    """rows: messages of a student; taught: messages of its teacher, which are others; seeds, arms: what is reported."""

    rows: int
    taught: int
    test: int
    seeds: Sequence[int]
    student: Mapping[str, Any]
    teacher: Mapping[str, Any]
    arms: tuple[str, ...] = ("labels", "kl", "kl, more")


FULL = {"adapter": "none", "learning_rate": 2e-3, "dtype": "float32", "max_tokens": 256}
THIN = {"adapter": "lora-top", "learning_rate": 1e-3, "dtype": "float32", "max_tokens": 256}
SETTINGS = {
    "small": Setting(100, 1000, 300, range(3, 15), {**FULL, "epochs": 14}, {**FULL, "epochs": 8}),
    "smollm2": Setting(120, 500, 100, range(1), {**THIN, "epochs": 3}, {**THIN, "epochs": 2}, ("labels", "kl", "jsd")),
}
PILOTS = range(3)  # seeds of the small model by which the settings were chosen
PARTS = [
    *(("small", arm, seed) for seed in PILOTS for arm in ARMS),
    *((name, arm, seed) for name, setting in SETTINGS.items() for seed in setting.seeds for arm in ("teacher", *setting.arms)),
]


def base(name: str) -> Path:
    """Of student and teacher."""
    return small() if name == "small" else find_base_folder("smollm2")


def teacher(name: str) -> Path:
    """The teacher's model, trained once: the last messages in the first seed's order."""
    setting, made = SETTINGS[name], FOLDER / f"{name}-teacher"
    train, validation, _ = sides(0)
    sft = recipes.get("sft")
    options = sft.Options.parse({**setting.teacher}, of="sft")
    return Path(sft(TrainingRun(made, base(name), Given(train[-setting.taught :], validation), 0, name), options).path)


def part(name: str, arm: str, seed: int) -> dict[str, Any]:
    """What one arm answered right on the test messages."""
    setting, started = SETTINGS[name], time.perf_counter()
    train, validation, test = sides(seed)
    followed = teacher(name)
    if arm == "teacher":
        return {"right": right(load_causal(followed), followed, test[: setting.test]), "seconds": round(time.perf_counter() - started)}
    untaught = {row.id for row in sides(0)[0][-setting.taught :]}
    mine = [row for row in train if row.id not in untaught]
    begun = TrainingRun(
        FOLDER / "runs" / f"{name}-{arm}-{seed}", base(name), Given(mine[: setting.rows], validation), seed,
        unlabelled=lambda: (UnlabelledItem(row.id, row.content, row.group) for row in mine[setting.rows :]),
    )  # fmt: skip
    model = student(name, arm, begun, followed)
    found = right(load_causal(model.path), model.path, test[: setting.test])
    print(f"{name} {arm} {seed}: {np.mean(found):.3f}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    best = min(model.manifest["history"], key=lambda at: at["validation_loss"])
    told = {"steps": model.manifest["steps"], "validation_loss": best["validation_loss"]}
    return {"right": found, **told, "seconds": round(time.perf_counter() - started)}


def student(name: str, arm: str, run: TrainingRun, followed: Path) -> Model:
    """An arm's model; trained once."""
    if arm in AFTER:
        before = run.folder.with_name(f"{name}-{AFTER[arm]}-{run.seed}")
        run = replace(run, base=student(name, AFTER[arm], replace(run, folder=before), followed).path)
    by_labels = arm.startswith("labels")
    recipe = recipes.get("sft" if by_labels else "distill")
    asked = {**SETTINGS[name].student, **ARMS[arm], **({} if by_labels else {"teacher": str(followed)})}
    return recipe(run, recipe.Options.parse(asked, of=recipe.__name__))


def kept(name: str, arm: str, seed: int) -> dict[str, Any]:
    """A part, measured now or before; the teacher is the same for all seeds."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return dict(cached_json(FOLDER / f"{name}-{arm}-{0 if arm == 'teacher' else seed}.json", partial(part, name, arm, seed)))


def measured(name: str, arm: str, seeds: Sequence[int]) -> dict[int, dict[str, Any]]:
    """An arm's parts that there are, by seed; a teacher has one."""
    wanted = [0] if arm == "teacher" else seeds
    return {seed: kept(name, arm, seed) for seed in wanted if (FOLDER / f"{name}-{arm}-{seed}.json").exists()}


def answered(parts: Mapping[int, Mapping[str, Any]]) -> list[np.ndarray[Any, Any]]:
    """Of each seed, 1 for each test message that was answered right, else 0."""
    return [np.array(each["right"], dtype=float) for each in parts.values()]


def run() -> dict[str, Any]:
    """Accuracy of each arm and its difference from labels alone on the same seeds, of what is measured."""
    told = [row for name, setting in SETTINGS.items() for row in rows(name, ("teacher", *setting.arms), setting.seeds)]
    return {"rows": told, "seeds_by_which_the_settings_were_chosen": rows("small", tuple(ARMS), PILOTS)}


def rows(name: str, arms: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row of the table for each arm that is measured."""
    setting, found = SETTINGS[name], {arm: measured(name, arm, seeds) for arm in arms}
    made = []
    for arm, parts in found.items():
        if not parts:
            continue
        row = {"base": name, "arm": arm, "labelled": setting.taught if arm == "teacher" else setting.rows, "seeds": len(parts)}
        row["accuracy"] = over_both(name, answered(parts))
        if arm not in ("teacher", "labels"):
            same = {seed: found["labels"][seed] for seed in parts if seed in found["labels"]}
            row["above_labels"] = over_both(name, answered({seed: parts[seed] for seed in same}), answered(same))
        if arm != "teacher":
            told = list(parts.values())
            row |= {key: round(float(np.mean([each[key] for each in told])), 3) for key in ("steps", "validation_loss", "seconds")}
        made.append(plain(row))
    return made


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for name, arm, seed in PARTS:
        if any(f"{name}-{arm}-{seed}".startswith(each) for each in wanted):
            kept(name, arm, seed)
    print(json.dumps(run(), indent=2))
