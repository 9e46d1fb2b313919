"""`grpo` and `rloo` with a reward that can be verified, beside the base, on prompts that no training saw: how often they earn it, how far
from the base they are, and what is left of what it knew. `small` earns 1 for the right intent of a bank's customer, word for word, of ten
that it was told of 40 messages. How much it was taught was chosen so that it is right for a fifth to two fifths of validation messages,
epochs, rate and beta by three trainings of another seed (one stopped halfway) on them; no setting was chosen by test messages. `smollm2`
earns 1 for an answer that begins by being sorry; its rate was tried once, and is too high for it: it loses much of what it knew. A
quarter of that rate, with five times the weight of KL and twice the steps (`gentler`), was tried when that was known.

small: 1.3 million weights that read customers' messages on the spot (banking77) and were then taught 40 of them with their intents; it is
reinforced on 320 others. smollm2: SmolLM2-135M answers customers as it is, and earns 1 for an answer whose first words say that it is
sorry. Prompts of training, validation and test are different messages.

success: an answer drawn at temperature 1 to each test prompt, by the same random numbers for all. likeliest success: of the answer that is
made of the likeliest tokens, which no sharpening of the base alone can better. above_base: the paired difference.
Intervals are over test prompts; with several seeds (of one base, each its own draws) seeds vary too. kl: k3, nats an answer, on
validation prompts; most_kl: at any look of any seed. general_kept: of the base's log-probability on held-out general texts, for the
small one on messages of other intents that it has not read, of the seed that lost most. Each part is kept in
bench-results/reinforcement; BUDGET seconds a call, when given.
Run: python -m benches.reinforcement [PART …]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches._banking import KEPT, rows, small
from benches._given import Given
from benches.imitation import over_both
from benches.soft_targets import plain

from preceptor.generation.rollouts import sample_rollouts
from preceptor.models.base_models import find_base_folder
from preceptor.models.causal_lm import ChatTokenizer, prepare_causal, prepare_tokenizer
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.training import TrainingRun, recipes
from preceptor.training.recipe import SampledAnswer
from preceptor.training.rl.composite_reward import build_reward, parse_reward_spec
from preceptor.training.run_folder import cached_json
from preceptor.types import Estimate, RetentionData

FOLDER = KEPT / "reinforcement"
GENERAL = Path(__file__).parents[2] / "shared" / "data" / "general" / "replay_general" / "items.jsonl"
TAUGHT = 40  # messages whose intents the small base was told
TEACHING = {"adapter": "none", "learning_rate": 2e-3, "epochs": 10, "dtype": "float32", "max_tokens": 256}
HELD, PROMPTS = 128, 320  # messages to look at, and to train on, at most
MEASURED, LONGEST = 40, 60  # general texts that are measured; words of one
LIKELIEST = 1e-4  # a temperature at which the likeliest token is always drawn
PILOT = 100  # seeds from here on choose settings, and are measured on the held messages


@dataclass(frozen=True)
class Setting:
    """intents: which ten of twenty; prompts, held, test: how many of their messages each; rewards: what an answer earns."""

    intents: slice
    prompts: int
    held: int
    test: int
    seeds: int
    rewards: str
    options: Mapping[str, Any]
    arms: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=lambda: {"grpo": ("grpo", {}), "rloo": ("rloo", {})})


GENTLER = {"learning_rate": 5e-4, "beta": 0.1, "epochs": 2}
SETTINGS = {
    "small": Setting(
        slice(10, 20), 320, 128, 400, 3, "exact",
        {"num_generations": 8, "batch_size": 16, "max_new_tokens": 12, "epochs": 5, "learning_rate": 2e-3, "dtype": "float32",
         "beta": 0.02},
    ),
    "smollm2": Setting(
        slice(10), 48, 24, 100, 1, r"regex:'^(I.m|I am|I|We.re|We are|We)? ?(so |very |really )?([Ss]orry|[Aa]pologi[sz]e)'",
        {"num_generations": 6, "batch_size": 4, "max_new_tokens": 8, "epochs": 1, "learning_rate": 2e-3, "dtype": "float32", "beta": 0.02},
        {"grpo": ("grpo", {}), "rloo": ("rloo", {}), "grpo, gentler": ("grpo", GENTLER), "rloo, gentler": ("rloo", GENTLER)},
    ),
}  # fmt: skip
PARTS = [(name, arm, seed) for name, setting in SETTINGS.items() for seed in range(setting.seeds) for arm in ("base", *setting.arms)]


def known(name: str) -> dict[str, list[dict[str, str]]]:
    """What a base should not unlearn, as conversations: short general questions with their answers, or for the small one, which has read
    customers' messages, those of other intents that it has not read."""
    if name == "small":
        asked = {"role": "user", "content": "What may a customer write?"}
        ours = {intent for row in rows("train") for intent in row.target}
        other = [row for row in rows("test", every=True) if not ours & row.target.keys()]
        return {row.id: [asked, {"role": "assistant", "content": row.content["prompt"]}] for row in other}
    read = [json.loads(line) for line in GENERAL.read_text(encoding="utf-8").splitlines()]
    found = {row["id"]: (f"{row['instruction']} {row['input']}".strip(), row["output"].strip()) for row in read}
    return {
        id_: [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        for id_, (asked, said) in found.items()
        if said and len(f"{asked} {said}".split()) <= LONGEST
    }


@cache
def sides(name: str) -> dict[str, list[SnapshotRow]]:
    """Messages of some intents: to train on, to look at, to teach the small base, and to test with."""
    setting, train, test = SETTINGS[name], rows("train"), rows("test")
    names = sorted({next(iter(row.target)) for row in train})
    wanted = set(np.random.default_rng(0).permutation(names)[setting.intents].tolist())
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
        return find_base_folder("smollm2")
    taught, recipe = Given(sides(name)["taught"][:TAUGHT], sides(name)["held"]), recipes.get("sft")
    return Path(recipe(TrainingRun(FOLDER / f"base-{TAUGHT}", small(), taught), recipe.Options.parse(TEACHING, of="sft")).path)


def part(name: str, arm: str, seed: int) -> dict[str, Any]:
    """What one arm's answers to the test prompts earn, and what its training saw."""
    setting, started, folder = SETTINGS[name], time.perf_counter(), base(name)
    train, held, test = (sides(name)[side] for side in ("train", "held", "held" if seed >= PILOT else "test"))
    if arm == "base":
        return {**measured(setting, folder, test), "seconds": round(time.perf_counter() - started)}
    recipe, more = setting.arms[arm]
    texts = dict(list(known(name).items())[:MEASURED])
    with tempfile.TemporaryDirectory() as made:
        run = TrainingRun(
            Path(made) / "run", folder, Given(train, held), seed, general=RetentionData({}, texts, {}, "general texts"), progress=shown
        )
        found = recipes.get(recipe)
        model = found(run, found.Options.parse({**setting.options, "rewards": setting.rewards, **more}, of=recipe))
        told = model.manifest
        result = {
            **measured(setting, model.path, test),
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


def measured(setting: Setting, folder: Path, test: Sequence[SnapshotRow]) -> dict[str, list[float]]:
    """What an answer to each test prompt earns, drawn by the same numbers for all models, and what the likeliest does."""
    chat, tokenizer = ChatTokenizer(folder), prepare_tokenizer(folder)
    model = prepare_causal(folder, tokenizer)
    prompts = [chat.encode_prompt([{"role": "user", "content": row.content["prompt"]}]) for row in test]

    def scored(temperature: float) -> list[float]:
        drawn = sample_rollouts(
            model, tokenizer, prompts, max_tokens=setting.options["max_new_tokens"], temperature=temperature, seed=7, ends=chat.end_tokens
        )
        samples = [
            SampledAnswer(row.id, row.content, answer.text, answer.ended, row.target) for row, (answer,) in zip(test, drawn, strict=True)
        ]
        return list(build_reward(parse_reward_spec(setting.rewards), TrainingRun(folder, folder, Given([], []))).total(samples))

    return {"earned": scored(1.0), "likeliest": scored(LIKELIEST)}


def kept(name: str, arm: str, seed: int) -> dict[str, Any]:
    """A part, measured now or before."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return dict(cached_json(FOLDER / f"{name}-{arm}-{seed}.json", partial(part, name, arm, seed)))


def run() -> dict[str, Any]:
    """Each arm that is measured beside its base, of the seeds that are measured for all of these."""
    found = []
    for name, setting in SETTINGS.items():
        arms = ("base", *(arm for arm in setting.arms if (FOLDER / f"{name}-{arm}-0.json").exists()))
        seeds = [seed for seed in range(setting.seeds) if all((FOLDER / f"{name}-{arm}-{seed}.json").exists() for arm in arms)]
        if not seeds:
            continue
        each = {arm: [kept(name, arm, seed) for seed in seeds] for arm in arms}
        values = {arm: [np.array(one["earned"]) for one in ones] for arm, ones in each.items()}
        for arm, ones in each.items():
            row: dict[str, Any] = {"base": name, "arm": arm, "seeds": len(seeds), "test_prompts": setting.test}
            alike = slice(1) if arm == "base" else slice(None)  # which is the same for all seeds
            row["success"] = over_both(name, values[arm][alike])
            likeliest = [np.array(one["likeliest"]) for one in ones if "likeliest" in one]
            if likeliest:
                row["likeliest_success"] = over_both(name, likeliest[alike])
            if arm != "base":
                row["above_base"] = over_both(name, values[arm], values["base"])
                if likeliest:
                    row["likeliest_above_base"] = over_both(name, likeliest, [np.array(one["likeliest"]) for one in each["base"]])
                row |= {key: round(float(np.mean([one[key] for one in ones])), 2) for key in ("steps", "kl", "length")}
                row["most_kl"] = round(max(one["most_kl"] for one in ones), 2)
                general_kept = [Estimate.from_dict(one["general"]) for one in ones]
                row["general_kept"] = min(general_kept, key=lambda one: one.low)  # of the seed that lost most
                row["seconds"] = round(float(np.mean([one["seconds"] for one in ones])))
            found.append(plain(row))
    return {"rows": found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted, until = sys.argv[1:], time.monotonic() + float(os.environ.get("BUDGET", "inf"))
    for name, arm, seed in PARTS:
        if time.monotonic() < until and (not wanted or any(f"{name}-{arm}-{seed}".startswith(each) for each in wanted)):
            kept(name, arm, seed)
    print(json.dumps(run(), indent=2))
