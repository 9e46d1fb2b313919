"""How much better an answer is than the others to the same prompt: what a policy's gradient weighs each answer by."""

from __future__ import annotations

import numpy as np

from preceptor.domain.results import FloatArray

_LITTLE = 1e-4  # beside a standard deviation, as in the GRPO paper


def leave_one_out(rewards: FloatArray) -> FloatArray:
    """Reward less the mean of the other answers' (Ahmadian et al. 2024, "Back to Basics"): an unbiased baseline.

    rewards: (prompts, answers), two answers or more. Equal to G/(G−1)·(r − mean of all G).
    """
    answers = rewards.shape[1]
    return np.asarray(centred(rewards) * (answers / (answers - 1)))


def centred(rewards: FloatArray) -> FloatArray:
    """Reward less the mean of its group (Liu et al. 2025, "Dr. GRPO"): no group counts more for being easy or hard."""
    return np.asarray(rewards - rewards.mean(axis=1, keepdims=True))


def standardised(rewards: FloatArray) -> FloatArray:
    """The same in the group's standard deviations, n − 1 (Shao et al. 2024, "DeepSeekMath")."""
    return np.asarray(centred(rewards) / (rewards.std(axis=1, ddof=1, keepdims=True) + _LITTLE))
