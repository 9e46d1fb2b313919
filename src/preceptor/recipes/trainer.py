"""`transformers.Trainer` with our loss, batches, validation and checkpoints.

What stays the Trainer's: the loop, the optimiser and schedule, accelerate, callbacks and loggers. What is ours costs
less or holds better: rows are tokenised once and batched by length, validation is one pass without padding, and a
checkpoint counts only when it is complete.
"""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.classification import predict_tokens
from preceptor.models.loading import quietly
from preceptor.models.saving import discard, full_disk_explained, publish
from preceptor.recipes.batches import LengthBatches
from preceptor.recipes.losses import soft_cross_entropy
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Progress


class Diverged(UserError):
    """A run whose numbers ran away; it stops, and what it had kept stays."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "take a smaller learning_rate, or dtype=float32; the last good weights are in the run's folder")


class ClassifierTrainer(Trainer):  # type: ignore[misc]
    """Trains a sequence classifier; complete checkpoints lie in the run's folder, under `checkpoints`."""

    def __init__(self, task: Task, plan: Plan, stage: str) -> None:
        super().__init__(task.new_model(), plan.arguments(task), train_dataset=task.train, eval_dataset=task.validation)
        self.remove_callback(PrinterCallback)
        self.watch, self.plan = Watch(task, plan, stage), plan
        self.add_callback(self.watch)
        self.train_rows, self.validation, self.pad_id = task.train, task.validation, task.pad_id
        self.batches = LengthBatches([len(ids) for ids in task.train.tokens], plan.batch_size, plan.seed)
        self.checkpoints = task.run.folder / "checkpoints"

    def get_train_dataloader(self) -> Any:
        loader = DataLoader(self.train_rows, batch_sampler=self.batches, collate_fn=lambda rows: self.train_rows.collate(rows, self.pad_id))
        return self.accelerator.prepare_data_loader(loader)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Weighted soft cross-entropy, scaled so that its mean over an epoch's batches is the weighted mean over all rows."""
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        losses = soft_cross_entropy(outputs.logits, inputs["targets"]) * inputs["weights"]
        loss = losses.sum() * (len(self.batches) / float(self.train_rows.weights.sum()))
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not math.isfinite(float(loss)):
            ids = ", ".join(self.train_rows.ids[row] for row in inputs["rows"].tolist())
            raise Diverged(f"the training loss became {float(loss)} at step {self.state.global_step + 1}, on the rows {ids}")
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation log loss in nats (weighted mean) and accuracy against the most probable answer."""
        log_probabilities = predict_tokens(self.model, self.validation.tokens, self.pad_id)
        metrics = {
            "eval_loss": float(np.average(row_losses(log_probabilities, self.validation.targets), weights=self.validation.weights)),
            "eval_accuracy": float(np.mean(log_probabilities.argmax(1) == self.validation.targets.argmax(1))),
            "seconds": self.watch.elapsed(self.state),
            "texts_per_second": self.watch.figures["texts_per_second"],
        }
        if not math.isfinite(metrics["eval_loss"]):
            raise Diverged(f"the validation loss became {metrics['eval_loss']} at step {self.state.global_step}")
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write the checkpoint aside, flush it, rename it, and only then remove those that are neither best nor last."""
        name = f"checkpoint-{self.state.global_step}"
        with full_disk_explained(self.checkpoints / name):
            super()._save_checkpoint(model, trial)
            publish(Path(self.args.output_dir) / name, self.checkpoints / name)
        for folder in self.checkpoints.glob("checkpoint-*"):
            if folder.name not in (name, f"checkpoint-{self.state.best_global_step}"):
                discard(folder)

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint; what a kill left unfinished is removed."""
        for left in (Path(self.args.output_dir), *self.checkpoints.glob(".*")):
            shutil.rmtree(left, ignore_errors=True)
        return max(self.checkpoints.glob("checkpoint-*"), key=step_of, default=None)

    def ended(self) -> bool:
        """Whether the state is that of a training that is through."""
        return self.state.global_step >= self.state.max_steps or out_of_patience(self.state, self.plan.patience)


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells how far training is, times its steps, and ends it when `patience` evaluations in a row brought no better loss."""

    def __init__(self, task: Task, plan: Plan, stage: str) -> None:
        self.task, self.plan, self.stage = task, plan, stage
        self.figures: dict[str, float] = {}
        self.seconds, self.steps, self._started, self._born = 0.0, 0, 0.0, time.perf_counter()

    def elapsed(self, state: TrainerState) -> float:
        """Seconds of training and validation so far, those before an interruption included."""
        before = [entry["seconds"] for entry in state.log_history if "seconds" in entry]
        self._born, since = time.perf_counter(), time.perf_counter() - self._born
        return (before[-1] if before else 0.0) + since

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds, self.steps = self.seconds + time.perf_counter() - self._started, self.steps + 1
        self.figures["texts_per_second"] = self.steps * self.plan.batch_size / self.seconds
        self.task.run.progress(Progress(self.stage, state.global_step, state.max_steps, dict(self.figures)))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        shown = {"loss": "training_loss", "eval_loss": "validation_loss", "eval_accuracy": "validation_accuracy"}
        self.figures |= {shown[name]: float(value) for name, value in (logs or {}).items() if name in shown}

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if out_of_patience(state, self.plan.patience):
            control.should_training_stop = True


def out_of_patience(state: TrainerState, patience: int) -> bool:
    """Whether the last `patience` evaluations were no better than one before. Read from the history, which checkpoints hold."""
    losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


def fit(task: Task, plan: Plan) -> ClassifierTrainer:
    """Train from the run's newest complete checkpoint, or from the base; the result holds the best weights."""
    with quietly():
        trainer = ClassifierTrainer(task, plan, "training")
        checkpoint = trainer.last_checkpoint()
        if checkpoint is not None:
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if checkpoint is None or not trainer.ended():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer._load_from_checkpoint(str(trainer.checkpoints / f"checkpoint-{trainer.state.best_global_step}"))
    return trainer


def row_losses(log_probabilities: FloatArray, targets: FloatArray) -> FloatArray:
    """Soft cross-entropy of each row in nats, (n,) float64."""
    return np.asarray(-(targets * log_probabilities).sum(axis=1))


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))
