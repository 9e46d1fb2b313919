"""Losses of a pair by its margin h, how much more the model than its reference prefers the chosen answer, and by people's posterior p.

h = β[(log π − log π_ref)(chosen) − (log π − log π_ref)(rejected)], log-probabilities summed over an answer's tokens (Rafailov et al.
2023, "Direct Preference Optimization"), so that σ(h) is the model's probability that the chosen answer is better.

soft       −p log σ(h) − (1−p) log σ(−h) (Mitchell 2023, cDPO, with p of each pair): lowest at σ(h) = p, a bounded target
hard       the same with p = 1: what people more probably prefer, as if they were sure
smoothing  the same with p = 1 − ε, one ε for all pairs (cDPO as published; TRL 1.16 smooths its `robust` loss only)
robust     [−p log σ(h) + (1−p) log σ(−h)] / (2p − 1) (Chowdhury, Kini, Natarajan 2024, with ε = 1 − p of each pair): unbiased where
           labels were flipped by chance, but without a lower bound, so that pairs with p < 0.7 are left out
geometric  −log σ((2p − 1) h) (Furuta et al. 2024): pairs that people are unsure of hardly count
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from torch.nn.functional import logsigmoid

from preceptor.domain.results import FloatArray
from preceptor.recipes.preferring.pairs import Pair

Loss = Literal["soft", "hard", "smoothing", "robust", "geometric"]
SUREST = 0.95  # no posterior is taken for surer, for judgments are few
UNDECIDED = 0.1  # nearer than this to one half a pair says nothing
NOISIEST = 0.3  # chance of a flipped label up to which robust may be used: its variance grows with (1 − 2ε)^−2


def refused(pair: Pair, loss: Loss) -> str:
    """Why a pair can't be learnt by this loss (a key of `pairs.REASONS`), or ""."""
    if pair.tie:
        return "" if loss == "soft" else "tie"
    if abs(pair.probability - 0.5) < UNDECIDED:
        return "undecided"
    return "too noisy" if loss == "robust" and 1 - pair.probability > NOISIEST else ""


def target_of(pair: Pair, loss: Loss, smoothing: float) -> float:
    """The p that the loss takes for a pair."""
    if loss == "hard":
        return 1.0
    return 1.0 - smoothing if loss == "smoothing" else posterior(pair)


def posterior(pair: Pair) -> float:
    """People's probability that the chosen answer is better, no surer than judgments can make it."""
    return min(pair.probability, SUREST)


def pair_losses(margins: Any, targets: Any, loss: Loss) -> Any:
    """Loss of each pair in nats, (pairs,), from margins h and targets p (pairs,)."""
    if loss == "geometric":
        return -logsigmoid((2 * targets - 1) * margins)
    right, wrong = -logsigmoid(margins), -logsigmoid(-margins)
    if loss == "robust":
        return (targets * right - (1 - targets) * wrong) / (2 * targets - 1)
    return targets * right + (1 - targets) * wrong


def cross_entropy(margins: Any, targets: Any) -> FloatArray:
    """What validation measures, whatever is trained with: −p log σ(h) − (1−p) log σ(−h) of arrays (pairs,), a proper score."""
    return np.asarray(targets * np.logaddexp(0, -margins) + (1 - targets) * np.logaddexp(0, margins), dtype=np.float64)
