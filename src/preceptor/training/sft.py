"""Fine-tune a causal language model on human answers: prompts and completions, conversations, corrections.

Completions are supervised token by token, prompts are only read. `preview_sft` shows what training would see: rows as tokens, and what
would be left out and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from preceptor.errors import UserError
from preceptor.models.adapters import DEFAULT_RANK, AdapterKind, attach_adapter, refuse_quantized, unwrap_model
from preceptor.models.capability_probes import MAX_TEXT_TOKENS, grade_multiple_choice, render_general_texts, text_log_probabilities
from preceptor.models.causal_lm import check_causal, prepare_causal, prepare_tokenizer, set_stop_tokens
from preceptor.models.chat_template import (
    RENDER_ERROR_REASONS,
    RenderedConversation,
    RenderError,
    build_conversation,
    render_conversation,
    uses_plain_template,
)
from preceptor.models.completion_scoring import LMHead, collate_completions, completion_log_probabilities, completion_loss
from preceptor.models.frozen_trunk import ActivationCache
from preceptor.models.parity import PROBE_COUNT, digest_tokens
from preceptor.registry import OptionsBase
from preceptor.training.examples import (
    TargetMode,
    TrainingExamples,
    build_masked_examples,
    expand_answers,
    format_exclusion_reasons,
    list_excluded_rows,
    read_rows,
    resolve_max_tokens,
    top_answer,
)
from preceptor.training.forgetting import RetentionMethod, causal_general_data, fit_task
from preceptor.training.losses import collate_teacher_topk, compute_teacher_topk, distillation_loss, mean_topk_kl
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.recipe import TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import run_recipe
from preceptor.types import FloatArray, Model, MultipleChoiceItem

KL_MONITOR_ROWS = 32  # validation rows on which the divergence from the base is measured
PREVIEW_ROWS = 3  # rows that the manifest shows token by token


@dataclass(frozen=True)
class SFTObjective:
    """Learn the tokens of completions by cross-entropy, from `base`, a causal model.

    tokenizer: prepared for training. adapter, rank: which weights are trained. kl_monitor_rows: rows on which the divergence from the base
    is measured at validation; None: it isn't.
    """

    base: Path
    tokenizer: Any
    adapter: AdapterKind
    rank: int
    recipe: str = "sft"
    kl_monitor_rows: TrainingExamples | None = None
    _heads: dict[int, LMHead] = field(default_factory=dict, compare=False, repr=False)
    _states: ActivationCache = field(default_factory=ActivationCache, compare=False, repr=False)

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return (1e-5, 2e-5, 5e-5) if self.adapter == "none" else (1e-4, 2e-4, 5e-4)

    def create_model(self) -> Any:
        """Return the base with its adapter."""
        return attach_adapter(prepare_causal(self.base, self.tokenizer), self.adapter, self.rank)

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return the padded tokens, masks and weights of these rows, with teacher predictions where there are some."""
        picked = np.asarray(rows, dtype=np.int64)
        return {
            **collate_completions(
                [examples.tokens[row] for row in rows], [examples.targets[row] for row in rows], self.tokenizer.pad_token_id
            ),
            "weights": torch.as_tensor(examples.weights[picked], dtype=torch.float32),
            "rows": torch.as_tensor(picked),
            **(collate_teacher_topk([examples.teacher_topk[row] for row in rows]) if examples.teacher_topk else {}),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's losses, a scalar with gradients; rows with a teacher are distilled."""
        return (distillation_loss if "taught" in inputs else completion_loss)(model, self._head(model), inputs)

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the loss of each row, and the divergence from the base where it is monitored.

        Forgetting follows that divergence (Shenfeld et al. 2025).
        """
        found = self._log_probabilities(model, examples)
        figures = (
            {}
            if self.kl_monitor_rows is None
            else {"kl_to_base": mean_topk_kl(model, self._head(model), self.kl_monitor_rows, self.pad_id)}
        )
        return ValidationResult(np.array([-float(row.mean()) for row in found]), examples.loss_weights, figures)

    @property
    def remedies(self) -> tuple[str, ...]:
        return ("slower", "replay", "kl", "distill")

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        """Return the log-probability of each general text, (texts,) nats."""
        found = render_general_texts(self.tokenizer, texts, max_tokens=min(MAX_TEXT_TOKENS, max_tokens))
        return text_log_probabilities(model, self.tokenizer, list(found.values()))

    def correct_answers(self, model: Any, questions: Sequence[MultipleChoiceItem], max_tokens: int) -> FloatArray:
        """Return 1 for each multiple-choice question that the model answers right, else 0, (questions,)."""
        return grade_multiple_choice(model, self.tokenizer, questions, max_tokens=max_tokens)

    def with_teacher(self, teacher: Any, rows: TrainingExamples, share: float) -> TrainingExamples:
        """Return the rows with the teacher's predictions, which `share` of their loss is distilled from."""
        return replace(
            rows,
            teacher_topk=compute_teacher_topk(teacher, LMHead.from_model(teacher), rows.tokens, rows.targets, self.pad_id, share=share),
        )

    def with_kl_monitor(self, base: Any, rows: TrainingExamples) -> SFTObjective:
        """Return the objective that at validation also measures the divergence from the base on some of these rows."""
        return replace(self, kl_monitor_rows=self.with_teacher(base, rows.select(range(min(KL_MONITOR_ROWS, len(rows)))), 1.0))

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the log-probabilities of the first rows' most probable answers, with which parity is verified."""
        first = list({id_: row for row, id_ in reversed(list(enumerate(examples.ids)))}.values())  # a row's most probable answer
        few = examples.select(sorted(first)[:PROBE_COUNT])
        found = self._log_probabilities(model, few)
        rows = {
            id_: {"tokens": digest_tokens(tokens, mask), "log_probabilities": said.tolist()}
            for id_, tokens, mask, said in zip(few.ids, few.tokens, few.targets, found, strict=True)
        }
        return {"kind": "causal", "rows": rows}

    def before_saving(self, model: Any, examples: TrainingExamples) -> None:
        """Set the stop tokens, so that in serving the model stops where training taught it to."""
        set_stop_tokens(model, {int(tokens[-1]) for tokens in examples.tokens}, self.tokenizer)

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return sentences on how many answers the rows have, where more than one, and which rows were left out and why."""
        told, rows, left_out = [], len(set(examples.ids)), sum(examples.excluded.values())
        if rows < len(examples):
            told.append(f"{len(examples):,} answers of {rows:,} training rows were learnt, each weighed by its probability.")
        if left_out:
            read = rows + left_out
            told.append(
                f"{left_out:,} of {read:,} training rows were left out: "
                f"{format_exclusion_reasons(examples.excluded, RENDER_ERROR_REASONS)}."
            )
        return told

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return a few rows as they were trained on, token by token."""
        first = range(min(PREVIEW_ROWS, len(examples)))
        return {
            "rendered": [
                {"id": examples.ids[row], "tokens": mark_supervised_tokens(self.tokenizer, examples.tokens[row], examples.targets[row])}
                for row in first
            ]
        }

    def _log_probabilities(self, model: Any, examples: TrainingExamples) -> Any:
        return completion_log_probabilities(model, examples.tokens, examples.targets, self.tokenizer.pad_token_id, head=self._head(model))

    def _head(self, model: Any) -> LMHead:
        """Return the model's head, which is looked up once for each model; the id of a deleted model may be reused."""
        found = self._heads.get(id(model))
        if found is None or found.layer is not unwrap_model(model).get_output_embeddings():
            self._heads.clear()
            found = self._heads[id(model)] = LMHead.from_model(model, self._states)
        return found


def render_rows(
    rows: Sequence[TrainingRow], tokenizer: Any, max_tokens: int
) -> tuple[list[tuple[TrainingRow, RenderedConversation]], list[tuple[TrainingRow, str]]]:
    """Return the rows that can be trained on, as tokens, and those that can't, each with its reason (a key of `RENDER_ERROR_REASONS`)."""
    fit: list[tuple[TrainingRow, RenderedConversation]] = []
    unfit: list[tuple[TrainingRow, str]] = []
    for row in rows:
        try:
            if row.weight <= 0:
                raise RenderError("weight")
            fit.append((row, render_conversation(tokenizer, build_conversation(row.content, top_answer(row)), max_tokens)))
        except RenderError as refused:
            unfit.append((row, refused.reason))
    return fit, unfit


def build_completion_examples(rows: Sequence[TrainingRow], tokenizer: Any, *, max_tokens: int, split: str) -> TrainingExamples:
    """Tokenize rows once and mark the supervised tokens.

    Raises UserError, with the counts by reason, when no row can be trained on.
    """
    fit, unfit = render_rows(rows, tokenizer, max_tokens)
    reasons = dict(Counter(reason for _, reason in {(row.id, reason) for row, reason in unfit}))
    if not fit:
        raise UserError(
            f"no row of the {split} split can be trained on: {format_exclusion_reasons(reasons, RENDER_ERROR_REASONS)}",
            "preceptor train … --dry-run shows the rows",
        )
    kept = [row for row, _ in fit]
    return build_masked_examples(
        (row.id for row in kept), (row.group for row in kept), (each for _, each in fit), [row.weight for row in kept], reasons
    )


def mark_supervised_tokens(tokenizer: Any, tokens: Sequence[int], supervised: Sequence[Any]) -> list[dict[str, Any]]:
    """Return each token as text, and whether it is supervised."""
    return [{"text": tokenizer.decode([token]), "learnt": bool(mask)} for token, mask in zip(tokens, supervised, strict=True)]


def preview_completions(splits: dict[str, Sequence[TrainingRow]], tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """Return counts of rows, tokens and supervised tokens of each split, those left out by reason, and the first rows token by token."""
    cut = {split: render_rows(rows, tokenizer, max_tokens) for split, rows in splits.items()}
    fit = {split: [each for _, each in found] for split, (found, _) in cut.items()}
    left_out = list(dict.fromkeys((split, row.id, reason) for split, (_, unfit) in cut.items() for row, reason in unfit))
    first = {row.id: (row, each) for row, each in reversed(next(iter(cut.values()))[0])}  # of several answers the first
    return {
        "template": "plain: prompt, then completion" if uses_plain_template(tokenizer) else "the tokenizer's own",
        "rows": {split: len({row.id for row, _ in found}) for split, (found, _) in cut.items()},
        "tokens": {split: sum(len(each.tokens) for each in found) for split, found in fit.items()},
        "supervised_tokens": {split: sum(sum(each.supervised) for each in found) for split, found in fit.items()},
        "longest": {split: max((len(each.tokens) for each in found), default=0) for split, found in fit.items()},
        "left_out": {split: dict(Counter(reason for side, _, reason in left_out if side == split)) for split in cut},
        "left_out_rows": list_excluded_rows(left_out, RENDER_ERROR_REASONS),
        "examples": [
            {"id": row.id, "tokens": mark_supervised_tokens(tokenizer, each.tokens, each.supervised)}
            for row, each in [*reversed(first.values())][:PREVIEW_ROWS]
        ],
    }


BATCH_TOKENS, FEWEST_STEPS = 2048, 8  # tokens of a step, at most, and steps of an epoch, at least


class SFTOptions(OptionsBase):
    """Options of the recipe `sft`; the defaults suit a small model, an adapter and some hundred rows or more."""

    adapter: AdapterKind = Field("lora", description="low-rank adapter: lora, dora, lora-top (upper third); none: all weights")
    rank: int = Field(DEFAULT_RANK, ge=1, le=512, description="rank of the adapter")
    epochs: float = Field(3.0, gt=0, description="maximum passes over the training rows")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    batch_size: int | None = Field(
        None, ge=1, description=f"rows per step; none: as many as fit {BATCH_TOKENS:,} tokens with padding, at most an eighth of all"
    )
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(1024, ge=4, description="longer rows are excluded and counted, never truncated")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evals_per_epoch: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    targets: TargetMode = Field(
        "soft", description="every answer by its probability, the most probable one by its certainty, or that one alone (hard)"
    )
    retention: RetentionMethod = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("sft", options=SFTOptions)
def train_sft(run: TrainingRun, options: SFTOptions) -> Model:
    """Fine-tune a causal model by cross-entropy on the tokens of completions, each up to its end-of-turn token.

    Supports: prompts, conversations, corrections, adapters, row weights, resume.

    Assumes: rows whose target is the text to be generated; of several answers, see `targets`. Refuses: several labels at once, a base that
    isn't a causal model, quantized weights without a GPU, an empty train or validation split, rows of which none can be trained on, a
    folder that another process or another run holds. Leaves out, counted by reason: rows that it would train on wrongly.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)

    def train() -> Model:
        prepared = prepare_sft(run, options)
        trainer, measured = fit_task(
            prepared.task, sft_train_config(prepared.task, options), options, prepared.tokenizer, causal_general_data
        )
        return save_trained_model(prepared.task, trainer, prepared.tokenizer, measured=measured, options=options.model_dump())

    return run_recipe(run, "sft", options, train)


def preview_sft(run: TrainingRun, options: SFTOptions) -> dict[str, Any]:
    """Return what `train_sft` would train on, see `preview_completions`; nothing is trained or written."""
    check_causal(run.base)
    refuse_quantized(run.base)
    tokenizer = prepare_tokenizer(run.base)
    limit = resolve_max_tokens(run, tokenizer, options)
    return preview_completions(_read_sft_splits(run, options), tokenizer, limit)


train_sft.preview = preview_sft


@dataclass(frozen=True)
class PreparedSFT:
    """A run's rows as tokens, before anything is trained."""

    task: TrainingTask
    tokenizer: Any


def prepare_sft(run: TrainingRun, options: SFTOptions) -> PreparedSFT:
    """Render and tokenize both splits as training does; raises UserError when none of a split's rows can be trained on."""
    tokenizer = prepare_tokenizer(run.base)
    limit = resolve_max_tokens(run, tokenizer, options)
    splits = _read_sft_splits(run, options)
    train, validation = (build_completion_examples(found, tokenizer, max_tokens=limit, split=split) for split, found in splits.items())
    return PreparedSFT(
        TrainingTask(run, limit, SFTObjective(run.base, tokenizer, options.adapter, options.rank), train, validation), tokenizer
    )


def sft_train_config(task: TrainingTask, options: SFTOptions) -> TrainConfig:
    """Return the configuration for the task's rows; what is resolved by measuring is still open."""
    return TrainConfig(
        epochs=options.epochs, min_steps=1, batch_size=options.batch_size or 1,
        batch_tokens=None if options.batch_size else min(BATCH_TOKENS, 1 + sum(task.train.lengths) // FEWEST_STEPS),
        weight_decay=0.0,
        patience=options.patience, evals_per_epoch=options.evals_per_epoch, seed=task.run.seed,
    )  # fmt: skip


def to_sft_options(options: OptionsBase) -> SFTOptions:
    """Return the options of another recipe for completions, as far as `sft` has them too."""
    return SFTOptions(**options.model_dump(include=set(SFTOptions.model_fields), exclude_unset=True))


def _read_sft_splits(run: TrainingRun, options: SFTOptions) -> dict[str, Sequence[TrainingRow]]:
    """Return the rows of both splits, with one answer each."""
    train = read_rows(run, "train", rows=options.max_train_rows, answers=False)
    rows = {"train": train, "validation": read_rows(run, "validation", answers=False)}
    return {split: expand_answers(found, options.targets) for split, found in rows.items()}
