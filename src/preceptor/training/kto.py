"""Fine-tune a causal model on unpaired binary feedback by Kahneman-Tversky optimization (Ethayarajh et al., 2024).

A row holds one answer, and the probability that people call it good. Answers that people call good become more probable than under the
base, others less, each by itself. For each row, r = log π − log π_ref of its answer, summed over tokens. Gains and losses are counted from
the reference point z₀, the mean of r over answers to other prompts, at least 0, an estimate of KL(π‖π_ref), which has no gradient. With the
probability t that people call the answer good,

    loss = t·λ_D·(1 − σ(β(r − z₀))) + (1 − t)·λ_U·(1 − σ(β(z₀ − r)))

The paper's loss is that for t of 1 or 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from preceptor.errors import UserError
from preceptor.models.adapters import DEFAULT_RANK, AdapterKind, refuse_quantized
from preceptor.models.causal_lm import check_causal, prepare_tokenizer
from preceptor.models.chat_template import RENDER_ERROR_REASONS as UNFIT
from preceptor.models.chat_template import RenderedConversation, RenderError, build_conversation, render_conversation, uses_plain_template
from preceptor.models.completion_scoring import (
    AnswerPair,
    collate_completions,
    completion_log_probabilities,
    find_supervised_positions,
    log_probabilities_at_positions,
    score_pairs,
)
from preceptor.models.parity import PROBE_COUNT, digest_tokens
from preceptor.registry import OptionsBase
from preceptor.statistics import bootstrap, estimate_mean
from preceptor.training.dpo import DPOObjective, add_reference_log_probabilities
from preceptor.training.examples import TrainingExamples, format_exclusion_reasons, list_excluded_rows, read_rows, resolve_max_tokens
from preceptor.training.forgetting import RetentionWithoutTexts, causal_general_data, fit_task
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.preference_pairs import SELECTION_BIAS_NOTE
from preceptor.training.recipe import SplitName, TrainingData, TrainingRow, TrainingRun, recipes
from preceptor.training.run_folder import run_recipe
from preceptor.training.sft import PREVIEW_ROWS, mark_supervised_tokens
from preceptor.types import Estimate, FloatArray, Model

_POSITIVE_LABELS = (
    "good", "yes", "up", "true", "right", "correct", "ok", "okay", "positive", "like", "liked", "helpful", "useful", "acceptable",
    "accept", "accepted", "approved", "pass", "better", "desirable", "satisfied", "thumbs up", "1", "+", "👍", "✓",
)  # fmt: skip
MIN_RESPONSES = 8  # rows from which the model's distance from its base is estimated at once: fewer are too noisy
FEEDBACK_EXCLUSION_REASONS = {
    **UNFIT,
    "no response": "the row has no response that was judged: neither a completion nor one response nor a last turn of the assistant",
    "too long": "prompt and response are longer than max_tokens: the response would be cut",
}


@dataclass(frozen=True, slots=True)
class BinaryFeedback:
    """What is learnt of a row.

    fork: its prompt, with its own answer and with the answer to another prompt. chance: probability that people call its answer good.
    supervised: mask of its supervised tokens. reference: log-probability of both answers under the base, in nats.
    """

    fork: AnswerPair
    chance: float
    supervised: Sequence[bool]
    reference: tuple[float, float] = (0.0, 0.0)


def resolve_label_values(snapshot: TrainingData, named: str | None) -> dict[str, float]:
    """Return how good each answer says that a response is: 1 or 0; ½ for the middle of a rating.

    named: the good ones, separated by commas; None: of two answers the one with a positive name, of a rating those above its middle. Raises
    UserError where that can't be resolved, or where no answer has that name.
    """
    answers = snapshot.answers
    if named is not None:
        wanted = {part.strip() for part in named.split(",")}
        if unknown := sorted(wanted - set(answers)):
            raise UserError(f"no answer of the snapshot is called {unknown[0]!r}", f"positive_labels: one or more of {', '.join(answers)}")
        if wanted == set(answers):
            raise UserError("every answer is named as a good one: there is nothing to hold against", "name fewer: -o positive_labels=…")
        return {answer: float(answer in wanted) for answer in answers}
    if not answers or snapshot.target_kind == "multilabel":
        raise UserError(
            "the targets of this snapshot don't say of a response whether it is good", "freeze a question of kind choice or rating"
        )
    called = [answer for answer in answers if " ".join(re.split(r"[\s_-]+", answer.strip().lower())) in _POSITIVE_LABELS]
    if len(answers) == 2 and len(called) == 1:
        return {answer: float(answer in called) for answer in answers}
    if snapshot.target_kind == "ordinal":
        middle = (len(answers) - 1) / 2
        return {answer: 0.5 + 0.5 * float(np.sign(place - middle)) for place, answer in enumerate(answers)}
    raise UserError(f"which of {', '.join(map(repr, answers))} means that a response is good can't be told", "say it: -o positive_labels=…")


def judged_response(content: Mapping[str, Any]) -> str | None:
    """Return the one response that people judged, or None."""
    responses = content.get("responses", ())
    if len(responses) == 1:
        return str(responses[0])
    if content.get("completion"):
        return str(content["completion"])
    turns = content.get("messages", ())
    said = turns[-1].get("content") if turns and turns[-1]["role"] == "assistant" else None
    return said if isinstance(said, str) and not responses else None


@dataclass(frozen=True)
class RenderedFeedback:
    """A split's rows whose response can be rendered, with how good it is, and those that are left out, with their reasons."""

    rows: Sequence[tuple[TrainingRow, RenderedConversation, float]]
    excluded: Sequence[tuple[str, str]]

    @property
    def exclusion_counts(self) -> dict[str, int]:
        return dict(Counter(reason for _, reason in self.excluded))


