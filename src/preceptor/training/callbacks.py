"""Trainer callbacks and checks: logging, early stopping, L2-SP regularization, epoch coverage and divergence.

A run that diverges is stopped before its numbers harm the weights, and the last good weights are saved as a model to resume from. Early
stopping compares validation losses on the same rows and asks for an improvement beyond chance.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerState

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write
from preceptor.models.adapters import merge_adapter
from preceptor.models.atomic_folder import create_folder_atomically
from preceptor.training.examples import LengthBatches, TrainingExamples
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import TrainingProgress
from preceptor.types import FloatArray

_DIVERGENCE_HINT = "take a smaller learning_rate, or dtype=float32"


class TrainingDiverged(UserError):
    """The loss, the gradient or the weights are no longer finite."""

    def __init__(self, message: str, hint: str = _DIVERGENCE_HINT) -> None:
        super().__init__(message, hint)


def check_finite(value: Any, what: str) -> None:
    """Raise TrainingDiverged unless `value` is finite.

    what: the message, a format string whose one placeholder receives the value.
    """
    if not math.isfinite(float(value)):
        raise TrainingDiverged(what.format(float(value)))


def check_weights_finite(model: Any, step: int) -> None:
    """Raise TrainingDiverged when a trained weight isn't finite.

    Such a model may still give finite losses on rows that don't touch the weight.
    """
    for name, weights in model.named_parameters():
        if weights.requires_grad and not bool(torch.isfinite(weights).all()):
            raise TrainingDiverged(f"weights that aren't finite stand in {name} after step {step}")


def save_last_good_model(trainer: Any, tokenizer: Any, folder: Path) -> str:
    """Save the best weights so far, merged, as a model in `folder`, and return a sentence on how to resume from it."""
    if trainer.last_checkpoint() is None:
        return f"{_DIVERGENCE_HINT}; nothing had been kept yet"
    step = trainer.load_best_weights()
    model = merge_adapter(trainer.model)
    trainer.objective.before_saving(model, trainer.train_rows)
    with create_folder_atomically(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    return f"{_DIVERGENCE_HINT}; or go on with a smaller one from the weights of step {step}: --base {folder}"


_BASELINE_FILE = "yardstick.npy"


class EarlyStoppingBaseline:
    """Hold the validation loss of each row at the last clear improvement, with which later evaluations are compared.

    An improvement is clear when it exceeds the standard error of the paired difference, clustered by group. Small steps add up, since the
    baseline stays until their sum is clear; which weights are kept doesn't depend on it.

    groups: the group of each validation row. shares: what each row contributes to the loss, (rows,); empty before the first evaluation.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups, self.shares = groups, np.zeros(0)

    def compare(self, shares: FloatArray) -> dict[str, float]:
        """Return the change of the mean loss since the baseline and its standard error, in nats, and move the baseline when it is clear.

        The result is empty for the first evaluation, which sets the baseline.
        """
        if not len(self.shares):
            self.shares = shares
            return {}
        groups = self.groups if len(self.groups) == len(shares) else range(len(shares))  # an objective may validate on a sample only
        change = {"change": float(np.mean(shares - self.shares)), "change_error": clustered_error(shares - self.shares, groups)}
        if is_clearly_better(change):
            self.shares = shares
        return change

    def save(self, folder: Path) -> None:
        """Save the baseline in a checkpoint's folder, with which it is restored."""
        np.save(folder / _BASELINE_FILE, self.shares)

    def load(self, folder: Path) -> None:
        """Restore the baseline as it was when the checkpoint was written."""
        self.shares = np.load(folder / _BASELINE_FILE)


def is_clearly_better(change: Mapping[str, Any]) -> bool:
    """Return whether an evaluation moved the baseline; the first always does."""
    return bool("change" not in change or change["change"] < -change["change_error"])


