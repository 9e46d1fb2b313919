"""Train a reward model on comparisons: Bradley-Terry on posteriors, with ties by Davidson (1970).

A reward is one number for an answer; differences of rewards are log-odds that people prefer one answer to the other. The outcomes of a
comparison are: first better, a tie, second better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import log_softmax

from preceptor.errors import UserError
from preceptor.models.adapters import AdapterKind, attach_adapter, refuse_quantized
from preceptor.models.batching import pad_sequences
from preceptor.models.chat_template import RENDER_ERROR_REASONS as UNFIT
from preceptor.models.chat_template import RenderError, build_conversation
from preceptor.models.classifier import REWARD_LABEL, RewardTokenizer, prepare_reward_model, scale_reward_head, score_tokens
from preceptor.models.loading import check_model_folder
from preceptor.models.parity import PROBE_COUNT
from preceptor.registry import OptionsBase
from preceptor.statistics import preference_estimates
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import TrainingExamples, format_exclusion_reasons, list_excluded_rows, read_rows, resolve_max_tokens
from preceptor.training.forgetting import RetentionWithoutTexts, encoder_general_data, fit_task
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.preference_pairs import PAIR_EXCLUSION_REASONS, SELECTION_BIAS_NOTE, ResponsePair, extract_pairs, pair_answers
from preceptor.training.recipe import TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import run_recipe
from preceptor.types import Estimate, FloatArray, Model

NO_TIES = -30.0  # log ν where a tie is no answer: its probability is 0 in any number format, and the loss is the two-way one
CENTERING_WEIGHT = 0.01  # of the squared sum of both rewards: comparisons alone leave their level open (Eisenstein et al. 2023)
MAX_LOG_SCALE = 3.0  # bound of |log scale|


def davidson_loss(margins: Any, targets: Any, tie: float) -> Any:
    """Return the cross-entropy of each pair in nats, (n,) float32, with gradients by the margins.

    margins: reward of the first answer less the second's, Δ, (n,). targets: probabilities that the first is better, of a tie, that the
    second is, (n, 3). tie: log ν. The model's are softmax(Δ/2, log ν, −Δ/2); without ties (`NO_TIES`) that is −p·log σ(Δ) − (1−p)·log
    σ(−Δ).
    """
    half = margins.float() / 2
    return -(targets * torch.log_softmax(torch.stack([half, torch.full_like(half, tie), -half], dim=1), dim=1)).sum(dim=1)


def centering_penalty(first: Any, second: Any) -> Any:
    """Return the penalty that keeps both rewards of a pair around zero, (n,)."""
    return CENTERING_WEIGHT * (first.float() + second.float()) ** 2


def estimate_tie_log_odds(targets: FloatArray, weights: FloatArray) -> float:
    """Estimate log ν at which equally good answers tie as often as these pairs do, (n, 3); `NO_TIES` where none does."""
    share = float(np.average(targets[:, 1], weights=weights))
    return float(np.log(2 * share / (1 - share))) if 0 < share < 1 else NO_TIES


def fit_davidson_scale(margins: ArrayLike, targets: ArrayLike, weights: ArrayLike, tie: float) -> tuple[float, float]:
    """Fit the factor of all margins, and log ν, on pairs that weren't trained on.

    The factor's logarithm has a prior of mean 0 and standard deviation 1, worth one pair: otherwise a few pairs that are all right would
    claim that the model is never wrong. Without ties log ν stays as it is.
    """
    said, soft, mass = (np.asarray(each, dtype=np.float64) for each in (margins, targets, weights))
    mass = mass / mass.mean()

    def loss(parameters: FloatArray) -> float:
        half, level = np.exp(parameters[0]) * said / 2, parameters[1] if len(parameters) == 2 else NO_TIES
        each = -(soft * log_softmax(np.stack([half, np.full_like(half, level), -half], axis=1), axis=1)).sum(axis=1)
        return float((mass * each).sum() + parameters[0] ** 2 / 2)

    ties = tie > NO_TIES
    bounds = [(-MAX_LOG_SCALE, MAX_LOG_SCALE), (NO_TIES, -NO_TIES)][: 1 + ties]
    found = minimize(loss, np.array([0.0, tie][: 1 + ties]), method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), float(found[1]) if ties else NO_TIES


RANKING_EXCLUSION_REASONS = {
    **UNFIT,
    **PAIR_EXCLUSION_REASONS,
    "too long": "prompt and answer are longer than max_tokens: neither may be cut",
}
_PREVIEW_PAIRS = 3  # pairs shown token by token


@dataclass(frozen=True)
class RankedPairs:
    """A split's pairs, ready to train on.

    pairs: as extracted. examples: tokens of both answers one after the other, targets (n, 4), see `SPLIT_COLUMN`. excluded: rows and their
    reasons.
    """

    pairs: Sequence[ResponsePair]
    examples: TrainingExamples
    excluded: Sequence[tuple[str, str]] = field(default_factory=list)

    @property
    def answer_lengths(self) -> FloatArray:
        """Characters of both answers, (n, 2)."""
        return np.array([[len(pair.chosen), len(pair.rejected)] for pair in self.pairs], dtype=np.float64)


def build_ranked_pairs(
    rows: Sequence[TrainingRow], reader: RewardTokenizer, *, max_tokens: int, targets: Literal["soft", "hard"], split: str
) -> RankedPairs:
    """Return the pairs of rows that can be trained on.

    Raises UserError, with the counts by reason, when there is none, or when no training pair has a better answer.
    """
    pairs: list[ResponsePair] = []
    tokens: list[list[int]] = []
    learnt: list[list[float]] = []
    left_out: dict[tuple[str, str], None] = {}
    for row in rows:
        found = extract_pairs(row) if row.weight > 0 else []
        if not found:
            left_out[row.id, "no pair" if row.weight > 0 else "weight"] = None
        for pair in found:
            if pair.chosen.strip() == pair.rejected.strip():
                left_out[row.id, "the same twice"] = None
                continue
            try:
                first, second = (_tokenize_answer(reader, pair.content, answer, max_tokens) for answer in (pair.chosen, pair.rejected))
            except RenderError as refused:
                left_out[row.id, refused.reason] = None
                continue
            pairs.append(pair)
            tokens.append([*first, *second])
            learnt.append([len(first), *outcome_probabilities(pair, targets)])
    reasons = dict(Counter(reason for _, reason in left_out))
    if not pairs:
        raise UserError(
            f"no row of the {split} split can be compared: {format_exclusion_reasons(reasons, RANKING_EXCLUSION_REASONS)}",
            "preceptor train reward … --dry-run shows the rows",
        )
    table = np.array(learnt)
    if split == "train" and not (table[:, 1] != table[:, 3]).any():
        raise UserError("people call both answers of each training pair equally good: no order can be learnt", "compare others")
    examples = TrainingExamples(
        tokens=tokens, targets=table, weights=np.array([pair.weight for pair in pairs]),
        supervised_counts=np.ones(len(pairs), dtype=np.int64),
        ids=[pair.id for pair in pairs], groups=[pair.group for pair in pairs], excluded=reasons,
    )  # fmt: skip
    return RankedPairs(pairs, examples, list(left_out))


def outcome_probabilities(pair: ResponsePair, targets: Literal["soft", "hard"]) -> tuple[float, float, float]:
    """Return the probabilities that the chosen answer is better, of a tie, and that the rejected one is.

    targets: "hard" gives all to the most probable outcome, or half to both answers where neither is better: which of them is called chosen
    is then only a matter of their places.
    """
    if targets == "hard" and pair.probability > 0.5:
        return 1.0, 0.0, 0.0
    if targets == "hard":
        return (0.0, 1.0, 0.0) if pair.tie else (0.5, 0.0, 0.5)
    return (
        max(pair.probability - pair.tie_probability / 2, 0.0),
        pair.tie_probability,
        max(1 - pair.probability - pair.tie_probability / 2, 0.0),
    )


def tokenize_probe_answers(rows: Sequence[TrainingRow], reader: RewardTokenizer, max_tokens: int) -> dict[str, list[list[int]]]:
    """Return the tokens of every answer to the first rows that can be read whole, by row id, with which parity is verified."""
    found: dict[str, list[list[int]]] = {}
    for row in rows:
        try:
            read = [_tokenize_answer(reader, row.content, answer, max_tokens) for answer in pair_answers(row)]
        except RenderError:
            continue
        if read:
            found[row.id] = read
        if len(found) == PROBE_COUNT:
            break
    return found


def preview_ranked_pairs(splits: Mapping[str, RankedPairs], reader: RewardTokenizer) -> dict[str, Any]:
    """Return counts of pairs, tokens and excluded rows of each split, and the first pairs token by token."""
    examples = {split: found.examples for split, found in splits.items()}
    return {
        "template": "two texts, prompt and answer" if reader.encodes_text_pair else "the tokenizer's own",
        "rows": {split: len(set(found.ids)) for split, found in examples.items()},
        "pairs": {split: len(found) for split, found in examples.items()},
        "tokens": {split: sum(found.lengths) for split, found in examples.items()},
        "supervised_tokens": dict.fromkeys(splits, 0),
        "longest": {split: max(found.lengths) for split, found in examples.items()},
        "left_out": {split: dict(found.excluded) for split, found in examples.items()},
        "left_out_rows": list_excluded_rows(
            ((split, id_, reason) for split, found in splits.items() for id_, reason in found.excluded), RANKING_EXCLUSION_REASONS
        ),
        "examples": list(_preview_rows(splits["train"].examples, reader)),
    }


def _preview_rows(examples: TrainingExamples, reader: RewardTokenizer) -> Iterator[dict[str, Any]]:
    for row in range(min(_PREVIEW_PAIRS, len(examples))):
        split, *target = examples.targets[row].tolist()
        named = dict(zip(("first is better", "tie", "second is better"), target, strict=True))
        tokens = [{"text": reader.tokenizer.decode([token]), "learnt": False} for token in examples.tokens[row]]
        yield {"id": examples.ids[row], "tokens": tokens, "second_begins": int(split), "target": named}


def _tokenize_answer(reader: RewardTokenizer, content: Mapping[str, Any], answer: str, max_tokens: int) -> list[int]:
    tokens = reader.encode_conversation(build_conversation(content, answer))
    if len(tokens) > max_tokens:
        raise RenderError("too long")
    return tokens


SPLIT_COLUMN, FIRST_COLUMN, TIE_COLUMN, SECOND_COLUMN = range(
    4
)  # columns of a row's targets: where the tokens of its second answer begin, and three probabilities


@dataclass(frozen=True)
class RewardModelObjective(ClassificationObjective):
    """Learn the three-way loss of a pair's two rewards; a row is a pair, the tokens of its second answer after those of the first.

    tie_log_odds: log ν of the loss. probe_tokens: tokens of every answer to a few validation rows. summary: sentences of the summary.
    """

    recipe: str = "reward"
    tie_log_odds: float = NO_TIES
    probe_tokens: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    summary: tuple[str, ...] = ()

    def create_model(self) -> Any:
        """Return the base with a reward head, and its adapter."""
        return attach_adapter(prepare_reward_model(self.base, self.tokenizer), self.adapter)

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return both answers of these pairs as padded tokens, all first ones before the second ones, with targets and weights."""
        picked = np.asarray(rows, dtype=np.int64)
        first, second = _split_pair_tokens(examples.select(rows))
        return {
            **pad_sequences([*first, *second], self.pad_id),
            "targets": torch.as_tensor(examples.targets[picked][:, FIRST_COLUMN:], dtype=torch.float32),
            "weights": torch.as_tensor(examples.weights[picked], dtype=torch.float32),
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's losses, a scalar with gradients."""
        scores = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0].float()
        first, second = scores.chunk(2)
        each = davidson_loss(first - second, inputs["targets"], self.tie_log_odds) + centering_penalty(first, second)
        return (each * inputs["weights"]).sum()

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the loss of each pair, and the share of pairs whose better answer has the larger reward, undecided pairs left out."""
        margins = self.margins(model, examples)
        losses = (
            davidson_loss(torch.as_tensor(margins), torch.as_tensor(examples.targets[:, FIRST_COLUMN:]), self.tie_log_odds).double().numpy()
        )
        lead = examples.targets[:, FIRST_COLUMN] - examples.targets[:, SECOND_COLUMN]
        right = (np.sign(margins) == np.sign(lead))[lead != 0]
        return ValidationResult(losses, examples.weights, {"accuracy": float(right.mean())} if len(right) else {})

    def margins(self, model: Any, examples: TrainingExamples) -> FloatArray:
        """Return the reward of each pair's first answer less the second's, (n,)."""
        first, second = _split_pair_tokens(examples)
        scores = score_tokens(model, [*first, *second], self.tokenizer)
        return scores[: len(first)] - scores[len(first) :]

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the rewards of the probe answers, with which parity is verified."""
        rows = {id_: score_tokens(model, tokens, self.tokenizer).tolist() for id_, tokens in self.probe_tokens.items()}
        return {"kind": REWARD_LABEL, "rows": rows}

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return the sentences on the trained model."""
        return list(self.summary)

    def fit_calibration(self, model: Any, examples: TrainingExamples) -> tuple[float, float]:
        """Return the factor of the rewards at which their differences are log-odds, and log ν there, from pairs that weren't trained on."""
        return fit_davidson_scale(self.margins(model, examples), examples.targets[:, FIRST_COLUMN:], examples.weights, self.tie_log_odds)


