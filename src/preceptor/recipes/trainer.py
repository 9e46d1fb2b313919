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

from preceptor.errors import UserError
from preceptor.models.adapters import put_adapter
from preceptor.models.loading import quietly
from preceptor.models.saving import discard, full_disk_explained, publish
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Progress


class Diverged(UserError):
    """A run whose numbers ran away; it stops, and what it had kept stays."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "take a smaller learning_rate, or dtype=float32; the last good weights are in the run's folder")


class RecipeTrainer(Trainer):  # type: ignore[misc]
    """Trains what a task's objective teaches; complete checkpoints lie in the run's folder, under `checkpoints`."""

    def __init__(self, task: Task, plan: Plan, stage: str) -> None:
        super().__init__(task.new_model(), plan.arguments(task), train_dataset=task.train, eval_dataset=task.validation)
        self.remove_callback(PrinterCallback)
        self.watch, self.plan, self.objective = Watch(task, plan, stage), plan, task.objective
        self.add_callback(self.watch)
        self.train_rows, self.validation, self.batches = task.train, task.validation, plan.batches(task.train)
        self.checkpoints = task.run.folder / "checkpoints"

    def get_train_dataloader(self) -> Any:
        loader = DataLoader(
            self.train_rows, batch_sampler=self.batches, collate_fn=lambda rows: self.objective.batch(self.train_rows, rows)
        )
        return self.accelerator.prepare_data_loader(loader)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The weighted loss, scaled so that its mean over an epoch's batches is the weighted mean over all that is learnt."""
        with self.accelerator.autocast():
            loss = self.objective.loss(model, inputs) * (len(self.batches) / float(self.train_rows.mass.sum()))
        return (loss, None) if return_outputs else loss

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not math.isfinite(float(loss)):
            ids = ", ".join(self.train_rows.ids[row] for row in inputs["rows"].tolist())
            raise Diverged(f"the training loss became {float(loss)} at step {self.state.global_step + 1}, on the rows {ids}")
        self.watch.count(inputs["rows"].tolist())
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation loss in nats (weighted mean), what else the objective sees, and how fast training goes."""
        seen = self.objective.validate(self.model, self.validation)
        metrics = {
            "eval_loss": seen.loss,
            **{f"eval_{name}": value for name, value in seen.figures.items()},
            **self.watch.so_far(self.state),
            **self.watch.speed(),
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

    def take_best(self) -> None:
        """Put the best weights into the model, which then runs without the wrapping that training needs."""
        best = self.checkpoints / f"checkpoint-{self.state.best_global_step}"
        self.model: Any = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        if (best / "adapter_model.safetensors").exists():
            put_adapter(self.model, best)
        else:
            self._load_from_checkpoint(str(best))

    def ended(self) -> bool:
        """Whether the state is that of a training that is through."""
        return self.state.global_step >= self.state.max_steps or out_of_patience(self.state, self.plan.patience)


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells how far training is, times its steps, and ends it when `patience` evaluations in a row brought no better loss."""

    def __init__(self, task: Task, plan: Plan, stage: str) -> None:
        self.task, self.plan, self.stage = task, plan, stage
        self.figures: dict[str, float] = {}
        self.texts = self.tokens = self.learnt = self.steps = 0
        self.seconds, self._started, self._born = 0.0, 0.0, time.perf_counter()
        self._told = 0  # of what was learnt, since the last evaluation

    def count(self, rows: list[int]) -> None:
        """Note that a step was taken on these rows."""
        train = self.task.train
        self.texts, self.learnt = self.texts + len(rows), self.learnt + int(train.learnt[rows].sum())
        self.tokens += sum(len(train.tokens[row]) for row in rows)

    def so_far(self, state: TrainerState) -> dict[str, float]:
        """Seconds of training and validation, and how much was learnt from, those before an interruption included."""
        before = next((entry for entry in reversed(state.log_history) if "seconds" in entry), {"seconds": 0.0, "supervised_tokens": 0})
        self._born, seconds = time.perf_counter(), time.perf_counter() - self._born
        self._told, learnt = self.learnt, self.learnt - self._told
        return {"seconds": before["seconds"] + seconds, "supervised_tokens": before["supervised_tokens"] + learnt}

    def speed(self) -> dict[str, float]:
        """Texts, tokens without padding, and learnt tokens a second of training."""
        counted = {"texts": self.texts, "tokens": self.tokens, "supervised_tokens": self.learnt}
        return {f"{name}_per_second": count / self.seconds for name, count in counted.items()} if self.seconds else {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds, self.steps = self.seconds + time.perf_counter() - self._started, self.steps + 1
        self.figures |= self.speed()
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


def fit(task: Task, plan: Plan) -> RecipeTrainer:
    """Train from the run's newest complete checkpoint, or from the base; the result holds the best weights."""
    with quietly():
        trainer = RecipeTrainer(task, plan, "training")
        checkpoint = trainer.last_checkpoint()
        if checkpoint is not None:
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if checkpoint is None or not trainer.ended():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.take_best()
    return trainer


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))
