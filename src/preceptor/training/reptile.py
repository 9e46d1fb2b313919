"""Meta-learn an initialization from many small tasks by Reptile (Nichol, Achiam & Schulman, 2018).

A new task is then learnt from a handful of examples. This is Algorithm 2 of "On First-Order Meta-Learning Algorithms", on a model's trained
parts. In each round some tasks are learnt for a few steps, each from the same weights φ; then φ moves by ε towards the mean of the
resulting weights. ε falls from 1 to 0, so that the last rounds average. With one inner step this is training on all tasks at once; with
several, φ also moves to where the gradients of one task's batches agree, that is, where a step on some of its rows helps with the others.

Tasks are learnt as texts to generate or as texts to classify. The result is reported with intervals over held-out tasks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file

from preceptor.errors import UserError
from preceptor.formats.durable_files import read_json
from preceptor.models.adapters import DEFAULT_RANK, refuse_quantized
from preceptor.models.atomic_folder import create_folder_atomically, discard_folder
from preceptor.models.causal_lm import check_causal, prepare_tokenizer
from preceptor.models.loading import check_encoder, check_model_folder, load_tokenizer, silence_transformers
from preceptor.registry import OptionsBase
from preceptor.statistics import compare_paired
from preceptor.training.callbacks import MetricsLog
from preceptor.training.classification import ClassificationObjective, preview_texts
from preceptor.training.examples import build_label_examples, expand_answers, format_exclusion_reasons, read_rows, resolve_max_tokens
from preceptor.training.forgetting import BaselineCapabilities
from preceptor.training.forgetting import retention_summary_lines as retention_words
from preceptor.training.hyperparameters import choose_dtype, choose_learning_rate
from preceptor.training.meta_tasks import (
    RECOMMENDED_TASKS,
    TASK_EXCLUSION_REASONS,
    HeldOutResults,
    HeldOutTasks,
    InnerLoop,
    MetaTask,
    NamedWeights,
    RowsByTask,
    adapt_to_task,
    build_meta_tasks,
    copy_weights,
    filter_comparable,
    filter_measurable,
    group_rows_by_task,
    set_weights,
    trainable_weights,
)
from preceptor.training.model_manifest import peak_memory_bytes, save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import SplitName, TrainingProgress, TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.training.sft import SFTObjective, build_completion_examples, preview_completions
from preceptor.training.trainer import explain_out_of_memory
from preceptor.types import Estimate, FloatArray, Model

META_STAGE = "meta-learning"
_WEIGHTS_FILE, _STATE_FILE = "weights.safetensors", "state.json"


@dataclass(frozen=True)
class OuterSchedule:
    """How often to move: `rounds` of `tasks` tasks each, evaluated and checkpointed `evaluations` times on the way, and at the end."""

    rounds: int
    tasks: int
    seed: int
    evaluations: int = 4

    def epsilon(self, number: int) -> float:
        """Return how far round `number` (from 0) moves towards the mean: 1 at first, nearly 0 at last."""
        return 1.0 - number / self.rounds

    def sample_tasks(self, number: int, count: int) -> list[int]:
        """Sample the tasks of a round out of `count`, without replacement, each equally likely."""
        return [int(each) for each in np.random.default_rng([self.seed, number]).permutation(count)[: self.tasks]]

    def is_evaluation_round(self, number: int) -> bool:
        """Return whether the result of round `number` is evaluated and checkpointed."""
        return number == self.rounds or number % max(1, -(-self.rounds // self.evaluations)) == 0


@dataclass
class MetaProgress:
    """The state of the rounds.

    done: number of finished rounds. history: each evaluation (`step`, `train_loss`, `seen`, `seconds`). texts: number read in inner steps.
    seconds: in all.
    """

    done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    texts: int = 0
    seconds: float = 0.0


def run_reptile(
    task: TrainingTask, model: Any, tasks: Sequence[MetaTask], pace: InnerLoop, rounds: OuterSchedule, look: Callable[[], HeldOutResults]
) -> MetaProgress:
    """Run all rounds, from the newest checkpoint in the run's folder or from the start; the model ends with φ.

    look: evaluates the held-out tasks from the model as it is, which it must leave unchanged; called before the first round too. The same
    seed gives the same weights, whether or not the run was killed in between.
    """
    checkpoints, log = task.run.folder / "checkpoints", MetricsLog(task.run.folder, META_STAGE)
    learnt, started = _load_checkpoint(checkpoints, model), time.perf_counter()
    log.begin(learnt.done)
    before = learnt.seconds
    if not learnt.history:
        learnt.history.append({"step": 0, "train_loss": None, "seen": look(), "seconds": 0.0})
    losses: list[float] = []
    for number in range(learnt.done, rounds.rounds):
        losses.append(run_outer_round(task, model, tasks, pace, rounds, number))
        learnt.texts += sum(pace.steps * min(pace.rows, len(tasks[each])) for each in rounds.sample_tasks(number, len(tasks)))
        learnt.done, learnt.seconds = number + 1, before + time.perf_counter() - started
        log.write(learnt.done, {"batch_loss": losses[-1], "seconds": round(learnt.seconds, 3)})
        if rounds.is_evaluation_round(learnt.done):
            learnt.history.append({"step": learnt.done, "train_loss": float(np.mean(losses)), "seen": look(), "seconds": learnt.seconds})
            log.write(learnt.done, {"eval_loss": float(np.mean([each["after"]["loss"] for each in learnt.history[-1]["seen"]]))})
            losses.clear()
            _save_checkpoint(checkpoints, model, learnt)
        figures = {"training_loss": learnt.history[-1]["train_loss"] or losses[-1], "seconds": learnt.seconds}
        task.run.progress(TrainingProgress(META_STAGE, learnt.done, rounds.rounds, figures))
    return learnt


def run_outer_round(
    task: TrainingTask, model: Any, tasks: Sequence[MetaTask], pace: InnerLoop, rounds: OuterSchedule, number: int
) -> float:
    """Run one outer step, and return the mean loss of its inner steps in nats."""
    start, ends, losses = copy_weights(trainable_weights(model)), list[NamedWeights](), []
    for each in rounds.sample_tasks(number, len(tasks)):
        set_weights(model, start)
        random = np.random.default_rng([rounds.seed, number, each])
        losses.append(adapt_to_task(model, task.objective, task.train, tasks[each].rows, pace, random))
        ends.append(copy_weights(trainable_weights(model)))
    set_weights(model, interpolate_weights(start, ends, rounds.epsilon(number)))
    return float(np.mean(losses))


def interpolate_weights(start: NamedWeights, ends: Sequence[NamedWeights], epsilon: float) -> NamedWeights:
    """Return φ + ε (mean of φ̃ − φ) over the tasks."""
    return {name: torch.lerp(value, torch.stack([end[name] for end in ends]).mean(dim=0), epsilon) for name, value in start.items()}


def _save_checkpoint(checkpoints: Path, model: Any, learnt: MetaProgress) -> None:
    """Write a checkpoint, which appears whole, in place of the ones before."""
    with create_folder_atomically(checkpoints / f"round-{learnt.done}") as partial:
        save_file(
            {name: value.cpu().contiguous() for name, value in copy_weights(trainable_weights(model)).items()}, partial / _WEIGHTS_FILE
        )
        (partial / _STATE_FILE).write_text(json.dumps(vars(learnt)), encoding="utf-8")
    for folder in list(_checkpoint_folders(checkpoints))[:-1]:
        discard_folder(folder)


def _load_checkpoint(checkpoints: Path, model: Any) -> MetaProgress:
    """Load the newest checkpoint's weights into the model, if there is one, and return its progress."""
    newest = next(reversed(list(_checkpoint_folders(checkpoints))), None)
    if newest is None:
        return MetaProgress()
    set_weights(model, load_file(newest / _WEIGHTS_FILE))
    return MetaProgress(**read_json(newest / _STATE_FILE))