def _split_pair_tokens(examples: TrainingExamples) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    splits = examples.targets[:, SPLIT_COLUMN].astype(int).tolist()
    pairs = list(zip(examples.tokens, splits, strict=True))
    return [tokens[:split] for tokens, split in pairs], [tokens[split:] for tokens, split in pairs]


def ranking_metrics(ranking: RewardModelObjective, model: Any, examples: TrainingExamples, lengths: FloatArray) -> dict[str, Estimate]:
    """Return the metrics of held-out pairs, see `preference_estimates`.

    lengths: characters of both answers, (n, 2).
    """
    chance = examples.targets[:, FIRST_COLUMN] + examples.targets[:, TIE_COLUMN] / 2
    return preference_estimates(ranking.margins(model, examples), chance, lengths, examples.groups)


def ranking_summary_lines(found: Mapping[str, Estimate]) -> tuple[str, ...]:
    """Return the metrics in plain sentences."""
    said = []
    if "accuracy" in found:
        said.append(
            f"On validation pairs it takes the side that people more likely "
            f"took in {found['accuracy'].format_percent()}. {SELECTION_BIAS_NOTE}"
        )
    if "longer_wins" in found:
        said.append(
            f"People took the longer answer in {found['longer_wins'].format_percent()}: that is what going by length alone would reach."
        )
    if "accuracy_shorter_won" in found:
        said.append(f"Where people took the shorter answer, it does in {found['accuracy_shorter_won'].format_percent()}.")
    if "length_correlation" in found:
        said.append(f"Its margins and the differences of length have a correlation of {found['length_correlation']}.")
    return tuple(said)


