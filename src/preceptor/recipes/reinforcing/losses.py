"""What a policy is trained by, token by token: better answers more, and no further from the base than that is worth.

Estimators of KL(policy‖base) from a token that the policy drew, with d = log base − log policy (Schulman 2020): k1 = −d,
k2 = d²/2, k3 = e^d − d − 1. As figures k1 and k3 are right on average, and k3 is never negative. As a loss on what the policy
itself drew, only k2 has the right gradient: that of k1 is nothing on average, and that of k3 is the gradient of KL(base‖policy).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from preceptor.domain.results import FloatArray

CLIP = 0.2  # how far a token's probability may move within one round before the loss no longer asks for more


def policy_losses(said: Any, drawn: Any, advantages: Any) -> Any:
    """−min(ρA, clip(ρ, 0.8, 1.2)·A) with ρ = e^(said − drawn), (tokens,) (Schulman et al. 2017; Shao et al. 2024, equation 3).

    said: log-probabilities of the tokens now, with gradients; drawn: when they were drawn; advantages: of their answers, (tokens,).
    """
    ratio = torch.exp(said - drawn)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages)


def divergence_losses(said: Any, drawn: Any, base: Any) -> Any:
    """k2 of each token, (tokens,), weighed by how much more probable it has become since it was drawn; base: its log-probabilities."""
    return torch.exp(said - drawn).detach() * (base - said).square() / 2


def k1(said: FloatArray, base: FloatArray) -> FloatArray:
    """log policy − log base of each token: KL on average."""
    return said - base


def k3(said: FloatArray, base: FloatArray) -> FloatArray:
    """e^d − d − 1 of each token: KL on average, and never negative."""
    apart = base - said
    return np.asarray(np.exp(apart) - apart - 1)
