"""One round of a policy: what it answered, what that earned, and what is to be learnt of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.models.rollouts import Rollout
from preceptor.recipes.examples import Examples
from preceptor.recipes.reinforcing.losses import k1, k3
from preceptor.recipes.rewarding.rewards import Scored
from preceptor.recipes.rewarding.sampled import Sampled


@dataclass(frozen=True)
class Method:
    """How rewards become a loss. advantages: of rewards (prompts, answers).

    in_reward, in_loss: how much the divergence from the base counts there. share: what an answer's tokens are divided by: nothing
    ("answer"), the most tokens that an answer may have ("longest"), or its own number ("own").
    """

    advantages: Callable[[FloatArray], FloatArray]
    in_reward: float = 0.0
    in_loss: float = 0.0
    share: Literal["answer", "longest", "own"] = "answer"


@dataclass(frozen=True)
class Answers:
    """Answers to prompts, those of a prompt one after the other. base: log-probabilities of their tokens under the base, in nats."""

    prompts: Examples
    rollouts: Sequence[Rollout]
    base: Sequence[FloatArray]
    samples: Sequence[Sampled]
    scored: Scored

    @property
    def lengths(self) -> FloatArray:
        """Tokens of each answer."""
        return np.array([len(answer.tokens) for answer in self.rollouts], dtype=np.float64)

    @property
    def kl(self) -> FloatArray:
        """How far the policy is from its base on each answer, in nats: k3, summed over its tokens."""
        return np.array([k3(each.log_probabilities, base).sum() for each, base in zip(self.rollouts, self.base, strict=True)])

    def figures(self) -> dict[str, float]:
        """Means over the answers: rewards in all and by part, nats from the base, tokens, and the share that ended."""
        parts = {name if name == "reward" else f"reward {name}": value for name, value in self.scored.means.items()}
        ended = float(np.mean([answer.ended for answer in self.rollouts]))
        return {**parts, "kl": float(self.kl.mean()), "length": float(self.lengths.mean()), "ended": ended}


@dataclass(frozen=True)
class Drawn:
    """What is to be learnt of an answer. mask: which tokens of its row; drawn, base: their log-probabilities when they were drawn,
    and under the base, in nats."""

    mask: Any
    drawn: FloatArray
    base: FloatArray
    advantage: float


@dataclass(frozen=True)
class Round:
    """rows: answers to learn from, the longest first, weighed so that their losses add up to the round's. equal: groups whose
    answers all earned the same; groups: all."""

    answers: Answers
    rows: Examples
    equal: int
    groups: int


def to_round(answers: Answers, rewards: FloatArray, method: Method, longest: int) -> Round:
    """What is learnt of answers that earned `rewards` (answers,). longest: tokens of an answer at most.

    An answer that is as good as the others of its group teaches nothing but nearness to the base; where that is no part of the
    loss either, it is left out.
    """
    groups = len(answers.prompts)
    earned = rewards.reshape(groups, -1)
    away = np.array([k1(each.log_probabilities, base).sum() for each, base in zip(answers.rollouts, answers.base, strict=True)])
    advantages = method.advantages(earned - method.in_reward * away.reshape(earned.shape)).ravel()
    keep = np.flatnonzero((advantages != 0) | (method.in_loss > 0))
    keep = keep[np.argsort(-answers.lengths[keep], kind="stable")]
    rows = _rows(answers, advantages, method, longest).take(keep.tolist())
    return Round(answers, rows, int((np.ptp(earned, axis=1) == 0).sum()), groups)


def _rows(answers: Answers, advantages: FloatArray, method: Method, longest: int) -> Examples:
    prompts, each = answers.prompts, len(answers.rollouts) // len(answers.prompts)
    of = [number for number in range(len(prompts)) for _ in range(each)]
    tokens = [[*prompts.tokens[number], *answer.tokens] for number, answer in zip(of, answers.rollouts, strict=True)]
    targets = [
        Drawn(np.arange(len(row)) >= len(row) - len(answer.tokens), answer.log_probabilities, base, float(advantage))
        for row, answer, base, advantage in zip(tokens, answers.rollouts, answers.base, advantages, strict=True)
    ]
    share = {"answer": np.ones(len(of)), "longest": np.full(len(of), 1 / longest), "own": 1 / answers.lengths}[method.share]
    weights = prompts.weights[of] / prompts.weights[of].sum() * share
    ids, groups = [prompts.ids[number] for number in of], [prompts.groups[number] for number in of]
    return Examples(tokens, targets, weights, answers.lengths.astype(np.int64), ids, groups)
