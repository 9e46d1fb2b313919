"""Turn prompts into rollouts and rollouts into training examples: advantages, policy losses and samples to read.

Prompts are tokenized as in serving. An advantage is how much better an answer is than the others to the same prompt, and weighs its
gradient. The best, median and worst answers to held-out prompts at each evaluation are kept for people to read.

Estimators of KL(policy‖base) from a token that the policy sampled, with d = log base − log policy (Schulman 2020): k1 = −d, k2 = d²/2, k3 =
e^d − d − 1. As estimates k1 and k3 are unbiased, and k3 is never negative. As a loss on the policy's own samples, only k2 has the right
gradient: that of k1 is zero on average, and that of k3 is the gradient of KL(base‖policy).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.generation.rollouts import Rollout
from preceptor.models.causal_lm import ChatTokenizer
from preceptor.models.chat_template import build_conversation
from preceptor.training.examples import TrainingExamples, format_exclusion_reasons
from preceptor.training.recipe import SampledAnswer, TrainingRow
from preceptor.training.rl.composite_reward import RewardScores
from preceptor.types import FloatArray

_EPSILON = 1e-4  # added to a standard deviation, as in the GRPO paper


def leave_one_out_advantages(rewards: FloatArray) -> FloatArray:
    """Return the reward less the mean of the other answers' (Ahmadian et al. 2024, "Back to Basics"): an unbiased baseline.

    rewards: (prompts, answers), two answers or more. Equal to G/(G−1)·(r − mean of all G).
    """
    answers = rewards.shape[1]
    return np.asarray(centered_advantages(rewards) * (answers / (answers - 1)))


def centered_advantages(rewards: FloatArray) -> FloatArray:
    """Return the reward less the mean of its group (Liu et al. 2025, "Dr. GRPO"): no group counts more for being easy or hard."""
    return np.asarray(rewards - rewards.mean(axis=1, keepdims=True))


def standardized_advantages(rewards: FloatArray) -> FloatArray:
    """Return the centered advantages in the group's standard deviations, n − 1 (Shao et al. 2024, "DeepSeekMath")."""
    return np.asarray(centered_advantages(rewards) / (rewards.std(axis=1, ddof=1, keepdims=True) + _EPSILON))


CLIP_RANGE = 0.2  # how far a token's probability ratio may move within one round before its gradient is clipped


def policy_losses(said: Any, drawn: Any, advantages: Any) -> Any:
    """Return −min(ρA, clip(ρ, 0.8, 1.2)·A) with ρ = e^(said − drawn), (tokens,) (Schulman et al. 2017; Shao et al. 2024, equation 3).

    said: log-probabilities of the tokens now, with gradients; drawn: when they were sampled; advantages: of their answers, (tokens,).
    """
    ratio = torch.exp(said - drawn)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP_RANGE, 1 + CLIP_RANGE) * advantages)


def kl_losses(said: Any, drawn: Any, base: Any) -> Any:
    """Return k2 of each token, (tokens,), weighted by its probability ratio since it was sampled.

    base: log-probabilities under the base.
    """
    return torch.exp(said - drawn).detach() * (base - said).square() / 2


def kl_estimate_k1(said: FloatArray, base: FloatArray) -> FloatArray:
    """Return log policy − log base of each token: KL on average."""
    return said - base


def kl_estimate_k3(said: FloatArray, base: FloatArray) -> FloatArray:
    """Return e^d − d − 1 of each token: KL on average, and never negative."""
    apart = base - said
    return np.asarray(np.exp(apart) - apart - 1)


PROMPT_EXCLUSION_REASONS = {
    "weight": "the row has no weight",
    "empty": "the prompt is empty",
    "window": "prompt and answer (max_new_tokens) are longer than the model reads at once",
    "marks": "the prompt holds special tokens of the model, or its chat template refuses it",
}


