"""`grpo` and `rloo` with a reward that can be verified, beside the base, on prompts that no training saw; how far from the base, and what
is left of what it knew.

small: a model of 1.1 million weights was taught for a minute, on the spot, to say which of ten things a customer of a bank wants
(banking77). An answer earns 1 where it has three words at most, as a narrow screen wants it; `right` says how often it is the right one.
smollm2: SmolLM2-135M answers the same customers as it is, and earns 1 for an answer whose first words say that it is sorry. Prompts of
training, validation and test are different messages, and none of them was taught.

success: an answer drawn at temperature 1 to each test prompt, by the same random numbers for all. above_base: the paired difference.
Intervals are over test prompts; with several seeds (of one base, each its own draws) seeds vary too. kl: k3, nats an answer, on
validation prompts. general_kept: of the base's log-probability on held-out general texts. Each part is kept in
bench-results/reinforcement.
Run: python -m benches.reinforcement [PART …]
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches._banking import KEPT, rows
from benches._given import Given
from benches._small_model import small_decoder
from benches.imitation import over_both
from benches.soft_targets import plain

from preceptor.domain.general import General
from preceptor.domain.results import Estimate
from preceptor.models.causal import start_causal, start_tokenizer
from preceptor.models.chat import ChatTokenizer
from preceptor.models.rollouts import sample
from preceptor.project.assets import base_folder
from preceptor.recipes import Run, recipes
from preceptor.recipes.folder import remembered
from preceptor.recipes.rewarding.rewards import parts
from preceptor.recipes.rewarding.sampled import Sampled
from preceptor.recipes.rewarding.spec import read_spec
from preceptor.snapshots import Row

FOLDER = KEPT / "reinforcement"
GENERAL = Path(__file__).parents[2] / "shared" / "data" / "general" / "replay_general" / "items.jsonl"
INTENTS, TAUGHT, WIDTH = 10, 200, 128  # steps of teaching
HELD, PROMPTS = 128, 320  # messages to look at, and to train on, at most
MEASURED, LONGEST = 40, 60  # general texts that are measured; words of one


@dataclass(frozen=True)
class Setting:
    """prompts, held, test: how many messages each; rewards: what an answer earns."""

    prompts: int
    held: int
    test: int
    seeds: int
    rewards: str
    options: Mapping[str, Any]
    arms: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=lambda: {"grpo": ("grpo", {}), "rloo": ("rloo", {})})


SETTINGS = {
    "small": Setting(
        320, 64, 400, 3, "length<=3",
        {"choices": 8, "batch_size": 16, "max_new_tokens": 12, "epochs": 1, "learning_rate": 2e-3, "dtype": "float32", "beta": 0.1},
    ),
    "smollm2": Setting(
        48, 24, 100, 1, r"regex:'^(I.m|I am|I|We.re|We are|We)? ?(so |very |really )?([Ss]orry|[Aa]pologi[sz]e)'",
        {"choices": 6, "batch_size": 4, "max_new_tokens": 8, "epochs": 1, "learning_rate": 2e-3, "dtype": "float32", "beta": 0.02},
        {"grpo": ("grpo", {})},
    ),
}  # fmt: skip
PARTS = [(name, arm, seed) for name, setting in SETTINGS.items() for seed in range(setting.seeds) for arm in ("base", *setting.arms)]


def general() -> dict[str, list[dict[str, str]]]:
    """Short general questions with their answers, as conversations."""
    read = [json.loads(line) for line in GENERAL.read_text(encoding="utf-8").splitlines()]
    found = {row["id"]: (f"{row['instruction']} {row['input']}".strip(), row["output"].strip()) for row in read}
    return {
        id_: [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        for id_, (asked, said) in found.items()
        if said and len(f"{asked} {said}".split()) <= LONGEST
    }


@cache
def sides(name: str) -> dict[str, list[Row]]:
    """Messages of some intents: to train on, to look at, to teach the small base, and to test with."""
    setting, train, test = SETTINGS[name], rows("train"), rows("test")
    names = sorted({next(iter(row.target)) for row in train})
    wanted = set(np.random.default_rng(0).permutation(names)[:INTENTS].tolist())
    train, test = ([row for row in each if next(iter(row.target)) in wanted] for each in (train, test))
    train = [train[at] for at in np.random.default_rng(1).permutation(len(train))]
    test = [test[at] for at in np.random.default_rng(2).permutation(len(test))]
    held, asked = train[:HELD], train[HELD : HELD + PROMPTS]
    return {
        "held": held[: setting.held],
        "train": asked[: setting.prompts],
        "taught": train[HELD + PROMPTS :],
        "test": test[: setting.test],
    }


def base(name: str) -> Path:
    """The model that is to be bettered."""
    if name == "smollm2":
        return base_folder("smollm2")
    taught = [
        [{"role": "user", "content": row.content["prompt"]}, {"role": "assistant", "content": next(iter(row.target))}]
        for row in sides(name)["taught"]
    ]
    return small_decoder(taught, KEPT / "reinforcement-base", steps=TAUGHT, width=WIDTH)


def part(name: str, arm: str, seed: int) -> dict[str, Any]:
    """What one arm's answers to the test prompts earn, and what its training saw."""
    setting, started, folder = SETTINGS[name], time.perf_counter(), base(name)
    train, held = sides(name)["train"], sides(name)["held"]
    if arm == "base":
        return {**measured(name, folder), "seconds": round(time.perf_counter() - started)}
    recipe, more = setting.arms[arm]
    texts = dict(list(general().items())[:MEASURED])
    with tempfile.TemporaryDirectory() as made:
        run = Run(Path(made) / "run", folder, Given(train, held), seed, general=General({}, texts, {}, "general texts"), progress=shown)
        found = recipes.get(recipe)
        model = found(run, found.Options.parse({**setting.options, "rewards": setting.rewards, **more}, of=recipe))
        told = model.manifest
        result = {
            **measured(name, model.path),
            "steps": told["steps"],
            "kept_step": told["best_step"],
        }
    looks, groups = {look["step"]: look for look in told["looks"]}, told["groups"]
    return result | {
        "kl": looks[told["best_step"]]["kl"],
        "most_kl": max(look["kl"] for look in told["looks"]),
        "length": looks[told["best_step"]]["length"],
        "equal_groups": groups["equal"] / groups["groups"],
        "general": told["retention"]["kept"],
        **{name: told[name] for name in ("looks", "stopped", "samples")},
        "seconds": round(time.perf_counter() - started),
    }


