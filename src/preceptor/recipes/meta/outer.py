"""Reptile (Nichol, Achiam & Schulman 2018, "On First-Order Meta-Learning Algorithms", Algorithm 2), on a model's trained parts.

In each round some tasks are learnt for a few steps, each from the same weights φ; then φ moves by ε towards the mean of where they
ended. ε falls from 1 to 0, so that the last rounds average. With one inner step this is training on all tasks at once; with several,
φ also moves to where the gradients of one task's batches agree, that is, where a step on some of its rows helps with the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from preceptor.formats.checksums import read_json
from preceptor.models.saving import discard, whole_folder
from preceptor.recipes.meta.adapting import Pace, Weights, adapt, copied, put, trained_weights
from preceptor.recipes.meta.held_out import Seen
from preceptor.recipes.meta.tasks import SmallTask
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Progress
from preceptor.recipes.watching import MetricsLog

STAGE = "meta-learning"
_WEIGHTS, _STATE = "weights.safetensors", "state.json"


@dataclass(frozen=True)
class Rounds:
    """How often: `rounds` of `tasks` tasks each; looked at and kept `looks` times on the way, and at the end."""

    rounds: int
    tasks: int
    seed: int
    looks: int = 4

    def epsilon(self, number: int) -> float:
        """How far round `number` (from 0) goes towards the mean: 1 at first, nearly 0 at last."""
        return 1.0 - number / self.rounds

    def drawn(self, number: int, count: int) -> list[int]:
        """The tasks of a round, of `count`: without one twice, each as likely."""
        return [int(each) for each in np.random.default_rng([self.seed, number]).permutation(count)[: self.tasks]]

    def is_look(self, number: int) -> bool:
        """Whether what round `number` leaves is looked at and kept."""
        return number == self.rounds or number % max(1, -(-self.rounds // self.looks)) == 0


@dataclass
class Learnt:
    """Where the rounds are: how many are done, what was seen at each look (`step`, `train_loss`, `seen`, `seconds`), how many texts
    were read in inner steps, and how long it all took."""

    done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    texts: int = 0
    seconds: float = 0.0


def learn(task: Task, model: Any, tasks: Sequence[SmallTask], pace: Pace, rounds: Rounds, look: Callable[[], Seen]) -> Learnt:
    """All rounds, from the newest checkpoint in the run's folder or from the start; the model ends with φ.

    look: how the held-out tasks do from the model as it is, which it must leave as it found it; asked before the first round too.
    The same seed gives the same weights, killed in between or not.
    """
    checkpoints, log = task.run.folder / "checkpoints", MetricsLog(task.run.folder, STAGE)
    learnt, started = resumed(checkpoints, model), time.perf_counter()
    log.begin(learnt.done)
    before = learnt.seconds
    if not learnt.history:
        learnt.history.append({"step": 0, "train_loss": None, "seen": look(), "seconds": 0.0})
    losses: list[float] = []
    for number in range(learnt.done, rounds.rounds):
        losses.append(one_round(task, model, tasks, pace, rounds, number))
        learnt.texts += sum(pace.steps * min(pace.rows, len(tasks[each])) for each in rounds.drawn(number, len(tasks)))
        learnt.done, learnt.seconds = number + 1, before + time.perf_counter() - started
        log.write(learnt.done, {"batch_loss": losses[-1], "seconds": round(learnt.seconds, 3)})
        if rounds.is_look(learnt.done):
            learnt.history.append({"step": learnt.done, "train_loss": float(np.mean(losses)), "seen": look(), "seconds": learnt.seconds})
            log.write(learnt.done, {"eval_loss": float(np.mean([each["after"]["loss"] for each in learnt.history[-1]["seen"]]))})
            losses.clear()
            keep(checkpoints, model, learnt)
        figures = {"training_loss": learnt.history[-1]["train_loss"] or losses[-1], "seconds": learnt.seconds}
        task.run.progress(Progress(STAGE, learnt.done, rounds.rounds, figures))
    return learnt


def one_round(task: Task, model: Any, tasks: Sequence[SmallTask], pace: Pace, rounds: Rounds, number: int) -> float:
    """One outer step; the mean loss of its inner steps in nats."""
    start, ends, losses = copied(trained_weights(model)), list[Weights](), []
    for each in rounds.drawn(number, len(tasks)):
        put(model, start)
        random = np.random.default_rng([rounds.seed, number, each])
        losses.append(adapt(model, task.objective, task.train, tasks[each].rows, pace, random))
        ends.append(copied(trained_weights(model)))
    put(model, moved(start, ends, rounds.epsilon(number)))
    return float(np.mean(losses))


def moved(start: Weights, ends: Sequence[Weights], epsilon: float) -> Weights:
    """φ + ε (mean of φ̃ − φ) over the tasks."""
    return {name: torch.lerp(value, torch.stack([end[name] for end in ends]).mean(dim=0), epsilon) for name, value in start.items()}


def keep(checkpoints: Path, model: Any, learnt: Learnt) -> None:
    """Write a checkpoint, which appears whole, in place of the ones before."""
    with whole_folder(checkpoints / f"round-{learnt.done}") as partial:
        save_file({name: value.cpu().contiguous() for name, value in copied(trained_weights(model)).items()}, partial / _WEIGHTS)
        (partial / _STATE).write_text(json.dumps(vars(learnt)), encoding="utf-8")
    for folder in list(_kept(checkpoints))[:-1]:
        discard(folder)


def resumed(checkpoints: Path, model: Any) -> Learnt:
    """Put the newest checkpoint's weights into the model, if there is one; where it was."""
    newest = next(reversed(list(_kept(checkpoints))), None)
    if newest is None:
        return Learnt()
    put(model, load_file(newest / _WEIGHTS))
    return Learnt(**read_json(newest / _STATE))


def _kept(checkpoints: Path) -> Iterator[Path]:
    """Checkpoints from the oldest on."""
    yield from sorted(checkpoints.glob("round-*"), key=lambda folder: int(folder.name.removeprefix("round-")))