def tokenize_prompts(rows: Sequence[TrainingRow], chat: ChatTokenizer, *, room: int) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Return the tokens of each row's prompt by the row's number, and the reason of each prompt that is excluded.

    Reasons are keys of `PROMPT_EXCLUSION_REASONS`. room: tokens that an answer may have.
    """
    tokens: dict[int, list[int]] = {}
    refused: dict[int, str] = {}
    for number, row in enumerate(rows):
        found = _tokenize_prompt(row, chat)
        if isinstance(found, str):
            refused[number] = found
        elif len(found) + room > chat.limit:
            refused[number] = "window"
        else:
            tokens[number] = found
    return tokens, refused


def build_prompt_examples(rows: Sequence[TrainingRow], chat: ChatTokenizer, *, room: int, split: str) -> TrainingExamples:
    """Return the rows whose prompts can be used, each its own target; raises UserError, with the counts by reason, when there are none."""
    tokens, refused = tokenize_prompts(rows, chat, room=room)
    reasons = dict(Counter(refused.values()))
    if not tokens:
        hint = "fewer max_new_tokens, or a base that reads more" if "window" in reasons else "preceptor train … --dry-run shows the rows"
        raise UserError(f"no prompt of the {split} split can be asked: {format_exclusion_reasons(reasons, PROMPT_EXCLUSION_REASONS)}", hint)
    kept = [rows[number] for number in tokens]
    return TrainingExamples(
        tokens=list(tokens.values()),
        targets=kept,
        weights=np.array([row.weight for row in kept], dtype=np.float64),
        supervised_counts=np.ones(len(kept), dtype=np.int64),
        ids=[row.id for row in kept],
        groups=[row.group for row in kept],
        excluded=reasons,
    )


@dataclass(frozen=True)
class PlaceholderRow:
    """A row with a placeholder for its answer."""

    id: str
    text: str
    content: Mapping[str, Any]
    weight: float
    group: str
    target: Mapping[str, float] = field(default_factory=lambda: {"Yes.": 1.0})


def fill_missing_answers(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Return the rows, with a placeholder where nobody has given an answer: parity can be verified on any text."""
    return [row if row.target else PlaceholderRow(row.id, row.text, row.content, row.weight, row.group) for row in rows]


def _tokenize_prompt(row: TrainingRow, chat: ChatTokenizer) -> list[int] | str:
    """Return the prompt's tokens, or the reason why it can't be used."""
    if row.weight <= 0:
        return "weight"
    turns = build_conversation(row.content, "")[:-1]
    if not turns or not str(turns[-1].get("content") or "").strip():
        return "empty"
    try:
        return chat.encode_prompt(turns)
    except UserError:
        return "marks"


@dataclass(frozen=True)
class PolicyGradientMethod:
    """How rewards become a loss.

    advantages: function of rewards (prompts, answers). in_reward, in_loss: coefficient of the divergence from the base in each. share: what
    an answer's tokens are divided by: nothing ("answer"), the most tokens that an answer may have ("longest"), or its own number ("own").
    """

    advantages: Callable[[FloatArray], FloatArray]
    in_reward: float = 0.0
    in_loss: float = 0.0
    share: Literal["answer", "longest", "own"] = "answer"


@dataclass(frozen=True)
class PolicyRollouts:
    """Answers to prompts, those of a prompt one after the other.

    prompts: as examples. rollouts: the sampled answers. base_log_probabilities: of their tokens under the base, in nats. samples: the
    answers with their rows, as rewards read them. scored: their rewards.
    """

    prompts: TrainingExamples
    rollouts: Sequence[Rollout]
    base_log_probabilities: Sequence[FloatArray]
    samples: Sequence[SampledAnswer]
    scored: RewardScores

    @property
    def lengths(self) -> FloatArray:
        """Tokens of each answer."""
        return np.array([len(answer.tokens) for answer in self.rollouts], dtype=np.float64)

    @property
    def kl(self) -> FloatArray:
        """Divergence of the policy from its base on each answer, in nats: k3, summed over its tokens."""
        return np.array(
            [
                kl_estimate_k3(each.log_probabilities, base).sum()
                for each, base in zip(self.rollouts, self.base_log_probabilities, strict=True)
            ]
        )

    def figures(self) -> dict[str, float]:
        """Return means over the answers: rewards in all and by part, nats from the base, tokens, and the share that ended."""
        parts = {name if name == "reward" else f"reward {name}": value for name, value in self.scored.means.items()}
        ended = float(np.mean([answer.ended for answer in self.rollouts]))
        return {**parts, "kl": float(self.kl.mean()), "length": float(self.lengths.mean()), "ended": ended}


@dataclass(frozen=True)
class RolloutTarget:
    """What is learnt of an answer.

    mask: the answer's tokens in its row. sampled_log_probabilities, base_log_probabilities: of these tokens when they were sampled, and
    under the base, in nats. advantage: of the answer.
    """

    mask: Any
    sampled_log_probabilities: FloatArray
    base_log_probabilities: FloatArray
    advantage: float


