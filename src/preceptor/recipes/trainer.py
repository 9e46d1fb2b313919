"""`transformers.Trainer` with our loss, batches, validation and checkpoints.

What stays the Trainer's: the loop, the optimiser and schedule, accelerate, callbacks and loggers. What is ours costs
less or holds better: rows are tokenised once and batched by length, validation is one pass without padding, a batch that
memory doesn't hold goes through in pieces, a number that isn't finite ends the run before it harms the weights, and a
checkpoint counts only when it is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState

from preceptor.errors import UserError
from preceptor.models.adapters import put_adapter
from preceptor.models.loading import quietly
from preceptor.models.saving import discard, full_disk_explained, publish
from preceptor.recipes.batches import LengthBatches
from preceptor.recipes.diverging import Diverged, check_finite, check_weights, keep_last_good
from preceptor.recipes.objective import Validated
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.pulling import Pull
from preceptor.recipes.room import Room, memory_explained
from preceptor.recipes.stopping import Yardstick, out_of_patience
from preceptor.recipes.watching import TENSORBOARD, Watch


class RecipeTrainer(Trainer):  # type: ignore[misc]
    """Trains what a task's objective teaches; complete checkpoints lie in the run's folder, under `checkpoints`."""

    def __init__(self, task: Task, plan: Plan, stage: str, ahead: int = 0) -> None:
        super().__init__(task.new_model(), plan.arguments(task), train_dataset=task.train, eval_dataset=task.validation)
        self.remove_callback(PrinterCallback)
        self.watch, self.plan, self.objective = Watch(task, plan, stage, ahead), plan, task.objective
        self.add_callback(self.watch)
        if plan.pull:
            self.add_callback(Pull(self.model))
        for logger in self.callback_handler.callbacks:
            if getattr(logger, "logging_dir", "") is None:  # TensorBoard's, unless its own variable says where
                logger.logging_dir = str(task.run.folder / TENSORBOARD)
        self.train_rows, self.validation, self.batches = task.train, task.validation, plan.batches(task.train)
        self.coverage = EpochCoverage(self.batches)
        self.add_callback(self.coverage)
        self.checkpoints = task.run.folder / "checkpoints"
        self.lengths, self.compares_rows = task.train.lengths, getattr(task.objective, "compares_rows", False)
        self.room, self.yardstick = Room(task.run.folder), Yardstick(task.validation.groups)

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
        """A step on a batch, whose rows are counted."""
        self.coverage.seen.update(inputs["rows"].tolist())
        return self.take_step(model, inputs, num_items_in_batch)

    def take_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """The batch's loss, its gradients added up over as many pieces as memory asks for."""
        rows, step = inputs["rows"].tolist(), super().training_step

        def whole(pieces: list[list[int]]) -> Any:
            model.zero_grad()  # what a piece left before memory ran out; at a step's beginning there is nothing
            parts = [inputs] if len(pieces) == 1 else (self.objective.batch(self.train_rows, piece) for piece in pieces)
            return sum(step(model, part) for part in parts)

        loss = self.room.through(rows, self.lengths, self.train_rows.ids, whole, divisible=not self.compares_rows)
        self._taken = ", ".join(dict.fromkeys(self.train_rows.ids[row] for row in rows))  # a row may stand in a batch several times
        check_finite(loss, f"the training loss became {{}} at step {self.state.global_step + 1}, on the rows {self._taken}")
        self.watch.count(self.train_rows, rows, float(loss), self.room.tokens)
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        """Looked at before the optimiser takes the gradients: what isn't finite would spoil every weight."""
        norm = super()._get_grad_norm(*args, **kwargs)
        check_finite(norm, f"the gradient became {{}} at step {self.state.global_step + 1}, on the rows {self._taken}")
        return norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation loss in nats (weighted mean), how clearly it changed, what else the objective sees, and how fast training goes."""
        seen = self.validate()
        check_finite(seen.loss, f"the validation loss became {{}} at step {self.state.global_step}")
        figures = {"loss": seen.loss, **seen.figures, **self.yardstick.hold(seen.shares)}
        metrics = {**{f"eval_{name}": value for name, value in figures.items()}, **self.watch.so_far(self.state), **self.watch.speed()}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def validate(self) -> Validated:
        """What the objective sees of the validation rows."""
        return self.objective.validate(self.model, self.validation)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write the checkpoint aside, flush it, rename it, and only then remove those that are neither best nor last."""
        check_weights(self.model, self.state.global_step)
        name = f"checkpoint-{self.state.global_step}"
        with full_disk_explained(self.checkpoints / name):
            super()._save_checkpoint(model, trial)
            self.keep_beside(Path(self.args.output_dir) / name)
            publish(Path(self.args.output_dir) / name, self.checkpoints / name)
        for folder in self.checkpoints.glob("checkpoint-*"):
            if folder.name not in (name, f"checkpoint-{self.state.best_global_step}"):
                discard(folder)

    def keep_beside(self, checkpoint: Path) -> None:
        """Keep what else the training goes on from in the checkpoint's folder."""
        self.yardstick.save(checkpoint)

    def take_up(self, checkpoint: Path) -> None:
        """Be as when the checkpoint was written, but for weights and optimiser, which `train` loads."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self.yardstick.load(checkpoint)

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint; what a kill left unfinished is removed."""
        for left in (Path(self.args.output_dir), *self.checkpoints.glob(".*")):
            shutil.rmtree(left, ignore_errors=True)
        return max(self.checkpoints.glob("checkpoint-*"), key=step_of, default=None)

    def take_best(self) -> int:
        """Put the best weights that were kept into the model, which then runs without the wrapping that training needs; their step."""
        losses = {entry["step"]: entry["eval_loss"] for entry in self.state.log_history if "eval_loss" in entry}
        best = min(self.checkpoints.glob("checkpoint-*"), key=lambda folder: (losses[step_of(folder)], step_of(folder)))
        self.model: Any = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        if (best / "adapter_model.safetensors").exists():
            put_adapter(self.model, best)
        else:
            self._load_from_checkpoint(str(best))
        return step_of(best)

    def ended(self) -> bool:
        """Whether the state is that of a training that is through."""
        return self.state.global_step >= self.state.max_steps or out_of_patience(self.state.log_history, self.plan.patience)


