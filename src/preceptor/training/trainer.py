"""Train with `transformers.Trainer`, using our loss, batches, validation, micro-batches and checkpoints.

The Trainer keeps the loop, the optimiser and schedule, accelerate, callbacks and loggers. Our parts are cheaper or more robust: rows are
tokenized once and batched by length, validation is one pass without padding, a batch that doesn't fit in memory is split into pieces, whose
gradients add up to the batch's, a number that isn't finite ends the run before it harms the weights, and a checkpoint counts only when it
is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerState

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.models.adapters import load_adapter_weights
from preceptor.models.atomic_folder import discard_folder, explain_full_disk, publish
from preceptor.models.batching import free_memory, is_out_of_memory
from preceptor.models.loading import silence_transformers
from preceptor.training.callbacks import (
    TENSORBOARD_FOLDER,
    EarlyStoppingBaseline,
    EpochCoverageCallback,
    L2SPCallback,
    TrainingDiverged,
    TrainingLogger,
    check_finite,
    check_weights_finite,
    is_out_of_patience,
    save_last_good_model,
)
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult

_StepResult = TypeVar("_StepResult")


class AdaptiveMicroBatcher:
    """Limit the tokens, padding included, that go through the model at once.

    The limit is `most`, or without it there is none, until a batch doesn't fit in memory; it is kept in the run's folder for the next
    start. Tokens are limited rather than rows: the memory for the backward pass grows with them, and batches of short rows stay whole.

    initial_limit: `most`. failed_batch: rows and longest row of the last batch that didn't fit.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self.path, self.initial_limit = folder / "room.json", most
        self.failed_batch: dict[str, int] = read_json(self.path) if self.path.exists() else {}

    @property
    def token_limit(self) -> int | None:
        """The limit: half of the last batch that didn't fit, or the initial one."""
        return max(1, self.failed_batch["rows"] * self.failed_batch["longest"] // 2) if self.failed_batch else self.initial_limit

    def pieces(self, rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
        """Split a batch's rows into as many pieces as the limit requires, of at least one row each."""
        parts: list[list[int]] = [[]]
        for row in rows:
            longest = max(lengths[each] for each in [*parts[-1], row])
            if self.token_limit is not None and parts[-1] and longest * (len(parts[-1]) + 1) > self.token_limit:
                parts.append([])
            parts[-1].append(row)
        return parts

    def run_in_pieces(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        ids: Sequence[str],
        run: Callable[[list[list[int]]], _StepResult],
        *,
        divisible: bool = True,
    ) -> _StepResult:
        """Call `run` with the batch's pieces; again from the beginning, with half the limit, as often as memory runs out.

        Raises UserError when a single row doesn't fit, or a batch that isn't divisible. `run` must leave nothing behind that its next call
        doesn't undo.
        """
        while True:
            pieces = self.pieces(rows, lengths) if divisible else [list(rows)]
            try:
                return run(pieces)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            largest = max(pieces, key=lambda piece: len(piece) * max(lengths[row] for row in piece))
            longest = max(lengths[row] for row in largest)
            if len(largest) == 1:
                raise UserError(
                    f"memory doesn't hold row {ids[largest[0]]} by itself: it is {longest:,} tokens long",
                    "leave out long rows (max_tokens), train less of the model (adapter=lora), or take a smaller base",
                )
            if not divisible:
                raise UserError(
                    f"memory doesn't hold a batch of {len(rows):,} rows, and the loss compares them with each other",
                    f"take a smaller batch: batch_size={len(rows) // 2}",
                )
            self._halve(len(largest), longest)

    def summary_lines(self) -> list[str]:
        """Return a sentence on the limit, where a batch didn't fit."""
        if not self.failed_batch:
            return []
        return [
            f"Memory didn't hold a batch of {self.failed_batch['rows']:,} rows "
            f"of {self.failed_batch['longest']:,} tokens at once: batches went "
            f"through in pieces of at most {self.token_limit:,} tokens, which together give the same gradient."
        ]

    def _halve(self, rows: int, longest: int) -> None:
        free_memory()
        self.failed_batch = {"rows": rows, "longest": longest}
        with atomic_write(self.path, "w") as file:
            json.dump(self.failed_batch, file)


@contextmanager
def explain_out_of_memory(base: Path) -> Iterator[None]:
    """Raise a UserError for memory that runs out where no smaller batch helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"memory doesn't hold what training {base.name} takes beside its batches: weights, gradients and the optimiser's state",
            "train less of the model (adapter=lora), or take a smaller base",
        ) from error


class RecipeTrainer(Trainer):  # type: ignore[misc]
    """Train a task's objective; complete checkpoints are in the run's folder, under `checkpoints`."""

    def __init__(self, task: TrainingTask, plan: TrainConfig, stage: str, ahead: int = 0) -> None:
        super().__init__(task.create_model(), plan.arguments(task), train_dataset=task.train, eval_dataset=task.validation)
        self.remove_callback(PrinterCallback)
        self.training_logger, self.plan, self.objective = TrainingLogger(task, plan, stage, ahead), plan, task.objective
        self.add_callback(self.training_logger)
        if plan.l2_sp:
            self.add_callback(L2SPCallback(self.model))
        for logger in self.callback_handler.callbacks:
            if getattr(logger, "logging_dir", "") is None:  # TensorBoard's, unless its own variable sets it
                logger.logging_dir = str(task.run.folder / TENSORBOARD_FOLDER)
        self.train_rows, self.validation, self.batches = task.train, task.validation, plan.batches(task.train)
        self.coverage = EpochCoverageCallback(self.batches)
        self.add_callback(self.coverage)
        self.checkpoints = task.run.folder / "checkpoints"
        self.lengths, self.compares_rows = task.train.lengths, getattr(task.objective, "compares_rows", False)
        self.micro_batcher, self.stopping_baseline = AdaptiveMicroBatcher(task.run.folder), EarlyStoppingBaseline(task.validation.groups)

    def get_train_dataloader(self) -> Any:
        """Return the loader of the batches, which the objective collates from row numbers."""
        loader = DataLoader(
            self.train_rows, batch_sampler=self.batches, collate_fn=lambda rows: self.objective.batch(self.train_rows, rows)
        )
        return self.accelerator.prepare_data_loader(loader)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Return the weighted loss, scaled so that its mean over an epoch's batches is the weighted mean over all targets."""
        with self.accelerator.autocast():
            loss = self.objective.loss(model, inputs) * (len(self.batches) / float(self.train_rows.loss_weights.sum()))
        return (loss, None) if return_outputs else loss

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Take a step on a batch, and record its rows for epoch coverage."""
        self.coverage.seen.update(inputs["rows"].tolist())
        return self.run_step(model, inputs, num_items_in_batch)

    def run_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Return the batch's loss, with gradients accumulated over as many pieces as memory requires."""
        rows, step = inputs["rows"].tolist(), super().training_step

        def whole(pieces: list[list[int]]) -> Any:
            model.zero_grad()  # gradients of a piece before memory ran out; at a step's beginning there are none
            parts = [inputs] if len(pieces) == 1 else (self.objective.batch(self.train_rows, piece) for piece in pieces)
            return sum(step(model, part) for part in parts)

        loss = self.micro_batcher.run_in_pieces(rows, self.lengths, self.train_rows.ids, whole, divisible=not self.compares_rows)
        self._step_rows = ", ".join(dict.fromkeys(self.train_rows.ids[row] for row in rows))  # a row may occur in a batch several times
        check_finite(loss, f"the training loss became {{}} at step {self.state.global_step + 1}, on the rows {self._step_rows}")
        self.training_logger.count_step(self.train_rows, rows, float(loss), self.micro_batcher.token_limit)
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        """Check the gradient before the optimiser uses it: what isn't finite would spoil every weight."""
        norm = super()._get_grad_norm(*args, **kwargs)
        check_finite(norm, f"the gradient became {{}} at step {self.state.global_step + 1}, on the rows {self._step_rows}")
        return norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Return the validation loss in nats (weighted mean), its change since the baseline, further metrics, and the throughput."""
        seen = self.validate()
        check_finite(seen.loss, f"the validation loss became {{}} at step {self.state.global_step}")
        figures = {"loss": seen.loss, **seen.figures, **self.stopping_baseline.compare(seen.row_contributions)}
        metrics = {
            **{f"eval_{name}": value for name, value in figures.items()},
            **self.training_logger.totals(self.state),
            **self.training_logger.throughput(),
        }
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def validate(self) -> ValidationResult:
        """Return the objective's validation of the validation rows."""
        return self.objective.validate(self.model, self.validation)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write the checkpoint aside, flush it, rename it, and only then remove those that are neither best nor last."""
        check_weights_finite(self.model, self.state.global_step)
        name = f"checkpoint-{self.state.global_step}"
        with explain_full_disk(self.checkpoints / name):
            super()._save_checkpoint(model, trial)
            self.save_extra_state(Path(self.args.output_dir) / name)
            publish(Path(self.args.output_dir) / name, self.checkpoints / name)
        for folder in self.checkpoints.glob("checkpoint-*"):
            if folder.name not in (name, f"checkpoint-{self.state.best_global_step}"):
                discard_folder(folder)

    def save_extra_state(self, checkpoint: Path) -> None:
        """Save what else resuming needs in the checkpoint's folder."""
        self.stopping_baseline.save(checkpoint)

    def restore_state(self, checkpoint: Path) -> None:
        """Restore the state of a checkpoint, except weights and optimiser, which `train` loads."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self.stopping_baseline.load(checkpoint)

    def last_checkpoint(self) -> Path | None:
        """Return the newest complete checkpoint, after removing what a kill left unfinished."""
        for left in (Path(self.args.output_dir), *self.checkpoints.glob(".*")):
            shutil.rmtree(left, ignore_errors=True)
        return max(self.checkpoints.glob("checkpoint-*"), key=checkpoint_step, default=None)

    def load_best_weights(self) -> int:
        """Load the best checkpoint's weights into the model, unwrapped from what training added around it, and return their step."""
        losses = {entry["step"]: entry["eval_loss"] for entry in self.state.log_history if "eval_loss" in entry}
        best = min(self.checkpoints.glob("checkpoint-*"), key=lambda folder: (losses[checkpoint_step(folder)], checkpoint_step(folder)))
        self.model: Any = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        if (best / "adapter_model.safetensors").exists():
            load_adapter_weights(self.model, best)
        else:
            self._load_from_checkpoint(str(best))
        return checkpoint_step(best)

    def has_finished(self) -> bool:
        """Return whether the state is that of a finished training."""
        return self.state.global_step >= self.state.max_steps or is_out_of_patience(self.state.log_history, self.plan.patience)


AnyRecipeTrainer = TypeVar("AnyRecipeTrainer", bound=RecipeTrainer)


def train_model(task: TrainingTask, plan: TrainConfig, tokenizer: Any) -> RecipeTrainer:
    """Train from the run's newest complete checkpoint, or from the base; the returned trainer holds the best weights.

    Raises TrainingDiverged when a number is no longer finite; the best weights so far are then a model in the run's folder, `last-good`.
    """
    return run_trainer(lambda: RecipeTrainer(task, plan, "training"), task, tokenizer)


def run_trainer(make: Callable[[], AnyRecipeTrainer], task: TrainingTask, tokenizer: Any) -> AnyRecipeTrainer:
    """Train as `train_model` does, with the trainer that `make` returns."""
    with silence_transformers(), explain_out_of_memory(task.run.base):
        trainer = make()
        checkpoint = trainer.last_checkpoint()
        if checkpoint is not None:
            trainer.restore_state(checkpoint)
        if checkpoint is None or not trainer.has_finished():
            try:
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            except TrainingDiverged as error:
                raise TrainingDiverged(error.message, save_last_good_model(trainer, tokenizer, task.run.folder / "last-good")) from None
        trainer.load_best_weights()
    return trainer


def checkpoint_step(checkpoint: Path) -> int:
    """Return the step at which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))