def shown(progress: Any) -> None:
    """Progress, now and then."""
    if progress.done % 10 == 0:
        told = {name: round(value, 3) for name, value in progress.fields.items() if name in ("reward", "kl", "length", "seconds")}
        print(progress.stage, progress.done, progress.total, told, file=sys.stderr, flush=True)


def measured(name: str, folder: Path) -> dict[str, list[float]]:
    """What an answer to each test prompt earns, drawn by the same numbers for all, and whether it is the right intent."""
    setting, chat, tokenizer, test = SETTINGS[name], ChatTokenizer(folder), start_tokenizer(folder), sides(name)["test"]
    model = start_causal(folder, tokenizer)
    prompts = [chat.prompt([{"role": "user", "content": row.content["prompt"]}]) for row in test]
    drawn = sample(model, tokenizer, prompts, max_tokens=setting.options["max_new_tokens"], seed=7, ends=chat.ends)
    samples = [Sampled(row.id, row.content, answer.text, answer.ended, row.target) for row, (answer,) in zip(test, drawn, strict=True)]
    nothing = Run(folder, folder, Given([], []))
    wanted = {"earned": setting.rewards, "right": "exact"}
    return {key: parts(read_spec(given), nothing).total(samples).tolist() for key, given in wanted.items()}


def kept(name: str, arm: str, seed: int) -> dict[str, Any]:
    """A part, measured now or before."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return dict(remembered(FOLDER / f"{name}-{arm}-{seed}.json", partial(part, name, arm, seed)))


def run() -> dict[str, Any]:
    """Each arm beside its base, of the seeds that are measured for all arms."""
    found = []
    for name, setting in SETTINGS.items():
        arms = ("base", *setting.arms)
        seeds = [seed for seed in range(setting.seeds) if all((FOLDER / f"{name}-{arm}-{seed}.json").exists() for arm in arms)]
        if not seeds:
            continue
        each = {arm: [kept(name, arm, seed) for seed in seeds] for arm in arms}
        values = {arm: [np.array(one["earned"]) for one in ones] for arm, ones in each.items()}
        for arm, ones in each.items():
            row: dict[str, Any] = {"base": name, "arm": arm, "seeds": len(seeds), "test_prompts": setting.test}
            alike = slice(1) if arm == "base" else slice(None)  # which is the same for all seeds
            row["success"] = over_both(name, values[arm][alike])
            row["right"] = over_both(name, [np.array(one["right"]) for one in ones][alike])
            if arm != "base":
                row["above_base"] = over_both(name, values[arm], values["base"])
                row |= {key: round(float(np.mean([one[key] for one in ones])), 2) for key in ("steps", "kl", "most_kl", "length")}
                general_kept = [Estimate.of(one["general"]) for one in ones]
                row["general_kept"] = min(general_kept, key=lambda one: one.low)  # of the seed that lost most
                row["seconds"] = round(float(np.mean([one["seconds"] for one in ones])))
            found.append(plain(row))
    return {"rows": found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    for name, arm, seed in PARTS:
        if not wanted or any(f"{name}-{arm}-{seed}".startswith(each) for each in wanted):
            kept(name, arm, seed)
    print(json.dumps(run(), indent=2))