def _checkpoint_folders(checkpoints: Path) -> Iterator[Path]:
    """Yield the checkpoints, the oldest first."""
    yield from sorted(checkpoints.glob("round-*"), key=lambda folder: int(folder.name.removeprefix("round-")))


INNER_RATES = (3e-4, 1e-3, 3e-3)  # of the inner steps, which are few and must make progress
RATE_TRIAL_TASKS = 6  # training tasks on which they are tried
SPLITS: tuple[SplitName, ...] = ("train", "validation")


@dataclass(frozen=True)
class PreparedMetaTasks:
    """A run's rows as tokens and tasks.

    train: the tasks to learn from. held_out: those of the validation split that can be measured. rows: of both splits by task. unmeasured:
    number of validation tasks that can't be measured. duplicate_rows: number of rows of the measured tasks that aren't measured on, since
    they ask (nearly) the same as one that is adapted with.
    """

    task: TrainingTask
    tokenizer: Any
    train: Sequence[MetaTask]
    held_out: HeldOutTasks
    rows: Mapping[SplitName, RowsByTask]
    unmeasured: int
    duplicate_rows: int

    def counts(self) -> dict[str, Any]:
        """Return the number of tasks in each split, and what was left out."""
        left_out = {split: dict(named.excluded) for split, named in self.rows.items() if named.excluded}
        return {
            "train": len(self.train),
            "validation": len(self.held_out.tasks),
            "unmeasured": self.unmeasured,
            "alike": self.duplicate_rows,
            "shots": self.held_out.shots,
            "left_out": left_out,
        }