@dataclass(frozen=True)
class PolicyRound:
    """One round of a policy.

    answers: all that were sampled. rows: answers to learn from, the longest first, weighted so that their losses add up to the round's.
    equal_groups: number of groups whose answers all earned the same. groups: number of all.
    """

    answers: PolicyRollouts
    rows: TrainingExamples
    equal_groups: int
    groups: int


def build_policy_round(answers: PolicyRollouts, rewards: FloatArray, method: PolicyGradientMethod, longest: int) -> PolicyRound:
    """Build the examples of a round from answers that earned `rewards` (answers,).

    longest: tokens of an answer at most. An answer that is as good as the others of its group teaches nothing but nearness to the base;
    where that is no part of the loss either, it is left out.
    """
    groups = len(answers.prompts)
    earned = rewards.reshape(groups, -1)
    away = np.array(
        [
            kl_estimate_k1(each.log_probabilities, base).sum()
            for each, base in zip(answers.rollouts, answers.base_log_probabilities, strict=True)
        ]
    )
    advantages = method.advantages(earned - method.in_reward * away.reshape(earned.shape)).ravel()
    keep = np.flatnonzero((advantages != 0) | (method.in_loss > 0))
    keep = keep[np.argsort(-answers.lengths[keep], kind="stable")]
    rows = _rollout_examples(answers, advantages, method, longest).select(keep.tolist())
    return PolicyRound(answers, rows, int((np.ptp(earned, axis=1) == 0).sum()), groups)


def _rollout_examples(answers: PolicyRollouts, advantages: FloatArray, method: PolicyGradientMethod, longest: int) -> TrainingExamples:
    prompts, each = answers.prompts, len(answers.rollouts) // len(answers.prompts)
    of = [number for number in range(len(prompts)) for _ in range(each)]
    tokens = [[*prompts.tokens[number], *answer.tokens] for number, answer in zip(of, answers.rollouts, strict=True)]
    targets = [
        RolloutTarget(np.arange(len(row)) >= len(row) - len(answer.tokens), answer.log_probabilities, base, float(advantage))
        for row, answer, base, advantage in zip(tokens, answers.rollouts, answers.base_log_probabilities, advantages, strict=True)
    ]
    share = {"answer": np.ones(len(of)), "longest": np.full(len(of), 1 / longest), "own": 1 / answers.lengths}[method.share]
    weights = prompts.weights[of] / prompts.weights[of].sum() * share
    ids, groups = [prompts.ids[number] for number in of], [prompts.groups[number] for number in of]
    return TrainingExamples(tokens, targets, weights, answers.lengths.astype(np.int64), ids, groups)


SAMPLES_PER_KIND = 3  # answers of each kind
SAMPLES_FOLDER = "samples"


def save_samples(folder: Path, step: int, seen: PolicyRollouts) -> None:
    """Write samples of an evaluation into the run's folder, a file for each."""
    (folder / SAMPLES_FOLDER).mkdir(exist_ok=True)
    with atomic_write(folder / SAMPLES_FOLDER / f"{step}.json", "w") as file:
        json.dump(select_samples(step, seen), file, indent=2, ensure_ascii=False)


def load_samples(folder: Path, step: int) -> dict[str, Any]:
    """Read what `save_samples` wrote at this step."""
    found: dict[str, Any] = read_json(folder / SAMPLES_FOLDER / f"{step}.json")
    return found


def select_samples(step: int, seen: PolicyRollouts) -> dict[str, Any]:
    """Return `{"best", "median", "worst"}`: answers with prompt, reward in all and by part; ties in the order of the prompts."""
    order = np.argsort(-seen.scored.total, kind="stable")
    middle = max(0, len(order) // 2 - SAMPLES_PER_KIND // 2)
    kinds = {
        "best": order[:SAMPLES_PER_KIND],
        "median": order[middle : middle + SAMPLES_PER_KIND],
        "worst": order[-SAMPLES_PER_KIND:][::-1],
    }
    return {kind: [_sample_entry(step, seen, int(at)) for at in places] for kind, places in kinds.items()}


def _sample_entry(step: int, seen: PolicyRollouts, at: int) -> dict[str, Any]:
    sample = seen.samples[at]
    prompt = "\n".join(f"{turn['role']}: {turn['content']}" for turn in build_conversation(sample.content, "")[:-1])
    return {
        "id": sample.id,
        "prompt": prompt,
        "text": sample.text,
        "ended": sample.ended,
        "reward": float(seen.scored.total[at]),
        "parts": {name: float(values[at]) for name, values in seen.scored.by_part.items()},
        "step": step,
    }
