"""Reptile on tasks held out: a bank's new clients with five intents each at 5 and 20 examples, and LegalBench's tasks at 3, beside
joint training, plain transfer, few-shot prompting and nearest neighbours.

Ways to a new task. base: nothing learnt, nothing adapted. transfer: the base, adapted. joint: trained on all rows of all other
tasks at once, as many gradients as Reptile takes, then adapted; `unadapted`: not. reptile: Reptile's initialisation, adapted with the
adapter that it was learnt with; `renewed`: its merged weights with a new adapter, which is how `sft` starts from it. prompted: the
examples shown to the base. neighbour: the answer of the nearest example by MiniLM's vectors, nothing trained.

Adapting is the same for all: so many steps with Adam (no momentum) at one rate. Accuracy is of choosing among the task's answers, on
24 rows of a task. Clients: 30 to learn from over 50 intents, 5 held out over 25 others, drawn anew for each seed; their answers are
the intents' names, or (codes) numbers from 1 to 5 that mean something else for each client. LegalBench: the 90 tasks of at least four
rows, each held out once by three folds (leaving out one at a time would be 90 trainings), texts cut at 30 words. Both small models
have 1.3 million weights: banking has read the bank's messages as plain text and knows no intent, small is taught general instructions for
250 steps and knows nothing of banks or law. Intervals are over held-out tasks (t); a legal task's seeds are averaged first.

Each part is kept in bench-results/meta_learning. Run: python -m benches.meta_learning PART …, where a part's name begins so
(banking-clients); without any, what is there is told, and the names of those parts that aren't.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches._banking import small as banking
from benches._given import Given
from benches._small_model import small_decoder
from benches._small_tasks import clients, general_texts, legal

from preceptor.generation.option_scoring import continuation_log_probabilities
from preceptor.models.adapters import attach_adapter, merge_adapter, unwrap_model
from preceptor.models.base_models import find_base_folder
from preceptor.models.embeddings import embed_texts
from preceptor.models.loading import silence_transformers
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.training import TrainingRun
from preceptor.training.examples import top_answer
from preceptor.training.meta_tasks import (
    ADAM_BETAS,
    HeldOutTasks,
    InnerLoop,
    _mean_batch_loss,
    copy_weights,
    set_weights,
    trainable_weights,
)
from preceptor.training.reptile import (
    OuterSchedule,
    PreparedMetaTasks,
    ReptileOptions,
    prepare_meta_tasks,
    read_meta_tasks,
    resolve_inner_loop,
    run_reptile,
)
from preceptor.training.run_folder import cached_json

KEPT = Path(__file__).parents[1] / "bench-results" / "meta_learning"
SEEDS, TAUGHT, WIDTH = range(3), 250, 128
MEASURED = 24  # rows of a held-out task at most
WAYS = ("base", "transfer", "joint", "joint, unadapted", "reptile", "reptile, unadapted", "reptile, renewed", "prompted", "neighbour")


@dataclass(frozen=True)
class Setting:
    """What one base can be asked to do in minutes. adapt: steps on a new task; the rest as the recipe's options."""

    base: str
    rounds: int
    tasks: int
    inner_steps: int
    batch_size: int
    adapt: int
    rate: float = 3e-3
    adapter: str = "lora"

    def folder(self) -> Path:
        if self.base == "banking":
            return banking()
        if self.base == "small":
            return small_decoder(general_texts(), KEPT / "small", steps=TAUGHT, width=WIDTH)
        return find_base_folder(self.base)


SMALL_CLIENTS = Setting("small", 40, 4, 8, 5, 12)
BANKING_CLIENTS = Setting("banking", 40, 4, 8, 5, 12)
SMALL_LEGAL = Setting("small", 20, 4, 5, 3, 6)
MINILM_CODES = Setting("minilm", 16, 4, 8, 5, 12, 1e-3)
LARGE_CLIENTS = Setting("smollm2", 6, 3, 4, 5, 6, 1e-3, "lora-top")
PARTS: dict[str, tuple[Setting, Callable[[], Given], tuple[int, ...], int]] = {
    **{f"small-clients-{seed}": (SMALL_CLIENTS, lambda seed=seed: clients(seed), (5, 20), seed) for seed in SEEDS},
    **{f"banking-clients-{seed}": (BANKING_CLIENTS, lambda seed=seed: clients(seed), (5, 20), seed) for seed in SEEDS},
    **{f"small-legal-{fold}-0": (SMALL_LEGAL, lambda fold=fold: legal(fold), (3,), 0) for fold in range(3)},
    **{f"minilm-codes-{seed}": (MINILM_CODES, lambda seed=seed: clients(seed, codes=True), (5, 20), seed) for seed in SEEDS},
    "smollm2-clients-0": (LARGE_CLIENTS, lambda: clients(0), (5, 20), 0),
}  # fmt: skip