def is_causal_base(base: Path) -> bool:
    """Return whether the base is a generative model; raises UserError when it is neither that nor an encoder."""
    with suppress(UserError):
        check_causal(base)
        return True
    check_encoder(base, "reptile")
    return False


def read_meta_tasks(run: TrainingRun, options: Any) -> dict[SplitName, RowsByTask]:
    """Return the rows by task, see `group_rows_by_task`; also raises UserError when `shots` leaves nothing to measure on."""
    found = group_rows_by_task(run, {split: read_rows(run, split, answers=not is_causal_base(run.base)) for split in SPLITS}, options.task)
    filter_measurable([*found["validation"].rows.values()], options.shots)
    return found


def prepare_meta_tasks(run: TrainingRun, options: Any, rows: Mapping[SplitName, RowsByTask]) -> PreparedMetaTasks:
    """Return both splits as tokens and tasks.

    A classifier's texts are truncated at `max_tokens`; for a generative model longer rows are left out.
    """
    if is_causal_base(run.base):
        tokenizer = prepare_tokenizer(run.base)
        limit = resolve_max_tokens(run, tokenizer, options)
        objective: Any = SFTObjective(run.base, tokenizer, options.adapter, options.rank, recipe="reptile")
        made = [
            build_completion_examples(expand_answers(rows[split].all_rows, "soft"), tokenizer, max_tokens=limit, split=split)
            for split in SPLITS
        ]  # fmt: skip
    else:
        tokenizer = load_tokenizer(run.base)
        tokenizer.model_max_length = limit = resolve_max_tokens(run, tokenizer, options)
        answers = run.snapshot.answers
        objective = ClassificationObjective(run.base, answers, tokenizer, options.adapter, run.snapshot.target_kind, recipe="reptile")
        made = [build_label_examples(rows[split].all_rows, answers, tokenizer, max_tokens=limit, hard=False) for split in SPLITS]
    task = TrainingTask(run, limit, objective, *made)
    train, others = (build_meta_tasks(rows[split], examples, run.seed) for split, examples in zip(SPLITS, made, strict=True))
    measured = filter_comparable(others, options.shots)
    by_id = {row.id: row for row in rows["validation"].all_rows}
    held_out = HeldOutTasks(task, measured, by_id, options.shots, run.seed)
    alike = sum(len(small) - options.shots - len(small.measurable_rows(options.shots)) for small in measured)
    return PreparedMetaTasks(task, tokenizer, train, held_out, rows, len(rows["validation"].rows) - len(measured), alike)


def resolve_inner_loop(ready: PreparedMetaTasks, options: Any) -> tuple[InnerLoop, dict[str, Any]]:
    """Return the inner loop with number format and learning rate resolved, and what was measured for that.

    dtype "auto" and rate None are measured on training tasks; the measurements are kept in the run's folder.
    """
    task, dtype, rate, measured = ready.task, options.dtype, options.learning_rate, dict[str, Any]()
    if dtype == "auto":
        plan = TrainConfig(1, 1, options.batch_size, weight_decay=0.0, patience=1, evals_per_epoch=0, seed=task.run.seed)
        timed = cached_json(task.run.folder / "dtype.json", partial(choose_dtype, task, plan))
        dtype, measured["dtype_seconds"] = timed["chosen"], timed["seconds"]
    pace = InnerLoop(options.inner_steps, options.batch_size, rate or 0.0, bfloat16=dtype == "bfloat16")
    if rate is None:
        tried = cached_json(task.run.folder / "rates.json", partial(_try_rates, ready, pace))
        rate, measured["sweep"] = tried["chosen"], tried["rates"]
    return replace(pace, rate=rate), {**measured, "settled_rate": rate}