def render_feedback(
    rows: Sequence[TrainingRow], good: Mapping[str, float], tokenizer: Any, max_tokens: int, targets: Literal["soft", "hard"]
) -> RenderedFeedback:
    """Return the rows as tokens.

    good: the value of each answer, see `resolve_label_values`. targets: "hard" rounds the probability that the response is good to 0, ½ or
    1.
    """
    found: list[tuple[TrainingRow, RenderedConversation, float]] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        response = judged_response(row.content)
        if response is None or row.weight <= 0:
            left_out.append((row.id, "no response" if response is None else "weight"))
            continue
        try:
            cut = render_conversation(tokenizer, build_conversation(row.content, response), max_tokens)
        except RenderError as refused:
            left_out.append((row.id, refused.reason))
            continue
        chance = sum(share * good.get(answer, 0.0) for answer, share in row.target.items())
        found.append((row, cut, chance if targets == "soft" else 0.5 + 0.5 * float(np.sign(chance - 0.5))))
    return RenderedFeedback(found, left_out)


def build_feedback_examples(found: RenderedFeedback, split: str, max_tokens: int, seed: int) -> TrainingExamples:
    """Return the rows as examples, each prompt also with another row's answer.

    Raises UserError when there are too few, or when all responses are called the same.
    """
    told = format_exclusion_reasons(found.exclusion_counts, FEEDBACK_EXCLUSION_REASONS)
    fewest = MIN_RESPONSES if split == "train" else 2
    if len(found.rows) < fewest:
        why = f": {told}" if told else ""
        raise UserError(
            f"the {split} split has {len(found.rows)} responses that can be trained on, and kto needs {fewest} or more{why}",
            "judge more of them; preceptor train … --dry-run shows the rows",
        )
    chances = np.array([chance for _, _, chance in found.rows])
    if split == "train" and (chances.min() >= 0.5 or chances.max() <= 0.5):
        word = "half good" if chances.min() == chances.max() == 0.5 else "good" if chances.min() >= 0.5 else "bad"
        raise UserError(f"people call every training response {word}: there is nothing to hold against", "judge responses of both kinds")
    rows, cuts = [row for row, _, _ in found.rows], [cut for _, cut, _ in found.rows]
    thumbs = [
        BinaryFeedback(_fork_answers(own, cuts[other], max_tokens), float(chance), own.supervised)
        for own, other, chance in zip(cuts, assign_mismatched_answers(cuts, seed), chances, strict=True)
    ]
    return TrainingExamples(
        tokens=[cut.tokens for cut in cuts], targets=thumbs, weights=np.array([row.weight for row in rows], dtype=np.float64),
        supervised_counts=np.ones(len(rows), dtype=np.int64), ids=[row.id for row in rows], groups=[row.group for row in rows],
        excluded=found.exclusion_counts,
    )  # fmt: skip