WEIGHT_DECAY = 0.01


class RewardModelOptions(OptionsBase):
    """Options of the recipe `reward`; the defaults suit a small encoder, or a small generative model, and some hundred pairs."""

    epochs: float = Field(3.0, gt=0, description="maximum passes over the training pairs")
    min_steps: int = Field(100, ge=1, description="minimum number of steps, even if `epochs` gives fewer")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    batch_size: int = Field(16, ge=1, description="pairs per step")
    adapter: AdapterKind = Field("none", description="none: all weights; lora, dora, lora-top: a low-rank adapter and the head")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior that one answer is better, or the more probable one alone")
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(512, ge=8, description="longer pairs are excluded and counted, never truncated")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evals_per_epoch: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("reward", options=RewardModelOptions)
def train_reward_model(run: TrainingRun, options: RewardModelOptions) -> Model:
    """Train a reward model by Bradley–Terry on posteriors, with ties by Davidson's third answer.

    The loss is −p·log σ(Δr) − (1−p)·log σ(−Δr) + 0.01·(r₁ + r₂)²; afterwards rewards are scaled on validation pairs, so that differences
    are log-odds. Supports: comparisons of two or more responses, corrections of a draft, ties, row weights, encoders and decoders,
    adapters, resume.

    Assumes: rows of a `compare` question, or of a `write` question with a draft. Refuses: a base that isn't a model, quantized weights
    without a GPU, an empty train or validation split, one without a pair that it can read, training pairs that are all ties, a folder that
    another process or another run holds. Leaves out, counted by reason: rows without two different answers, too long ones.
    """
    check_model_folder(run.base)
    refuse_quantized(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)

    def train() -> Model:
        prepared = prepare_reward_base(run, options)
        task, reader = prepared.task, prepared.reader
        settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "patience", "evals_per_epoch"})
        trainer, measured = fit_task(
            task, TrainConfig(**settled, weight_decay=WEIGHT_DECAY, seed=run.seed), options, reader.tokenizer, encoder_general_data
        )
        return _save_reward_model(prepared, trainer, measured, options)

    return run_recipe(run, REWARD_LABEL, options, train)