def measured(setting: Setting, given: Given, shots: Sequence[int], seed: int, folder: Path) -> dict[str, Any]:
    """Each way's accuracy on each held-out task at each number of examples."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ReptileOptions(
        shots=shots[-1], inner_steps=setting.inner_steps, batch_size=setting.batch_size, rounds=setting.rounds, tasks=setting.tasks,
        learning_rate=setting.rate, adapter=setting.adapter, dtype="float32",
    )  # fmt: skip
    run, started = TrainingRun(folder, setting.folder(), given, seed), time.perf_counter()
    rows = read_meta_tasks(run, options)
    prepared = prepare_meta_tasks(run, options, rows)
    pace, _ = resolve_inner_loop(prepared, options)
    slow = replace(pace, steps=setting.adapt)
    choices = [small for small in prepared.held_out.tasks if small.answers]  # of others no two rows have the same answer
    tests = {count: replace(prepared.held_out, shots=count, tasks=choices, max_rows=MEASURED) for count in shots}
    found: dict[str, dict[str, Any]] = {}

    def look(way: str, model: Any, before: str | None) -> None:
        for count, test in tests.items():
            for each in test.evaluate(model, slow):
                at = found.setdefault(f"{each['task']}/{count}", {})
                at[way] = each["after"]["accuracy"]
                if before:
                    at[before] = each["before"]["accuracy"]
        print(f"{folder.name}: {way}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)

    model = prepared.task.create_model()
    start = copy_weights(trainable_weights(model))
    look("transfer", model, "base")
    for count, test in tests.items():
        prompted = shown(prepared, test, model) if given.target_kind == "text" else {}
        for (way, name), accuracy in {**prompted, **nearest(test)}.items():
            found[f"{name}/{count}"][way] = accuracy
    rounds = OuterSchedule(setting.rounds, setting.tasks, seed)
    learnt = run_reptile(prepared.task, model, prepared.train, pace, rounds, lambda: [{"after": {"loss": 0.0}}])
    look("reptile", model, "reptile, unadapted")
    renewed = attach_adapter(merge_adapter(model).train(), setting.adapter, options.rank)
    look("reptile, renewed", renewed, None)
    del renewed
    gc.collect()
    model = prepared.task.create_model()
    set_weights(model, start)
    joint(prepared, model, pace, setting, seed)
    look("joint", model, "joint, unadapted")
    return {
        "rate": pace.rate, "seconds": time.perf_counter() - started, "reptile_seconds": learnt.seconds, "tasks": found,
        "parameters": unwrap_model(model).num_parameters(),
    }  # fmt: skip


def joint(prepared: PreparedMetaTasks, model: Any, pace: InnerLoop, setting: Setting, seed: int) -> None:
    """Plain training on all tasks' rows mixed: as many rows as Reptile reads, in as many steps as one of its chains of rounds has."""
    every = [row for small in prepared.train for row in small.rows]
    steps, size = setting.rounds * setting.inner_steps, setting.tasks * setting.batch_size
    draws = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(list(trainable_weights(model).values()), lr=pace.rate, betas=(0.9, ADAM_BETAS[1]))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        picked = [number for at in draws.choice(len(every), size, replace=False) for number in every[at]]
        loss = _mean_batch_loss(model, prepared.task.objective, prepared.task.train, picked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()


def shown(prepared: PreparedMetaTasks, test: HeldOutTasks, model: Any) -> dict[tuple[str, str], float]:
    """Few-shot prompting of the base: the examples, then the row, as records to be continued; nothing where they don't fit its window."""
    tokenizer, base = prepared.tokenizer, unwrap_model(model)
    found: dict[tuple[str, str], float] = {}
    for small in test.tasks:
        examples = "".join(_record(test.rows[id_]) for id_ in small.ids[: test.shots])
        asked = [test.rows[small.ids[row]] for row in test.measured_rows(small)]
        texts = [f"{examples}{row.content['prompt']}\nAnswer:" for row in asked]
        prompts = tokenizer(texts, add_special_tokens=False)["input_ids"]
        answers = tokenizer([f" {answer}\n" for answer in small.answers], add_special_tokens=False)["input_ids"]
        if max(map(len, prompts)) + max(map(len, answers)) <= base.config.max_position_embeddings:
            base.eval()
            said = continuation_log_probabilities(base, prompts, answers).argmax(axis=1)
            base.train()
            right = [small.answers[at] == top_answer(row) for at, row in zip(said, asked, strict=True)]
            found["prompted", small.name] = float(np.mean(right))
    return found


def _record(row: Any) -> str:
    return f"{row.content['prompt']}\nAnswer: {top_answer(row)}\n\n"


def nearest(test: HeldOutTasks) -> dict[tuple[str, str], float]:
    """The answer of the example whose MiniLM vector has the largest cosine with the row's."""
    found: dict[tuple[str, str], float] = {}
    for small in test.tasks:
        rows = [test.rows[id_] for id_ in small.ids]
        vectors = embed_texts(find_base_folder("minilm"), [row.content["prompt"].rpartition("\n")[2] for row in rows])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        wanted = list(test.measured_rows(small))
        by = (vectors[wanted] @ vectors[: test.shots].T).argmax(axis=1)
        right = [top_answer(rows[example]) == top_answer(rows[row]) for example, row in zip(by, wanted, strict=True)]
        found["neighbour", small.name] = float(np.mean(right))
    return found


def kept(name: str) -> dict[str, Any]:
    """A part's figures, measured unless they are there."""

    def measure() -> dict[str, Any]:
        setting, given, shots, seed = PARTS[name]
        with silence_transformers():
            return measured(setting, given(), shots, seed, KEPT / name)

    return dict(cached_json(KEPT / f"{name}.json", measure))


def by_task(names: Sequence[str]) -> dict[tuple[str, int], dict[str, list[dict[str, float]]]]:
    """(set, examples) -> task -> each seed's accuracies by way. A client of each seed is a task of its own; a legal task is one."""
    found: dict[tuple[str, int], dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        of, seed = name.split("-")[:2], name.rsplit("-", 1)[1]
        for key, accuracies in kept(name)["tasks"].items():
            task, shots = key.rsplit("/", 1)
            found[" ".join(of), int(shots)][task if of[1] == "legal" else f"{seed}/{task}"].append(accuracies)
    return found


def tables(names: Sequence[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Accuracy by way, and what Reptile gives beside each other way, both over held-out tasks."""
    accuracies, differences = list[dict[str, Any]](), list[dict[str, Any]]()
    for (of, shots), tasks in by_task(names).items():
        means = {way: np.array([np.mean([seed.get(way, np.nan) for seed in seeds]) for seeds in tasks.values()]) for way in WAYS}
        means = {way: values for way, values in means.items() if not np.isnan(values).any()}
        runs = [name for name in names if name.startswith(of.replace(" ", "-"))]
        where = {"set": of, "examples": shots, "held-out tasks": len(tasks), "runs": len(runs)}
        units = np.arange(len(tasks))
        accuracies.append({**where, **{way: estimate_mean(values, clusters=units).to_dict() for way, values in means.items()}})
        others = {way: compare_paired(means["reptile"], values, clusters=units) for way, values in means.items() if way != "reptile"}
        differences.append({**where, **{f"over {way}": better.to_dict() for way, better in others.items()}})
    yield "accuracy_on_held_out_tasks", accuracies
    yield "reptile_adapted_over_each_other_way", differences


def run() -> dict[str, Any]:
    """What is measured."""
    there = [name for name in PARTS if (KEPT / f"{name}.json").exists()]
    return {
        **dict(tables(there)),
        "runs": [{"part": name, **{key: value for key, value in kept(name).items() if key != "tasks"}} for name in there],
        "not_measured": ", ".join(name for name in PARTS if name not in there) or "nothing",
    }


if __name__ == "__main__":
    for name in PARTS:
        if any(name.startswith(each) for each in sys.argv[1:]):
            kept(name)
    print(json.dumps(run(), indent=2))
