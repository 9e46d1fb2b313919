"""What came of meta-learning, in figures with intervals over tasks, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from preceptor.domain.results import Estimate
from preceptor.recipes.finish import peak_memory_bytes
from preceptor.recipes.knowing import Knowledge
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.meta.adapting import Pace
from preceptor.recipes.meta.held_out import Seen
from preceptor.recipes.meta.outer import Learnt, Rounds
from preceptor.recipes.meta.tasks import ENOUGH, REASONS
from preceptor.recipes.plan import Task
from preceptor.recipes.retention import words as retention_words
from preceptor.statistics import compare_paired

STANDS = (("base", "before"), ("base_adapted", "after"), ("start", "before"), ("adapted", "after"))


def summarised(seen: Seen) -> dict[str, float]:
    """A look in few figures: loss (and accuracy, where all are choices) after adapting, the mean over tasks."""
    figures = {"validation_loss": float(np.mean([each["after"]["loss"] for each in seen]))}
    if (right := _accuracies(seen, "after")) is not None:
        figures["validation_accuracy"] = float(np.mean(right))
    return figures


def compared(base: Seen, now: Seen) -> dict[str, Any]:
    """The held-out tasks from the base and from what was learnt: each task, the means, and by how much the latter is better.

    better_by: of the adapted models, what the initialisation gives beside the base adapted alike; less loss and more accuracy are
    positive. Intervals are over tasks, which are few: a t interval, unbounded where there is one.
    """
    sources = {"base": base, "base_adapted": base, "start": now, "adapted": now}
    each = [
        {"task": one["task"], **{name: sources[name][number][when] for name, when in STANDS}} for number, one in enumerate(now)
    ]  # fmt: skip
    figures = {name: {"loss": _losses(sources[name], when)} for name, when in STANDS}
    for name, when in STANDS:
        if (right := _accuracies(sources[name], when)) is not None:
            figures[name]["accuracy"] = right
    better = {"loss": compare_paired(figures["base_adapted"]["loss"], figures["adapted"]["loss"], within=(0.0, np.inf))}
    if "accuracy" in figures["adapted"]:
        better["accuracy"] = compare_paired(figures["adapted"]["accuracy"], figures["base_adapted"]["accuracy"])
    return {
        "held_out": each,
        "means": {name: {what: float(values.mean()) for what, values in found.items()} for name, found in figures.items()},
        "better_by": {what: estimate.to_dict() for what, estimate in better.items()},
    }


def course(learnt: Learnt, pace: Pace, rounds: Rounds, tasks: int, model: Any) -> dict[str, Any]:
    """What the training was like, in the form that a model's manifest has; epochs are passes over the tasks."""
    return {
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "learning_rate": pace.rate,
        "dtype": "bfloat16" if pace.bfloat16 else "float32",
        "history": [_entry(each, min(rounds.tasks, tasks) / tasks) for each in learnt.history],
        "best_step": rounds.rounds,  # the last, since the rounds slow down to nothing; no weights are chosen on held-out tasks
        "steps": rounds.rounds,
        "seconds": round(learnt.seconds, 1),
        "texts_per_second": learnt.texts / max(learnt.seconds, 1e-9),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _entry(look: Mapping[str, Any], epochs_a_round: float) -> dict[str, Any]:
    rest = {name: look[name] for name in ("step", "train_loss", "seconds")}
    return {"epoch": round(look["step"] * epochs_a_round, 4), **rest, **summarised(look["seen"])}


def left_of_base(task: Task, tokenizer: Any, model: Any) -> dict[str, Any]:
    """What the initialisation still knows of the general texts and questions that the run was given, as other recipes tell it.

    There is no remedy here: what is adapted next forgets by itself, and the recipe that adapts has them.
    """
    general = task.run.general
    if general is None or not (general.texts or general.suites):
        return {}
    knowledge = Knowledge(task, tokenizer, general)
    about: dict[str, Any] = {"asked": "none", "remedy": "none", "alpha": 1.0, "suites": knowledge.suites(model)}
    if general.texts:
        kept = knowledge.standing(model).kept
        about |= {"kept": kept.to_dict(), "texts": len(knowledge.before), "origin": general.origin}
    return {"retention": {**about, "words": retention_words(about)}}


def words(about: Mapping[str, Any], pace: Pace, rounds: Rounds) -> list[str]:
    """The same in sentences. about: what `compared` gives, with the number of tasks on each side and the rows left out."""
    told = [
        f"Learnt from {about['train']} tasks: {rounds.rounds:,} rounds of {min(rounds.tasks, about['train'])}, {pace.steps} steps in each. "
        f"The adapter is added into the weights that are kept; sft starts from them with a new one."
    ]
    if about["train"] < ENOUGH:
        told.append(f"That is few: with fewer than {ENOUGH} tasks, training sft on all rows at once usually does as well.")
    what, unit = ("accuracy", "percent") if "accuracy" in about["better_by"] else ("loss", "nats")
    shown = {name: f"{found[what]:.1%}" if unit == "percent" else f"{found[what]:.3f}" for name, found in about["means"].items()}
    told.append(
        f"On {about['validation']} held-out tasks, {about['shots']} examples and {pace.steps} steps take the {what} "
        f"from {shown['start']} to {shown['adapted']}; the base, adapted alike, goes from {shown['base']} to {shown['base_adapted']}."
    )
    told.append(_verdict(Estimate.of(about["better_by"][what]), what))
    for side, reasons in about["left_out"].items():
        told.append(f"Of the {side} split {sum(reasons.values()):,} rows were left out: {told_reasons(reasons, REASONS)}.")
    if about["unmeasured"]:
        told.append(
            f"{about['unmeasured']} held-out tasks have no other row than the {about['shots']} to adapt with, and weren't measured."
        )
    if about["alike"]:
        told.append(f"{about['alike']} rows weren't measured on: they ask (nearly) the same as one that their task is adapted with.")
    return told


def _verdict(better: Estimate, what: str) -> str:
    if better.n < 2:
        return "One held-out task says nothing about others: there is no interval."
    figures = better.in_points() if what == "accuracy" else f"{better.value:+.3f} nats [{better.low:+.3f}, {better.high:+.3f}]"
    if better.low > 0:
        return f"That is better than from the base by {figures} over tasks."
    if better.high < 0:
        return f"That is worse than from the base, by {figures} over tasks: don't use it."
    return f"That isn't clearly better than from the base: {figures} over tasks."


def _losses(seen: Seen, when: str) -> Any:
    return np.array([each[when]["loss"] for each in seen])


def _accuracies(seen: Seen, when: str) -> Any | None:
    return np.array([each[when]["accuracy"] for each in seen]) if all("accuracy" in each[when] for each in seen) else None
