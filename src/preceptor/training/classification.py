"""Fine-tune a pre-trained model as a classifier, on the posterior of human judgments.

The question may be of choice, rating, comparison or several labels; what is learnt is people's posterior over its answers, or of each of
its labels. `preview_classifier` shows what training would see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from preceptor.models.adapters import AdapterKind, attach_adapter, refuse_quantized
from preceptor.models.batching import encode_texts, pad_sequences
from preceptor.models.capability_probes import grade_nearest_options, retrieval_log_probabilities
from preceptor.models.classifier import predict_log_probabilities, predict_logits
from preceptor.models.loading import check_model_folder, load_tokenizer, prepare_classifier
from preceptor.models.parity import PROBE_COUNT
from preceptor.registry import OptionsBase
from preceptor.training.examples import TrainingExamples, build_label_examples, read_rows, resolve_max_tokens
from preceptor.training.forgetting import encoder_general_data, fit_task
from preceptor.training.losses import CLASSIFICATION_LOSSES
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.recipe import TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import run_recipe
from preceptor.training.sft import PREVIEW_ROWS, mark_supervised_tokens
from preceptor.types import FloatArray, Model, MultipleChoiceItem


def preview_texts(splits: Mapping[str, Sequence[TrainingRow]], tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """Return what training a classifier would see of each split: counts, tokens, and the first texts token by token.

    The keys are those of `preview_completions`; a classifier reads texts and learns their answers: no token is supervised, and long texts
    are truncated, not left out.
    """
    read = {split: encode_texts(tokenizer, [row.text for row in rows], max_tokens) for split, rows in splits.items()}
    first, tokens = next(iter(splits.values())), next(iter(read.values()))
    return {
        "template": "the text alone; what is learnt is the answer",
        "rows": {split: len(rows) for split, rows in splits.items()},
        "tokens": {split: sum(map(len, found)) for split, found in read.items()},
        "supervised_tokens": dict.fromkeys(splits, 0),
        "longest": {split: max(map(len, found), default=0) for split, found in read.items()},
        "filling": {split: sum(len(each) >= max_tokens for each in found) for split, found in read.items()},
        "left_out": {split: {} for split in splits},
        "left_out_rows": [],
        "examples": [
            {"id": row.id, "tokens": mark_supervised_tokens(tokenizer, ids, [False] * len(ids)), "target": dict(row.target)}
            for row, ids in zip(first[:PREVIEW_ROWS], tokens, strict=False)
        ],
    }


@dataclass(frozen=True)
class ClassificationObjective:
    """Learn a sequence classifier by soft cross-entropy over the answers, starting from `base`.

    base: the folder of the pre-trained model. answers: in the order of the targets' columns. tokenizer: the base's. adapter: which weights
    are trained. target_kind: how the answers relate, a key of `CLASSIFICATION_LOSSES`. recipe: the name in the manifest.
    """

    base: Path
    answers: tuple[str, ...]
    tokenizer: Any
    adapter: AdapterKind = "none"
    target_kind: str = "nominal"
    recipe: str = "classify"

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return (2e-5, 5e-5, 1e-4) if self.adapter == "none" else (1e-4, 3e-4, 1e-3)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def create_model(self) -> Any:
        """Return the base with a classification head for the answers, and its adapter."""
        return attach_adapter(
            prepare_classifier(self.base, self.answers, self.pad_id, several=self.target_kind == "multilabel"), self.adapter
        )

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return the padded tokens, targets, weights and numbers of these rows."""
        picked = np.asarray(rows, dtype=np.int64)
        return {
            **pad_sequences([examples.tokens[row] for row in rows], self.pad_id),
            "targets": torch.as_tensor(examples.targets[picked], dtype=torch.float32),
            "weights": torch.as_tensor(examples.weights[picked], dtype=torch.float32),
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's losses, a scalar with gradients."""
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        return (CLASSIFICATION_LOSSES[self.target_kind](logits, inputs["targets"]) * inputs["weights"]).sum()

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the loss of each row, and the accuracy against the most probable answer, or the most probable set of labels."""
        logits = predict_logits(model, examples.tokens, self.pad_id)
        losses = CLASSIFICATION_LOSSES[self.target_kind](torch.as_tensor(logits), torch.as_tensor(examples.targets)).double().numpy()
        same = _matches_label_set if self.target_kind == "multilabel" else _matches_top_answer
        return ValidationResult(losses, examples.weights, {"accuracy": float(np.mean(same(logits, examples.targets)))})

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the log-probabilities of the answers on the first rows, with which parity is verified."""
        few = examples.select(range(min(PROBE_COUNT, len(examples))))
        return {
            "kind": "classifier",
            "rows": dict(zip(few.ids, predict_log_probabilities(model, few.tokens, self.pad_id).tolist(), strict=True)),
        }

    def before_saving(self, model: Any, examples: TrainingExamples) -> None:
        """Do nothing: a classifier is saved as it was trained."""

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return a sentence when texts fill the model's window."""
        full = sum(length >= max_tokens for length in examples.lengths)
        told = f"{full:,} of {len(examples):,} training texts fill all {max_tokens} tokens: what they say beyond isn't read (max_tokens)."
        return [told] if full else []

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return no further fields of the manifest."""
        return {}

    @property
    def remedies(self) -> tuple[str, ...]:
        return ("slower", "l2sp")

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        """Return the log-probability of each general text's answer among all their answers, (texts,) nats, by similarity of embeddings."""
        return retrieval_log_probabilities(model, self.tokenizer, texts, max_tokens=max_tokens)

    def correct_answers(self, model: Any, questions: Sequence[MultipleChoiceItem], max_tokens: int) -> FloatArray:
        """Return whether the option nearest to each question is the right one, (questions,)."""
        return grade_nearest_options(model, self.tokenizer, questions, max_tokens=max_tokens)

    def with_teacher(self, teacher: Any, rows: TrainingExamples, share: float) -> TrainingExamples:
        """Return the rows with `share` of each target replaced by the teacher's prediction."""
        said = predict_log_probabilities(teacher, rows.tokens, self.pad_id)
        return replace(rows, targets=(1 - share) * rows.targets + share * np.exp(said))

    def with_kl_monitor(self, base: Any, rows: TrainingExamples) -> ClassificationObjective:
        """Return this objective unchanged: its base has no distribution over these answers."""
        return self


def _matches_top_answer(logits: Any, targets: Any) -> Any:
    return logits.argmax(axis=1) == targets.argmax(axis=1)


def _matches_label_set(logits: Any, targets: Any) -> Any:
    """Return whether the labels that are more likely than not to apply are people's, (rows,)."""
    return ((logits > 0) == (targets > 0.5)).all(axis=1)


WEIGHT_DECAY = 0.01


class ClassificationOptions(OptionsBase):
    """Options of the recipe `classify`; the defaults suit a small encoder and a few thousand texts."""

    epochs: float = Field(3.0, gt=0, description="maximum passes over the training rows")
    min_steps: int = Field(100, ge=1, description="minimum number of steps, even if `epochs` gives fewer")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    batch_size: int = Field(32, ge=1, description="rows per step")
    adapter: AdapterKind = Field("none", description="none: all weights; lora, dora, lora-top: a low-rank adapter and the head")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer or labels")
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(128, ge=4, description="longer texts are truncated")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evals_per_epoch: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: Literal["none", "auto", "alpha", "slower", "l2sp", "recursive"] = Field(
        "none", description="mitigation of forgetting; auto: the cheapest that suffices"
    )


@recipes.register("classify", options=ClassificationOptions)
def train_classifier(run: TrainingRun, options: ClassificationOptions) -> Model:
    """Fine-tune a sequence classifier by soft cross-entropy.

    Classes of a rating are learnt by a loss that knows their order, several labels at once by the cross-entropy of each. Supports:
    posterior targets, row weights, encoders and decoders, adapters, resume.

    Assumes: rows with a text and a target over the snapshot's answers. Refuses: targets that are texts, an answer missing in training, an
    empty train or validation split, a base that isn't a model, quantized weights without a GPU, a folder that another process or another
    run holds.
    """
    check_model_folder(run.base)
    refuse_quantized(run.base)
    rows = read_rows(run, "train", rows=options.max_train_rows, several=True), read_rows(run, "validation", several=True)

    def train() -> Model:
        tokenizer = load_tokenizer(run.base)
        limit = resolve_max_tokens(run, tokenizer, options)
        tokenizer.model_max_length = limit  # serving cuts texts where training did
        prepare = partial(
            build_label_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit,
            hard=options.targets == "hard", several=run.snapshot.target_kind == "multilabel",
        )  # fmt: skip
        objective = ClassificationObjective(run.base, run.snapshot.answers, tokenizer, options.adapter, run.snapshot.target_kind)
        task = TrainingTask(run, limit, objective, prepare(rows[0]), prepare(rows[1]))
        settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "patience", "evals_per_epoch"})
        trainer, measured = fit_task(
            task, TrainConfig(**settled, weight_decay=WEIGHT_DECAY, seed=run.seed), options, tokenizer, encoder_general_data
        )
        return save_trained_model(task, trainer, tokenizer, measured=measured, options=options.model_dump())

    return run_recipe(run, "classify", options, train)


def preview_classifier(run: TrainingRun, options: ClassificationOptions) -> dict[str, Any]:
    """Return what `train_classifier` would read, see `preview_texts`; nothing is trained or written."""
    check_model_folder(run.base)
    refuse_quantized(run.base)
    rows = {
        "train": read_rows(run, "train", rows=options.max_train_rows, several=True),
        "validation": read_rows(run, "validation", several=True),
    }
    tokenizer = load_tokenizer(run.base)
    return preview_texts(rows, tokenizer, resolve_max_tokens(run, tokenizer, options))


train_classifier.preview = preview_classifier