def assign_mismatched_answers(cuts: Sequence[RenderedConversation], seed: int) -> list[int]:
    """Return another row for each row, by seed: the next in a random order that has another prompt.

    Where all prompts are equal it is simply the next.
    """
    order = np.random.default_rng(seed).permutation(len(cuts)).tolist()
    prompts = [tuple(cut.tokens[: cut.prompt_length]) for cut in cuts]
    found = [0] * len(cuts)
    for at, row in enumerate(order):
        following = [order[(at + step) % len(order)] for step in range(1, len(order))]
        found[row] = next((other for other in following if prompts[other] != prompts[row]), following[0])
    return found


def label_weights(examples: TrainingExamples) -> tuple[float, float]:
    """Return how much of the rows' weight is good and how much is bad."""
    chances = np.array([thumb.chance for thumb in examples.targets])
    return float(chances @ examples.weights), float((1 - chances) @ examples.weights)


def _fork_answers(own: RenderedConversation, other: RenderedConversation, max_tokens: int) -> AnswerPair:
    """Return a prompt with its answer and with as much of another's as fits."""
    prompt, room = own.tokens[: own.prompt_length], max_tokens - own.prompt_length
    answers = own.tokens[own.prompt_length :], other.tokens[other.prompt_length :][:room]
    return AnswerPair(prompt, answers, (own.supervised[own.prompt_length :], other.supervised[other.prompt_length :][:room]))


MAX_CLASS_RATIO = 4 / 3  # λ_D·n_D is between 1 and so many times λ_U·n_U: the paper's interval


def kto_losses(rewards: Any, chances: Any, level: Any, *, beta: float, desirable: float, undesirable: float) -> Any:
    """Return the loss of each row, (n,), from its reward r and probability t, (n,), and the reference point z₀."""
    good, bad = torch.sigmoid(beta * (rewards - level)), torch.sigmoid(beta * (level - rewards))
    return chances * desirable * (1 - good) + (1 - chances) * undesirable * (1 - bad)


def balance_class_weights(good: float, bad: float) -> tuple[float, float]:
    """Return λ_D and λ_U, one of them 1 and the other 1 or more, such that λ_D·good / (λ_U·bad) lies between 1 and 4/3."""
    ratio = good / bad
    if ratio < 1:
        return 1 / ratio, 1.0
    return 1.0, max(1.0, ratio / MAX_CLASS_RATIO)