def preview_reward_model(run: TrainingRun, options: RewardModelOptions) -> dict[str, Any]:
    """Return what `train_reward_model` would read, see `preview_ranked_pairs`; nothing is trained or written."""
    check_model_folder(run.base)
    refuse_quantized(run.base)
    reader = RewardTokenizer.from_base(run.base)
    return preview_ranked_pairs(_rank_splits(run, options, reader, resolve_max_tokens(run, reader.tokenizer, options)), reader)


train_reward_model.preview = preview_reward_model


@dataclass(frozen=True)
class PreparedRewardModel:
    """A run's pairs as tokens, before anything is trained."""

    task: TrainingTask
    reader: RewardTokenizer
    validation: RankedPairs


def prepare_reward_base(run: TrainingRun, options: RewardModelOptions) -> PreparedRewardModel:
    """Read both splits as training does; raises UserError when none of a split's rows can be compared."""
    reader = RewardTokenizer.from_base(run.base)
    limit = resolve_max_tokens(run, reader.tokenizer, options)
    reader.tokenizer.model_max_length = limit  # a later reader refuses what training left out
    splits = _rank_splits(run, options, reader, limit)
    train, validation = splits["train"].examples, splits["validation"].examples
    objective = RewardModelObjective(
        run.base, (REWARD_LABEL,), reader.tokenizer, options.adapter,
        tie_log_odds=estimate_tie_log_odds(train.targets[:, FIRST_COLUMN:], train.weights),
        probe_tokens=tokenize_probe_answers(read_rows(run, "validation", answers=False), reader, limit),
    )  # fmt: skip
    return PreparedRewardModel(TrainingTask(run, limit, objective, train, validation), reader, splits["validation"])