def is_clearly_worse(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of a model's history is above the baseline by more than the standard error."""
    return bool(entry.get("validation_change", 0.0) > entry.get("validation_change_error", 0.0))


def is_out_of_patience(log: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Return whether none of the last `patience` evaluations was clearly better, read from the history, which checkpoints hold."""
    seen = [{name.removeprefix("eval_"): value for name, value in entry.items()} for entry in log if "eval_loss" in entry]
    return len(seen) >= patience and not any(is_clearly_better(entry) for entry in seen[-patience:])


def clustered_error(values: FloatArray, groups: Sequence[Any]) -> float:
    """Return the standard error of the mean of `values`, (rows,), clustered by group."""
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(codes, weights=values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))


L2_SP_STRENGTH = 2.0  # over the whole run: a change made in one step has shrunk by a factor e^2 after all of them


class L2SPCallback(TrainerCallback):  # type: ignore[misc]
    """Pull all trained weights a small part of the way back to where they started after each step (L2-SP, Li et al. 2018).

    The pull is decoupled from the optimiser, as AdamW's weight decay is.
    """

    def __init__(self, model: Any) -> None:
        self.starts = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Move each trained weight towards its starting value by L2_SP_STRENGTH / max_steps."""
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if (start := self.starts.get(name)) is not None:
                    weight.lerp_(start.to(weight.device), min(1.0, L2_SP_STRENGTH / state.max_steps))


LOG_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"
_PROGRESS_FIELDS = {"loss": "training_loss", "eval_loss": "validation_loss", "eval_accuracy": "validation_accuracy"}


class MetricsLog:
    """Append metrics to a run's log: one JSON object a line, flushed when written, with a step's loss or an evaluation's results."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.path, self.stage = folder / LOG_FILE, stage

    def begin(self, step: int) -> None:
        """Drop this stage's lines after `step`, which a killed run wrote and now repeats, and a half-written line at the end."""
        kept = [line for line in _read_log_lines(self.path) if line["stage"] != self.stage or line["step"] <= step]
        with atomic_write(self.path, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)

    def write(self, step: int, figures: Mapping[str, Any]) -> None:
        """Append a line, which reaches the operating system at once and the disk with the next checkpoint."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": self.stage, "step": step, "time": round(time.time(), 3), **figures}) + "\n")


def _read_log_lines(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def copy_logs(run: Path, model: Path) -> None:
    """Copy the logs of a run's folder into its model's folder."""
    if (run / LOG_FILE).exists():  # a head that is fitted takes no steps
        shutil.copy(run / LOG_FILE, model)
    if (run / TENSORBOARD_FOLDER).is_dir():
        shutil.copytree(run / TENSORBOARD_FOLDER, model / TENSORBOARD_FOLDER)


class TrainingLogger(TrainerCallback):  # type: ignore[misc]
    """Report progress, time and log the steps, and stop training after `patience` evaluations in a row without a clear improvement."""

    def __init__(self, task: TrainingTask, plan: TrainConfig, stage: str, ahead: int = 0) -> None:
        self.task, self.plan, self.stage = task, plan, stage
        self.log = MetricsLog(task.run.folder, stage)
        self.figures: dict[str, float] = {"steps_ahead": float(ahead)} if ahead else {}  # steps that the run takes after this stage
        self.texts = self.tokens = self.learnt = self.steps = 0
        self.seconds, self._started, self._created = 0.0, 0.0, time.perf_counter()
        self._reported = 0  # supervised tokens up to the last evaluation
        self._elapsed = 0.0  # seconds up to the last evaluation, those before an interruption included

    def count_step(self, taken: TrainingExamples, rows: list[int], loss: float, room: int | None) -> None:
        """Record that a step trains on these rows.

        loss: scaled as in `compute_loss`. room: most tokens that go through the model at once; none where there is no limit.
        """
        self.texts, self.learnt = self.texts + len(rows), self.learnt + int(taken.supervised_counts[rows].sum())
        self.tokens += sum(len(taken.tokens[row]) for row in rows)
        self._step = {"batch_loss": loss, "rows": len(rows)}
        self.figures |= {} if room is None else {"tokens_at_once": float(room)}

    def totals(self, state: TrainerState) -> dict[str, float]:
        """Return seconds of training and validation, and the number of supervised tokens, including those before an interruption."""
        before = _previous_totals(state)
        self._created, seconds = time.perf_counter(), time.perf_counter() - self._created
        self._reported, learnt = self.learnt, self.learnt - self._reported
        self._elapsed = before["seconds"] + seconds
        return {"seconds": self._elapsed, "supervised_tokens": before["supervised_tokens"] + learnt}

    def throughput(self) -> dict[str, float]:
        """Return texts, tokens without padding, and supervised tokens per second of training."""
        counted = {"texts": self.texts, "tokens": self.tokens, "supervised_tokens": self.learnt}
        return {f"{name}_per_second": count / self.seconds for name, count in counted.items()} if self.seconds else {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock, and drop the log lines that a resumed run repeats."""
        self._elapsed = _previous_totals(state)["seconds"]
        self._begun, self._first = time.perf_counter(), state.global_step
        self.log.begin(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start timing the step."""
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log the step and report the progress of the run, with throughput and the seconds left."""
        now, step = time.perf_counter(), state.global_step
        self.seconds, self.steps = self.seconds + now - self._started, self.steps + 1
        left = (now - self._begun) / (step - self._first) * (state.max_steps - step)
        self.figures |= {**self.throughput(), "seconds": self._elapsed + now - self._created, "seconds_left": left}
        self.log.write(step, {**self._step, "seconds": round(self.figures["seconds"], 3)})
        self.task.run.progress(TrainingProgress(self.stage, step, state.max_steps, dict(self.figures)))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Log what the Trainer logs, and keep its losses and accuracy for the next progress report."""
        self.figures |= {_PROGRESS_FIELDS[name]: float(value) for name, value in (logs or {}).items() if name in _PROGRESS_FIELDS}
        self.log.write(state.global_step, logs or {})

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop training when the evaluations are out of patience."""
        if is_out_of_patience(state.log_history, self.plan.patience):
            control.should_training_stop = True


def _previous_totals(state: TrainerState) -> dict[str, float]:
    """Return the totals that the history holds of the time before its last evaluation."""
    return next((entry for entry in reversed(state.log_history) if "seconds" in entry), {"seconds": 0.0, "supervised_tokens": 0})


class EpochCoverageCallback(TrainerCallback):  # type: ignore[misc]
    """Check that each epoch trains on all rows; raises UserError at the end of one that left some out.

    batches: the batches of each epoch. seen: rows that the current epoch has trained on so far.
    """

    def __init__(self, batches: LengthBatches) -> None:
        self.batches, self.seen = batches, set[int]()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Restore the rows that a resumed epoch has already trained on."""
        epoch, steps = divmod(state.global_step, len(self.batches))
        self.seen = set(self.batches.first_rows(epoch, steps))  # of an epoch that is resumed

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Raise UserError unless a whole epoch has trained on all rows."""
        stopped = control.should_training_stop or state.global_step >= state.max_steps
        whole = not stopped or state.global_step % len(self.batches) == 0
        rows, seen = len(self.batches.lengths), len(self.seen)
        if whole and seen != rows:
            raise UserError(
                f"an epoch trained on {seen:,} of {rows:,} rows: the others were lost between the batches and the model",
                "train in one process, without a launcher; without one this is a fault of Preceptor: please report it",
            )
        self.seen = set()