def _try_rates(ready: PreparedMetaTasks, pace: InnerLoop) -> dict[str, Any]:
    """Choose the smallest rate that can't be told from the best.

    The base is adapted to a few training tasks at each rate, and measured on their other rows.
    """
    shots = min(ready.held_out.shots, max(map(len, ready.train)) - 1)
    tasks = filter_comparable(ready.train, shots)[:RATE_TRIAL_TASKS]
    rows: dict[str, TrainingRow] = {row.id: row for row in ready.rows["train"].all_rows}
    trial = HeldOutTasks(replace(ready.task, validation=ready.task.train), tasks, rows, shots, ready.task.run.seed)
    model, losses = ready.task.create_model(), dict[float, FloatArray]()
    for rate in INNER_RATES:
        losses[rate] = np.array([each["after"]["loss"] for each in trial.evaluate(model, replace(pace, rate=rate))])
    chosen, table = choose_learning_rate(losses, [small.name for small in tasks])
    return {"chosen": chosen, "rates": table}


CONDITIONS = (("base", "before"), ("base_adapted", "after"), ("start", "before"), ("adapted", "after"))


def evaluation_means(seen: HeldOutResults) -> dict[str, float]:
    """Return an evaluation's mean loss after adapting, and mean accuracy where all tasks are choices."""
    figures = {"validation_loss": float(np.mean([each["after"]["loss"] for each in seen]))}
    if (right := _task_accuracies(seen, "after")) is not None:
        figures["validation_accuracy"] = float(np.mean(right))
    return figures


def compare_with_base(base: HeldOutResults, now: HeldOutResults) -> dict[str, Any]:
    """Compare the held-out tasks from the base and from what was learnt: each task, the means, and how much better the latter is.

    better_by: of the adapted models, what the initialisation gains over the base adapted alike; less loss and more accuracy are positive.
    Intervals are over tasks, which are few: a t interval, unbounded where there is one.
    """
    sources = {"base": base, "base_adapted": base, "start": now, "adapted": now}
    each = [
        {"task": one["task"], **{name: sources[name][number][when] for name, when in CONDITIONS}} for number, one in enumerate(now)
    ]  # fmt: skip
    figures = {name: {"loss": _task_losses(sources[name], when)} for name, when in CONDITIONS}
    for name, when in CONDITIONS:
        if (right := _task_accuracies(sources[name], when)) is not None:
            figures[name]["accuracy"] = right
    better = {"loss": compare_paired(figures["base_adapted"]["loss"], figures["adapted"]["loss"], within=(0.0, np.inf))}
    if "accuracy" in figures["adapted"]:
        better["accuracy"] = compare_paired(figures["adapted"]["accuracy"], figures["base_adapted"]["accuracy"])
    return {
        "held_out": each,
        "means": {name: {what: float(values.mean()) for what, values in found.items()} for name, found in figures.items()},
        "better_by": {what: estimate.to_dict() for what, estimate in better.items()},
    }