def _rank_splits(run: TrainingRun, options: RewardModelOptions, reader: RewardTokenizer, limit: int) -> dict[str, RankedPairs]:
    rows = {
        "train": read_rows(run, "train", rows=options.max_train_rows, answers=False),
        "validation": read_rows(run, "validation", answers=False),
    }
    return {
        split: build_ranked_pairs(found, reader, max_tokens=limit, targets=options.targets, split=split) for split, found in rows.items()
    }


def _save_reward_model(prepared: PreparedRewardModel, trainer: Any, measured: dict[str, Any], options: RewardModelOptions) -> Model:
    """Scale the rewards to log-odds, and save the model with its metrics on validation pairs."""
    task = prepared.task
    ranking: RewardModelObjective = task.objective  # type: ignore[assignment]
    scale, tie = ranking.fit_calibration(trainer.model, task.validation)
    scale_reward_head(trainer.model, scale)
    found = ranking_metrics(ranking, trainer.model, task.validation, prepared.validation.answer_lengths)
    words = (
        f"Rewards were multiplied by {scale:.3g}, so that their differences are log-odds on validation pairs.",
        *ranking_summary_lines(found),
    )
    if task.train.excluded:
        words += (
            (
                f"{sum(task.train.excluded.values()):,} training rows were left out: "
                f"{format_exclusion_reasons(task.train.excluded, RANKING_EXCLUSION_REASONS)}."
            ),
        )
    about = {
        "calibration": {"scale": scale, **({"tie_log_odds": tie} if tie > NO_TIES else {})},
        "preference": {"pairs": len(task.validation), **{name: each.to_dict() for name, each in found.items()}},
    }
    told_task = replace(task, objective=replace(ranking, summary=words))
    return save_trained_model(told_task, trainer, prepared.reader.tokenizer, measured={**measured, **about}, options=options.model_dump())
