"""Fine-tune a causal model by direct preference optimization (Rafailov et al., 2023), with the posterior of each pair.

Of two answers to one prompt the better one becomes more probable, relative to the base, which is the reference. The reference reads each
pair once before training, and its log-probabilities are kept in the run's folder. `preview_dpo` shows what training would see.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field

from preceptor.models.adapters import DEFAULT_RANK, AdapterKind, refuse_quantized
from preceptor.models.atomic_folder import weights_digest
from preceptor.models.causal_lm import check_causal, prepare_tokenizer
from preceptor.models.chat_template import uses_plain_template
from preceptor.models.completion_scoring import (
    LMHead,
    collate_pairs,
    completion_log_probabilities,
    pair_log_probabilities,
    score_pairs,
    supports_joined_pairs,
)
from preceptor.models.parity import PROBE_COUNT, digest_tokens
from preceptor.registry import OptionsBase
from preceptor.statistics import preference_estimates
from preceptor.training.examples import TrainingExamples, format_exclusion_reasons, list_excluded_rows, read_rows, resolve_max_tokens
from preceptor.training.forgetting import RetentionWithoutTexts, causal_general_data, fit_task
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.preference_pairs import (
    SELECTION_BIAS_NOTE,
    TIE_WEIGHT,
    TOKENIZED_PAIR_EXCLUSION_REASONS,
    PreferenceLoss,
    TokenizedPair,
    TokenizedSplit,
    build_pair_examples,
    margin_cross_entropy,
    preference_losses,
    tokenize_pairs,
)
from preceptor.training.recipe import SplitName, TrainingProgress, TrainingRun, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.training.sft import PREVIEW_ROWS, SFTObjective, mark_supervised_tokens
from preceptor.types import Estimate, FloatArray, Model, json_digest

MIN_ONE_SIDED_PAIRS = 10  # so many pairs that all go one way are not a coincidence
MAX_CHOSEN_DROP = 0.2  # share of its log-probability that the chosen answer may lose before it is reported


def pair_warnings(examples: TrainingExamples) -> list[str]:
    """Return sentences on pairs that were left out, ties, and preferences that all go one way."""
    told = []
    if left_out := sum(examples.excluded.values()):
        told.append(
            f"{left_out:,} of {len(examples) + left_out:,} training pairs were left out: "
            f"{format_exclusion_reasons(examples.excluded, TOKENIZED_PAIR_EXCLUSION_REASONS)}."
        )
    ties = sum(each.tie for each in examples.targets)
    if ties:
        told.append(f"{ties:,} of the training pairs are ties, which count a quarter and hold both answers together.")
    return [*told, *one_sided_warning(examples.targets)]


def one_sided_warning(sides: Sequence[TokenizedPair]) -> list[str]:
    """Return a sentence where all of `MIN_ONE_SIDED_PAIRS` pairs or more prefer the same kind of answer.

    The kinds are the longer answer, the shorter one, and the one shown first.
    """
    decided = [each for each in sides if not each.tie]
    if len(decided) < MIN_ONE_SIDED_PAIRS:
        return []
    gaps = [each.characters[0] - each.characters[1] for each in decided]
    for way, found in (("longer", all(gap > 0 for gap in gaps)), ("shorter", all(gap < 0 for gap in gaps))):
        if found:
            return [
                f"In each of {len(decided):,} pairs the {way} answer is the better one: a model that learns nothing but to write {way} "
                "answers does as well on them. normalise=length takes length out of the comparison; pairs that go the other way show more."
            ]
    if all(each.chosen_first for each in decided):
        return [
            f"In each of {len(decided):,} pairs the first response is the better one. The model doesn't see places; but where people saw "
            "them in this order, they may have chosen the place."
        ]
    return []


def preference_metrics(sums: FloatArray, margins: FloatArray, sides: Sequence[TokenizedPair], groups: Sequence[str]) -> dict[str, Any]:
    """Return the manifest's metrics of pairs that weren't trained on, with intervals, see `preference_estimates`.

    Also returns how the log-probability of the chosen and of the rejected answer changed: in nats an answer and, of the chosen, as a share
    of what it was. sums: the trained model's log-probabilities, (pairs, 2). margins: (pairs,). sides: the pairs, with their reference.
    groups: of the pairs.
    """
    lengths = np.array([each.characters for each in sides], dtype=np.float64)
    found = preference_estimates(margins, np.array([each.posterior for each in sides]), lengths, np.asarray(groups))
    before = np.array([each.reference for each in sides])
    change = (sums - before).mean(axis=0)
    return {
        "pairs": len(sides),
        **{name: estimate.to_dict() for name, estimate in found.items()},
        "chosen_change": float(change[0]),
        "rejected_change": float(change[1]),
        "chosen_change_share": float(change[0] / -before[:, 0].mean()),
    }


def preference_summary_lines(figures: dict[str, Any], nll: float | None) -> list[str]:
    """Return the metrics of `preference_metrics` in sentences.

    nll: weight of the chosen answers' cross-entropy in training, for the advice.
    """
    told = []
    if "accuracy" in figures:
        right = Estimate.from_dict(figures["accuracy"])
        told.append(
            f"Of validation pairs the model has moved towards the answer that people prefer in {right.format_percent()}"
            + (
                f"; people prefer the longer one in {Estimate.from_dict(figures['longer_wins']).format_percent()}."
                if "longer_wins" in figures
                else "."
            )
        )
        told.append("That may be chance: more pairs, or more judgments on each, would tell." if right.low <= 0.5 else SELECTION_BIAS_NOTE)
    loss = Estimate.from_dict(figures["log_loss"])
    told.append(f"People's cross-entropy is {loss.value:.3f} nats a pair [{loss.low:.3f}, {loss.high:.3f}]; of a coin it is 0.693.")
    if figures["chosen_change_share"] < -MAX_CHOSEN_DROP:
        what = "a cross-entropy on chosen answers (sft_weight=0.2) holds them" if not nll else "more of it (a larger sft_weight) holds them"
        told.append(f"The chosen answers lost {-figures['chosen_change_share']:.0%} of their own log-probability too: {what}.")
    return told


RatioNormalization = Literal["none", "length"]


@dataclass(frozen=True)
class DPOObjective(SFTObjective):
    """Learn the preference loss of each pair (see `preference_losses`), from `base`, which is also the reference.

    loss_name: how people's posterior enters the loss. beta: strength of the pull to the reference. normalization: log-ratios as they are,
    or divided by the number of tokens. shares_prompt: whether a prompt is read once for both answers, see `supports_joined_pairs`. summary:
    further sentences of the summary.
    """

    recipe: str = "dpo"
    loss_name: PreferenceLoss = "soft"
    beta: float = 0.1
    normalization: RatioNormalization = "none"
    shares_prompt: bool = False
    summary: tuple[str, ...] = ()

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return (1e-6, 5e-6, 2e-5) if self.adapter == "none" else (5e-5, 2e-4, 5e-4)

    @property
    def remedies(self) -> tuple[str, ...]:
        return ("slower", "l2sp")

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return both answers of these pairs as padded tokens, with reference log-probabilities, targets and weights."""
        picked = np.asarray(rows, dtype=np.int64)
        sides: list[TokenizedPair] = [examples.targets[row] for row in rows]
        columns = {
            "reference": [each.reference for each in sides],
            "counts": [each.fork.supervised_counts for each in sides],
            "target": [each.target for each in sides],
            "written": [each.nll_weight for each in sides],
            "weights": examples.weights[picked].tolist(),
        }
        return {
            **collate_pairs([each.fork for each in sides], self.pad_id, joined=self.shares_prompt),
            **{name: torch.tensor(column, dtype=torch.float32) for name, column in columns.items()},
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's preference losses, a scalar with gradients."""
        sums = pair_log_probabilities(model, self._head(model), inputs, len(inputs["rows"]))
        margins = self.margins(sums, inputs["reference"], inputs["counts"])
        each = preference_losses(margins, inputs["target"], self.loss_name)
        if bool(inputs["written"].any()):
            each = each - inputs["written"] * sums[:, 0] / inputs["counts"][:, 0]
        return (each * inputs["weights"]).sum()

    def margins(self, sums: Any, reference: Any, counts: Any) -> Any:
        """Return the margin h of each pair, (pairs,).

        sums, reference: summed log-probabilities of both answers, (pairs, 2). counts: tokens of both answers, (pairs, 2).
        """
        ratios = sums - reference
        if self.normalization == "length":
            ratios = ratios / counts
        return self.beta * (ratios[:, 0] - ratios[:, 1])

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return people's cross-entropy of σ(h), whatever the loss, and how often the model prefers what people do.

        Ties have no better answer, and count in the loss only.
        """
        _, margins, sides = self.score_pairs(model, examples)
        losses = margin_cross_entropy(margins, np.array([each.posterior for each in sides]))
        decided = np.array([not each.tie for each in sides])
        right = (margins > 0) + 0.5 * (margins == 0)
        return ValidationResult(
            losses, examples.loss_weights, {"accuracy": float(np.average(right[decided], weights=examples.weights[decided]))}
        )

    def score_pairs(self, model: Any, examples: TrainingExamples) -> tuple[FloatArray, FloatArray, Sequence[TokenizedPair]]:
        """Return summed log-probabilities of both answers (pairs, 2), margins h (pairs,), and the pairs; the model keeps its mode."""
        sides: Sequence[TokenizedPair] = examples.targets
        sums = score_pairs(model, self._head(model), [each.fork for each in sides], self.pad_id, joined=self.shares_prompt)
        reference, counts = np.array([each.reference for each in sides]), np.array([each.fork.supervised_counts for each in sides])
        return sums, self.margins(sums, reference, counts), sides

    def with_kl_monitor(self, base: Any, rows: TrainingExamples) -> DPOObjective:
        """Return this objective unchanged: the reference is part of its loss."""
        return self

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the log-probabilities of some rows' best answers, each read alone, as parity renders them."""
        best = [(row, id_) for row, id_ in enumerate(examples.ids) if examples.targets[row].best]
        first = list({id_: row for row, id_ in reversed(best)}.values())
        few = examples.select(sorted(first)[:PROBE_COUNT])
        tokens = [[*each.fork.prompt, *each.fork.answers[0]] for each in few.targets]
        masks = [each.supervised for each in few.targets]
        found = completion_log_probabilities(model, tokens, masks, self.pad_id, head=self._head(model))
        rows = {
            id_: {"tokens": digest_tokens(ids, mask), "log_probabilities": said.tolist()}
            for id_, ids, mask, said in zip(few.ids, tokens, masks, found, strict=True)
        }
        return {"kind": "causal", "rows": rows}

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return the sentences on the trained model, and the warnings on the pairs."""
        return [*self.summary, *pair_warnings(examples)]

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return a few pairs as they were trained on, token by token; the model generates texts, so its manifest has no answers."""
        first = range(min(PREVIEW_ROWS, len(examples)))
        return {
            "answers": [],
            "rendered": [{"id": examples.ids[row], **preview_pair(self.tokenizer, examples.targets[row])} for row in first],
        }


def preview_pair(tokenizer: Any, sides: TokenizedPair) -> dict[str, Any]:
    """Return a pair's prompt and chosen answer token by token, the rejected answer, and the probability that the chosen one is better."""
    fork = sides.fork
    chosen, rejected = (
        mark_supervised_tokens(tokenizer, [*prompt, *answer], [*[False] * len(prompt), *learnt])
        for prompt, answer, learnt in zip((fork.prompt, []), fork.answers, fork.supervised, strict=True)
    )
    return {"tokens": chosen, "rejected": rejected, "probability": round(sides.posterior, 4)}


AnyPreferenceObjective = TypeVar("AnyPreferenceObjective", bound=DPOObjective)


def add_reference_log_probabilities(task: TrainingTask, objective: AnyPreferenceObjective) -> tuple[TrainingTask, AnyPreferenceObjective]:
    """Return the task and its objective with the reference log-probabilities of all pairs.

    Prompts are read once for both answers where the model supports it, see `supports_joined_pairs`. The base reads in float32 and
    evaluation mode, so that no dropout is in it. The result is cached by the base's weights and the pairs' tokens: another start of the
    run, or a trial of its sweep, reads nothing again.
    """
    sides = [*task.train.targets, *task.validation.targets]
    key = json_digest([weights_digest(task.run.base), [[each.fork.joined_tokens, len(each.fork.prompt)] for each in sides]])
    known = cached_json(task.run.folder / f"reference-{key[:16]}.json", partial(_read_reference, task, objective, sides))
    said, count = known["log_probabilities"], len(task.train)
    able = replace(objective, shares_prompt=known["joined"])
    return replace(
        task, objective=able, train=_attach_reference(task.train, said[:count]), validation=_attach_reference(task.validation, said[count:])
    ), able


def _read_reference(task: TrainingTask, objective: DPOObjective, sides: Sequence[TokenizedPair]) -> dict[str, Any]:
    task.run.progress(TrainingProgress("what the base makes of each pair", 0, len(sides)))
    model = task.create_model()
    head = LMHead.from_model(model)
    joined = supports_joined_pairs(model, head, objective.pad_id, task.max_tokens)
    found = score_pairs(model, head, [each.fork for each in sides], objective.pad_id, joined=joined)
    del model, head
    gc.collect()  # makes room for the weights that are trained
    return {"joined": joined, "log_probabilities": found.tolist()}


def _attach_reference(rows: TrainingExamples, said: Sequence[Sequence[float]]) -> TrainingExamples:
    return replace(
        rows, targets=[replace(each, reference=(first, second)) for each, (first, second) in zip(rows.targets, said, strict=True)]
    )


def preview_pairs(cuts: Mapping[str, TokenizedSplit], tokenizer: Any) -> dict[str, Any]:
    """Return counts of rows, pairs, tokens and supervised tokens of each split, and those left out by reason.

    Also returns the first pairs token by token, and what all training pairs have in common.
    """
    sides = {split: [each for _, each in cut.pairs] for split, cut in cuts.items()}
    first = next(iter(cuts.values())).pairs[:PREVIEW_ROWS]
    left_out = [(split, id_, reason) for split, cut in cuts.items() for id_, reason in cut.excluded]
    return {
        "template": "plain: prompt, then completion" if uses_plain_template(tokenizer) else "the tokenizer's own",
        "rows": {split: len({pair.id for pair, _ in cut.pairs}) for split, cut in cuts.items()},
        "pairs": {split: len(found) for split, found in sides.items()},
        "ties": {split: sum(each.tie for each in found) for split, found in sides.items()},
        "tokens": {split: sum(len(each.fork.joined_tokens) for each in found) for split, found in sides.items()},
        "supervised_tokens": {split: sum(sum(each.fork.supervised_counts) for each in found) for split, found in sides.items()},
        "longest": {split: max((each.fork.max_length for each in found), default=0) for split, found in sides.items()},
        "left_out": {split: cut.exclusion_counts for split, cut in cuts.items()},
        "left_out_rows": list_excluded_rows(left_out, TOKENIZED_PAIR_EXCLUSION_REASONS),
        "examples": [{"id": pair.id, **preview_pair(tokenizer, each)} for pair, each in first],
        "notes": one_sided_warning(next(iter(sides.values()))),
    }


BATCH_TOKENS, MIN_EPOCH_STEPS = 4096, 8  # tokens of a step, at most, and steps of an epoch, at least
PATIENCE, EVALUATIONS = 3, 2
BETA, BETA_PER_TOKEN = 0.1, 5.0  # of summed log-ratios, and of log-ratios per token, which are that much smaller


class DPOOptions(OptionsBase):
    """Options of the recipe `dpo`; the defaults suit a small model, an adapter and some hundred pairs or more."""

    adapter: AdapterKind = Field("lora", description="low-rank adapter: lora, dora, lora-top (upper third); none: all weights")
    epochs: float = Field(3.0, gt=0, description="maximum passes over the training pairs")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    batch_size: int | None = Field(
        None, ge=1, description=f"pairs per step; none: as many as fit {BATCH_TOKENS:,} tokens with padding, at most an eighth of all"
    )
    beta: float | None = Field(
        None,
        gt=0,
        description=f"strength of the KL penalty; none: {BETA}, or {BETA_PER_TOKEN:g} with normalise=length",
    )
    loss_type: PreferenceLoss = Field(
        "soft", description="how the loss uses people's posterior: soft, hard, smoothing, robust or geometric"
    )
    label_smoothing: float = Field(0.1, ge=0, lt=0.5, description="error rate assumed for all preferences if loss_type=smoothing (cDPO)")
    normalise: RatioNormalization = Field("none", description="length: log-ratios per token instead of per answer")
    sft_weight: float | None = Field(
        None, ge=0, description="weight of the chosen answer's own cross-entropy; none: 1 for people's corrections, 0 for others"
    )
    max_tokens: int = Field(1024, ge=4, description="pairs with a longer prompt and answer are excluded, never truncated")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("dpo", options=DPOOptions)
def train_dpo(run: TrainingRun, options: DPOOptions) -> Model:
    """Fine-tune a causal model by direct preference optimisation (Rafailov et al. 2023) with the posterior of each pair.

    Supports: comparisons of two or more responses, ties, corrections of drafts (each a target and a pair), adapters, row weights, resume.

    Assumes: rows with two answers, see `extract_pairs`. Refuses: a base that isn't a causal model, quantized weights without a GPU, a split
    without a pair that says which answer is better, a folder that another process or another run holds. Leaves out, counted by reason:
    pairs of equal answers, undecided ones, those that are too long or can't be rendered.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)

    def train() -> Model:
        task, objective = prepare_dpo(run, options)
        plan = TrainConfig(
            epochs=options.epochs, min_steps=1, batch_size=options.batch_size or 1,
            batch_tokens=None if options.batch_size else min(BATCH_TOKENS, 1 + sum(task.train.lengths) // MIN_EPOCH_STEPS),
            weight_decay=0.0, patience=PATIENCE, evals_per_epoch=EVALUATIONS, seed=run.seed,
        )  # fmt: skip
        trainer, measured = fit_task(task, plan, options, objective.tokenizer, causal_general_data)
        seen = preference_metrics(*objective.score_pairs(trainer.model, task.validation), task.validation.groups)
        told = replace(task, objective=replace(objective, summary=tuple(preference_summary_lines(seen, options.sft_weight))))
        return save_trained_model(
            told, trainer, objective.tokenizer,
            measured={**measured, "beta": objective.beta, "preference": seen}, options=options.model_dump(),
        )  # fmt: skip

    return run_recipe(run, "dpo", options, train)


def preview_dpo(run: TrainingRun, options: DPOOptions) -> dict[str, Any]:
    """Return what `train_dpo` would train on, see `preview_pairs`; nothing is trained or written."""
    check_causal(run.base)
    refuse_quantized(run.base)
    tokenizer = prepare_tokenizer(run.base)
    return preview_pairs(_tokenize_splits(run, options, tokenizer), tokenizer)


train_dpo.preview = preview_dpo


def prepare_dpo(run: TrainingRun, options: DPOOptions) -> tuple[TrainingTask, DPOObjective]:
    """Return the task with both splits' pairs as tokens and their reference, and its objective.

    Raises UserError when a split has no pair to learn from.
    """
    tokenizer = prepare_tokenizer(run.base)
    train, validation = (build_pair_examples(cut, split, TIE_WEIGHT) for split, cut in _tokenize_splits(run, options, tokenizer).items())
    beta = options.beta or (BETA if options.normalise == "none" else BETA_PER_TOKEN)
    objective = DPOObjective(
        run.base, tokenizer, options.adapter, DEFAULT_RANK, loss_name=options.loss_type, beta=beta, normalization=options.normalise
    )  # fmt: skip
    return add_reference_log_probabilities(
        TrainingTask(run, resolve_max_tokens(run, tokenizer, options), objective, train, validation), objective
    )


def _tokenize_splits(run: TrainingRun, options: DPOOptions, tokenizer: Any) -> dict[str, TokenizedSplit]:
    limit = resolve_max_tokens(run, tokenizer, options)
    splits: tuple[SplitName, ...] = ("train", "validation")
    return {
        split: tokenize_pairs(
            read_rows(run, split, answers=False),
            tokenizer,
            limit,
            loss=options.loss_type,
            smoothing=options.label_smoothing,
            nll=options.sft_weight,
        )
        for split in splits
    }