def reptile_manifest(learnt: MetaProgress, pace: InnerLoop, rounds: OuterSchedule, tasks: int, model: Any) -> dict[str, Any]:
    """Return the training's course in the form of a model's manifest; epochs are passes over the tasks."""
    return {
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "learning_rate": pace.rate,
        "dtype": "bfloat16" if pace.bfloat16 else "float32",
        "history": [_history_entry(each, min(rounds.tasks, tasks) / tasks) for each in learnt.history],
        "best_step": rounds.rounds,  # the last, since ε falls to 0; no weights are chosen on held-out tasks
        "steps": rounds.rounds,
        "seconds": round(learnt.seconds, 1),
        "texts_per_second": learnt.texts / max(learnt.seconds, 1e-9),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _history_entry(look: Mapping[str, Any], epochs_a_round: float) -> dict[str, Any]:
    rest = {name: look[name] for name in ("step", "train_loss", "seconds")}
    return {"epoch": round(look["step"] * epochs_a_round, 4), **rest, **evaluation_means(look["seen"])}


def measure_retention(task: TrainingTask, tokenizer: Any, model: Any) -> dict[str, Any]:
    """Measure what the initialisation retains on the general texts and questions that the run was given, as other recipes report it.

    There is no remedy here: adapting forgets in its turn, and the recipe that adapts has remedies.
    """
    general = task.run.general
    if general is None or not (general.texts or general.suites):
        return {}
    knowledge = BaselineCapabilities(task, tokenizer, general)
    about: dict[str, Any] = {"asked": "none", "remedy": "none", "alpha": 1.0, "suites": knowledge.suite_changes(model)}
    if general.texts:
        kept = knowledge.score(model).kept
        about |= {"kept": kept.to_dict(), "texts": len(knowledge.base_log_probabilities), "origin": general.origin}
    return {"retention": {**about, "summary": retention_words(about)}}


def reptile_summary_lines(about: Mapping[str, Any], pace: InnerLoop, rounds: OuterSchedule) -> list[str]:
    """Return the results in sentences.

    about: what `compare_with_base` returns, with the counts of `PreparedMetaTasks`.
    """
    told = [
        f"Learnt from {about['train']} tasks: {rounds.rounds:,} rounds of {min(rounds.tasks, about['train'])}, {pace.steps} steps in each. "
        f"The adapter is added into the weights that are kept; sft starts from them with a new one."
    ]
    if about["train"] < RECOMMENDED_TASKS:
        told.append(f"That is few: with fewer than {RECOMMENDED_TASKS} tasks, training sft on all rows at once usually does as well.")
    what, unit = ("accuracy", "percent") if "accuracy" in about["better_by"] else ("loss", "nats")
    shown = {name: f"{found[what]:.1%}" if unit == "percent" else f"{found[what]:.3f}" for name, found in about["means"].items()}
    told.append(
        f"On {about['validation']} held-out tasks, {about['shots']} examples and {pace.steps} steps take the {what} "
        f"from {shown['start']} to {shown['adapted']}; the base, adapted alike, goes from {shown['base']} to {shown['base_adapted']}."
    )
    told.append(_describe_improvement(Estimate.from_dict(about["better_by"][what]), what))
    for side, reasons in about["left_out"].items():
        told.append(
            f"Of the {side} split {sum(reasons.values()):,} rows were left "
            f"out: {format_exclusion_reasons(reasons, TASK_EXCLUSION_REASONS)}."
        )
    if about["unmeasured"]:
        told.append(
            f"{about['unmeasured']} held-out tasks have no other row than the {about['shots']} to adapt with, and weren't measured."
        )
    if about["alike"]:
        told.append(f"{about['alike']} rows weren't measured on: they ask (nearly) the same as one that their task is adapted with.")
    return told


def _describe_improvement(better: Estimate, what: str) -> str:
    if better.n < 2:
        return "One held-out task says nothing about others: there is no interval."
    figures = better.format_points() if what == "accuracy" else f"{better.value:+.3f} nats [{better.low:+.3f}, {better.high:+.3f}]"
    if better.low > 0:
        return f"That is better than from the base by {figures} over tasks."
    if better.high < 0:
        return f"That is worse than from the base, by {figures} over tasks: don't use it."
    return f"That isn't clearly better than from the base: {figures} over tasks."


def _task_losses(seen: HeldOutResults, when: str) -> Any:
    return np.array([each[when]["loss"] for each in seen])


def _task_accuracies(seen: HeldOutResults, when: str) -> Any | None:
    return np.array([each[when]["accuracy"] for each in seen]) if all("accuracy" in each[when] for each in seen) else None


class ReptileOptions(OptionsBase):
    """Options of the recipe `reptile`; the defaults suit some dozens of tasks of ten rows or more."""

    task: str | None = Field(None, description="content field with the row's task; none: its group")
    shots: int = Field(5, ge=1, description="rows of a held-out task used for adaptation; the others measure it")
    inner_steps: int = Field(8, ge=1, description="gradient steps per task, in training and in adaptation")
    batch_size: int = Field(5, ge=1, description="rows per step, sampled from the task's rows")
    learning_rate: float | None = Field(None, gt=0, description="of the inner steps; none: chosen on some training tasks")
    rounds: int = Field(100, ge=1, description="outer steps; their step size decays linearly from 1 to nearly 0")
    tasks: int = Field(4, ge=1, description="tasks per outer step")
    adapter: Literal["lora", "lora-top"] = Field("lora", description="adapted weights: a LoRA on all layers, or on the upper third")
    rank: int = Field(DEFAULT_RANK, ge=1, le=512, description="rank of the adapter")
    max_tokens: int = Field(512, ge=4, description="longer rows are excluded and counted; a classifier's texts are truncated")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")


@recipes.register("reptile", options=ReptileOptions)
def train_reptile(run: TrainingRun, options: ReptileOptions) -> Model:
    """Meta-learn by Reptile (Nichol et al. 2018, "On First-Order Meta-Learning Algorithms") on an adapter; see `run_reptile`.

    Supports: generative models (prompts, conversations, a question's answers), encoders (whose head adapts too), posterior targets, row
    weights, resume.

    Assumes: many small tasks of two rows or more; the validation split's are held out whole, and nothing is chosen on them. Refuses: a
    field that no row has, tasks that all have one row, fewer than five tasks, a task in two splits, `shots` that leave no row to measure
    on, several labels at once, quantized weights without a GPU. Leaves out, counted: rows alone in their task. The retention of general
    capabilities is reported where the run was given data for it.
    """
    check_model_folder(run.base)
    refuse_quantized(run.base)
    rows = read_meta_tasks(run, options)

    def train() -> Model:
        given = prepare_meta_tasks(run, options, rows)
        with silence_transformers(), explain_out_of_memory(run.base):
            pace, measured = resolve_inner_loop(given, options)
            model = given.task.create_model().to(torch.accelerator.current_accelerator() or torch.device("cpu"))
            rounds = OuterSchedule(options.rounds, options.tasks, run.seed)
            learnt = run_reptile(given.task, model, given.train, pace, rounds, lambda: given.held_out.evaluate(model, pace))
        about = {**given.counts(), **compare_with_base(learnt.history[0]["seen"], learnt.history[-1]["seen"])}
        seen = {**reptile_manifest(learnt, pace, rounds, len(given.train), model), "summary": reptile_summary_lines(about, pace, rounds)}
        measured |= {"tasks": about, **measure_retention(given.task, given.tokenizer, model)}
        ended = FinishedMetaTraining(model, run.folder / "checkpoints")
        return save_trained_model(given.task, ended, given.tokenizer, measured=measured, options=options.model_dump(), seen=seen)

    return run_recipe(run, "reptile", options, train)


@dataclass(frozen=True)
class FinishedMetaTraining:
    """The model and checkpoints folder that `save_trained_model` needs of a trainer whose course is described already."""

    model: Any
    checkpoints: Path


def preview_reptile(run: TrainingRun, options: ReptileOptions) -> dict[str, Any]:
    """Return what `train_reptile` would read, as other recipes show it, and the tasks that it would find; nothing is trained or written."""
    check_model_folder(run.base)
    refuse_quantized(run.base)
    found = read_meta_tasks(run, options)
    tokenizer = prepare_tokenizer(run.base) if is_causal_base(run.base) else load_tokenizer(run.base)
    limit = resolve_max_tokens(run, tokenizer, options)
    if is_causal_base(run.base):
        shown = preview_completions({split: expand_answers(named.all_rows, "soft") for split, named in found.items()}, tokenizer, limit)
    else:
        shown = preview_texts({split: named.all_rows for split, named in found.items()}, tokenizer, limit)
    tasks = {split: {name: len(rows) for name, rows in named.rows.items()} for split, named in found.items()}
    notes = [f"{split}: {len(sizes):,} tasks of {min(sizes.values()):,} to {max(sizes.values()):,} rows" for split, sizes in tasks.items()]
    notes += [
        f"{split}: left out {format_exclusion_reasons(named.excluded, TASK_EXCLUSION_REASONS)}"
        for split, named in found.items()
        if named.excluded
    ]
    return {**shown, "tasks": tasks, "notes": notes}


train_reptile.preview = preview_reptile