@dataclass(frozen=True)
class KTOObjective(DPOObjective):
    """Learn the loss of `kto_losses`, from `base`, which is also the reference.

    desirable, undesirable: λ_D, λ_U. compares_rows: a batch must not be split into pieces.
    """

    recipe: str = "kto"
    desirable: float = 1.0
    undesirable: float = 1.0
    compares_rows: bool = True  # z₀ is estimated on the whole batch

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return the rows, and answers to other prompts: of these rows, and of more where they are fewer than `MIN_RESPONSES`."""
        picked = np.asarray(rows, dtype=np.int64)
        own: list[BinaryFeedback] = [examples.targets[row] for row in rows]
        taken = set(rows)
        more = [row for row in range(min(len(examples), len(taken) + MIN_RESPONSES)) if row not in taken][
            : max(0, MIN_RESPONSES - len(rows))
        ]
        others = [*own, *(examples.targets[row] for row in more)]
        other = _pad_rows([_answer_tokens(thumb, 1) for thumb in others], self.pad_id)
        columns = {
            "chances": [thumb.chance for thumb in own],
            "reference": [thumb.reference[0] for thumb in own],
            "other_reference": [thumb.reference[1] for thumb in others],
            "weights": examples.weights[picked].tolist(),
        }
        return {
            **_pad_rows([_answer_tokens(thumb, 0) for thumb in own], self.pad_id),
            **{f"other_{name}": each for name, each in other.items()},
            **{name: torch.tensor(column, dtype=torch.float32) for name, column in columns.items()},
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's losses, a scalar with gradients."""
        rewards = self._sums(model, inputs) - inputs["reference"]
        others = {name.removeprefix("other_"): each for name, each in inputs.items() if name.startswith("other_")}
        with torch.no_grad():
            level = (self._sums(model, others) - others["reference"]).mean().clamp(min=0)
        return (self._losses(rewards, inputs["chances"], level) * inputs["weights"]).sum()

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the loss of each row, the share of answers on the right side of z₀, and z₀, which is estimated on all rows."""
        rewards, level, chances = self.rewards(model, examples)
        losses = self._losses(torch.as_tensor(rewards), torch.as_tensor(chances), torch.tensor(level)).double().numpy()
        right = np.sign(rewards - level) == np.sign(chances - 0.5)
        decided = chances != 0.5
        figures = {"accuracy": float(np.average(right[decided], weights=examples.weights[decided]))} if decided.any() else {}
        return ValidationResult(losses, examples.loss_weights, {**figures, "reference_point": level})

    def rewards(self, model: Any, examples: TrainingExamples) -> tuple[FloatArray, float, FloatArray]:
        """Return r of each row (n,), z₀ of all, and t (n,); the model keeps its mode."""
        thumbs: Sequence[BinaryFeedback] = examples.targets
        sums = score_pairs(model, self._head(model), [each.fork for each in thumbs], self.pad_id, joined=self.shares_prompt)
        ratios = sums - np.array([each.reference for each in thumbs])
        return ratios[:, 0], max(0.0, float(ratios[:, 1].mean())), np.array([each.chance for each in thumbs])

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the log-probabilities of the first rows' answers, with which parity is verified."""
        few = examples.select(range(min(PROBE_COUNT, len(examples))))
        masks = [thumb.supervised for thumb in few.targets]
        found = completion_log_probabilities(model, few.tokens, masks, self.pad_id, head=self._head(model))
        rows = {
            id_: {"tokens": digest_tokens(ids, mask), "log_probabilities": said.tolist()}
            for id_, ids, mask, said in zip(few.ids, few.tokens, masks, found, strict=True)
        }
        return {"kind": "causal", "rows": rows}

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return the sentences on the trained model."""
        return list(self.summary)

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return a few rows as they were trained on, token by token; the model generates texts, so its manifest has no answers."""
        return {
            "answers": [],
            "rendered": [preview_feedback_row(self.tokenizer, examples, row) for row in range(min(PREVIEW_ROWS, len(examples)))],
        }

    def _losses(self, rewards: Any, chances: Any, level: Any) -> Any:
        return kto_losses(rewards, chances, level, beta=self.beta, desirable=self.desirable, undesirable=self.undesirable)

    def _sums(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the summed log-probability of each row's supervised tokens, (rows,), with gradients."""
        keep, wanted, _ = find_supervised_positions({**inputs, "weights": inputs["reference"]})
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        places = keep.nonzero(as_tuple=True)
        said = log_probabilities_at_positions(model, self._head(model), given, places, wanted)
        return torch.zeros(len(keep), dtype=said.dtype, device=said.device).index_add(0, places[0], said)


def preview_feedback_row(tokenizer: Any, examples: TrainingExamples, row: int) -> dict[str, Any]:
    """Return a row token by token, and the probability that its answer is good."""
    thumb: BinaryFeedback = examples.targets[row]
    tokens = mark_supervised_tokens(tokenizer, examples.tokens[row], thumb.supervised)
    return {"id": examples.ids[row], "tokens": tokens, "probability": round(thumb.chance, 4)}


def feedback_metrics(rewards: FloatArray, level: float, chances: FloatArray, groups: Sequence[str]) -> dict[str, Estimate]:
    """Return the metrics of rows that weren't trained on.

    accuracy: share of answers on the right side of z₀. separation: how often a good answer's r is larger than a bad one's (AUROC), 0.5 for
    a model that learnt nothing. change_good, change_bad: mean r. Each is left out where there are no rows for it.
    """
    codes, found = np.asarray(groups), dict[str, Estimate]()
    decided = chances != 0.5
    right = 0.5 + 0.5 * np.sign(rewards - level) * np.sign(chances - 0.5)
    if decided.any():
        found["accuracy"] = estimate_mean(right[decided], clusters=codes[decided])
    good, bad = np.flatnonzero(chances > 0.5), np.flatnonzero(chances < 0.5)
    for name, rows in (("change_good", good), ("change_bad", bad)):
        if len(rows):
            found[name] = estimate_mean(rewards[rows], clusters=codes[rows], within=(-np.inf, np.inf))
    if len(good) and len(bad) and len(set(groups)) > 1:
        above = 0.5 + 0.5 * np.sign(rewards[good][:, None] - rewards[bad])

        def separation(weights: FloatArray) -> FloatArray:
            goods, bads = weights[..., good], weights[..., bad]
            both = goods.sum(axis=-1) * bads.sum(axis=-1)
            return np.where(both > 0, ((goods @ above) * bads).sum(axis=-1) / np.where(both > 0, both, 1), 0.5)

        found["separation"] = bootstrap(separation, clusters=codes, within=(0.0, 1.0))
    return found


def feedback_summary_lines(found: Mapping[str, Estimate]) -> list[str]:
    """Return the metrics of `feedback_metrics` in sentences."""
    if "separation" not in found:
        return []
    each = found["separation"]
    told = f"Of a good and a bad validation response the good one gained more in {each.format_percent()}."
    return [told, "That may be chance: more responses, or more judgments on each, would tell." if each.low <= 0.5 else SELECTION_BIAS_NOTE]


def _answer_tokens(thumb: BinaryFeedback, side: int) -> tuple[list[int], list[bool]]:
    """Return the tokens of the prompt with one of both answers, and the mask of the supervised ones."""
    prompt = thumb.fork.prompt
    return [*prompt, *thumb.fork.answers[side]], [*[False] * len(prompt), *thumb.fork.supervised[side]]


def _pad_rows(rows: Sequence[tuple[list[int], list[bool]]], pad_id: int) -> dict[str, Any]:
    return collate_completions([tokens for tokens, _ in rows], [mask for _, mask in rows], pad_id)


PATIENCE, EVALUATIONS = 3, 2


class KTOOptions(OptionsBase):
    """Options of the recipe `kto`; the defaults suit a small model, an adapter and some hundred responses or more."""

    positive_labels: str | None = Field(
        None, description="answers that mean a good response, separated by commas; none: inferred from the names"
    )
    adapter: AdapterKind = Field("lora", description="low-rank adapter: lora, dora, lora-top (upper third); none: all weights")
    epochs: float = Field(3.0, gt=0, description="maximum passes over the training rows")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    batch_size: int = Field(16, ge=MIN_RESPONSES, description="rows per step, from which the KL divergence is estimated; at least 8")
    beta: float = Field(0.1, gt=0, description="strength of the KL penalty: higher stays nearer to the base")
    desirable_weight: float | None = Field(None, gt=0, description="weight of good responses; none: balances both kinds")
    undesirable_weight: float | None = Field(None, gt=0, description="weight of bad responses; none: balances both kinds")
    targets: Literal["soft", "hard"] = Field("soft", description="the probability that a response is good, or the more probable word")
    max_tokens: int = Field(1024, ge=4, description="longer rows are excluded and counted, never truncated")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("kto", options=KTOOptions)
def train_kto(run: TrainingRun, options: KTOOptions) -> Model:
    """Fine-tune a causal model by Kahneman–Tversky optimisation (Ethayarajh et al. 2024) with the posterior of each response.

    Supports: answers of a choice or rating about one response, conversations, adapters, row weights, resume.

    Assumes: rows with a prompt and one response, and a target that says how good it is. Refuses: a base that isn't a causal model,
    quantized weights without a GPU, answers of which none is known to mean good, an empty split or one of fewer than 8 responses, training
    responses that are all called the same, a folder that another process or another run holds. Leaves out, counted by reason: rows without
    a response, those that are too long or can't be rendered.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    good = resolve_label_values(run.snapshot, options.positive_labels)

    def train() -> Model:
        task, objective = prepare_kto(run, options)
        plan = TrainConfig(
            epochs=options.epochs, min_steps=1, batch_size=options.batch_size,
            weight_decay=0.0, patience=PATIENCE, evals_per_epoch=EVALUATIONS, seed=run.seed,
        )  # fmt: skip
        trainer, measured = fit_task(task, plan, options, objective.tokenizer, causal_general_data)
        seen = feedback_metrics(*objective.rewards(trainer.model, task.validation), task.validation.groups)
        words = [_describe_label_values(good), *_exclusion_lines(task), *feedback_summary_lines(seen)]
        about = {"weights_of": {"desirable": objective.desirable, "undesirable": objective.undesirable}, "beta": objective.beta}
        thumbs = {"thumbs": {"responses": len(task.validation), **{name: each.to_dict() for name, each in seen.items()}}}
        told = replace(task, objective=replace(objective, summary=tuple(words)))
        return save_trained_model(
            told, trainer, objective.tokenizer, measured={**measured, **about, **thumbs}, options=options.model_dump()
        )

    return run_recipe(run, "kto", options, train)


def preview_kto(run: TrainingRun, options: KTOOptions) -> dict[str, Any]:
    """Return counts of rows, tokens and supervised tokens of each split, those left out by reason, and the first rows token by token.

    Nothing is trained or written.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    tokenizer = prepare_tokenizer(run.base)
    limit = resolve_max_tokens(run, tokenizer, options)
    found = _read_feedback_splits(run, options, tokenizer, limit)
    examples = {split: build_feedback_examples(each, split, limit, run.seed) for split, each in found.items()}
    left_out = [(split, id_, reason) for split, each in found.items() for id_, reason in each.excluded]
    return {
        "template": "plain: prompt, then completion" if uses_plain_template(tokenizer) else "the tokenizer's own",
        "rows": {split: len(each) for split, each in examples.items()},
        "tokens": {split: sum(each.lengths) for split, each in examples.items()},
        "supervised_tokens": {split: sum(sum(thumb.supervised) for thumb in each.targets) for split, each in examples.items()},
        "longest": {split: max(each.lengths) for split, each in examples.items()},
        "left_out": {split: each.exclusion_counts for split, each in found.items()},
        "left_out_rows": list_excluded_rows(left_out, FEEDBACK_EXCLUSION_REASONS),
        "examples": [preview_feedback_row(tokenizer, examples["train"], row) for row in range(min(PREVIEW_ROWS, len(examples["train"])))],
        "notes": [_describe_label_values(resolve_label_values(run.snapshot, options.positive_labels))],
    }


train_kto.preview = preview_kto


def prepare_kto(run: TrainingRun, options: KTOOptions) -> tuple[TrainingTask, KTOObjective]:
    """Return the task with both splits' rows as tokens and their reference, and its objective.

    Raises UserError for splits that can't be learnt.
    """
    tokenizer = prepare_tokenizer(run.base)
    limit = resolve_max_tokens(run, tokenizer, options)
    found = _read_feedback_splits(run, options, tokenizer, limit)
    train, validation = (build_feedback_examples(each, split, limit, run.seed) for split, each in found.items())
    desirable, undesirable = balance_class_weights(*label_weights(train))
    objective = KTOObjective(
        run.base, tokenizer, options.adapter, DEFAULT_RANK, beta=options.beta,
        desirable=options.desirable_weight or desirable, undesirable=options.undesirable_weight or undesirable,
    )  # fmt: skip
    return add_reference_log_probabilities(TrainingTask(run, limit, objective, train, validation), objective)


def _read_feedback_splits(run: TrainingRun, options: KTOOptions, tokenizer: Any, limit: int) -> dict[str, RenderedFeedback]:
    good = resolve_label_values(run.snapshot, options.positive_labels)
    splits: tuple[SplitName, ...] = ("train", "validation")
    return {split: render_feedback(read_rows(run, split, answers=False), good, tokenizer, limit, options.targets) for split in splits}


def _describe_label_values(good: dict[str, float]) -> str:
    """Describe which answers were taken to mean what."""
    told = []
    for share, word in ((1.0, "good"), (0.5, "half good"), (0.0, "bad")):
        if found := [repr(answer) for answer, each in good.items() if each == share]:
            told.append(f"{', '.join(found)} {'means' if len(found) == 1 else 'mean'} {word}")
    return "; ".join(told) + "."


def _exclusion_lines(task: TrainingTask) -> list[str]:
    count = sum(task.train.excluded.values())
    told = (
        f"{count:,} of {count + len(task.train):,} training rows were left out: "
        f"{format_exclusion_reasons(task.train.excluded, FEEDBACK_EXCLUSION_REASONS)}."
    )
    return [told] if count else []