class EpochCoverage(TrainerCallback):  # type: ignore[misc]
    """Rows that an epoch has trained on so far; UserError at the end of one that left some out."""

    def __init__(self, batches: LengthBatches) -> None:
        self.batches, self.seen = batches, set[int]()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        epoch, steps = divmod(state.global_step, len(self.batches))
        self.seen = set(self.batches.first_rows(epoch, steps))  # of an epoch that is gone on with

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        stopped = control.should_training_stop or state.global_step >= state.max_steps
        whole = not stopped or state.global_step % len(self.batches) == 0
        rows, seen = len(self.batches.lengths), len(self.seen)
        if whole and seen != rows:
            raise UserError(
                f"an epoch trained on {seen:,} of {rows:,} rows: the others were lost between the batches and the model",
                "train in one process, without a launcher; without one this is a fault of Preceptor: please report it",
            )
        self.seen = set()


Trained = TypeVar("Trained", bound=RecipeTrainer)


def fit(task: Task, plan: Plan, tokenizer: Any) -> RecipeTrainer:
    """Train from the run's newest complete checkpoint, or from the base; the result holds the best weights.

    Diverged when numbers run away; the best weights up to there are then a model in the run's folder, `last-good`.
    """
    return fitted(lambda: RecipeTrainer(task, plan, "training"), task, tokenizer)


def fitted(make: Callable[[], Trained], task: Task, tokenizer: Any) -> Trained:
    """The same with a trainer of one's own."""
    with quietly(), memory_explained(task.run.base):
        trainer = make()
        checkpoint = trainer.last_checkpoint()
        if checkpoint is not None:
            trainer.take_up(checkpoint)
        if checkpoint is None or not trainer.ended():
            try:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            except Diverged as error:
                raise Diverged(error.message, keep_last_good(trainer, tokenizer, task.run.folder / "last-good")) from None
        trainer.take_best()
    return trainer


def step_of(checkpoint: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))
