"""Drawing the next token from a model's log-probabilities."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from preceptor.domain.results import FloatArray


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn.

    temperature: 0 takes the most probable. top_p: only the fewest tokens that have so much of the probability. seed: the same
    draws again; none: others each time. presence: taken off a token's logit once it was said; frequency: once for each time.
    bias: added to the logits of these tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    presence: float = 0.0
    frequency: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)


class Sampler:
    """Draws the tokens of one answer. What it draws depends on seed and choice, not on what is drawn beside it."""

    def __init__(self, sampling: Sampling, choice: int = 0) -> None:
        self.sampling = sampling
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed % 2**64
        self._random = np.random.default_rng([seed, choice])
        self._said: dict[int, int] = {}

    def draw(self, log_probabilities: FloatArray) -> int:
        """The next token, of log-probabilities (vocabulary,)."""
        scores = self._adjusted(log_probabilities)
        if self.sampling.temperature == 0:
            token = int(scores.argmax())
        else:
            token = nucleus(scores / self.sampling.temperature, self.sampling.top_p, float(self._random.random()))
        self._said[token] = self._said.get(token, 0) + 1
        return token

    def _adjusted(self, scores: FloatArray) -> FloatArray:
        how = self.sampling
        if not how.bias and not how.presence and not how.frequency:
            return scores
        scores = scores.copy()
        for token, extra in how.bias.items():
            scores[token] += extra
        for token, times in self._said.items():
            scores[token] -= how.presence + how.frequency * times
        return scores


def nucleus(scores: FloatArray, top_p: float, uniform: float) -> int:
    """The token at a place (uniform, from 0 below 1) in the distribution over the fewest tokens that have `top_p` of it."""
    weights = np.exp(scores - scores.max())
    if top_p >= 1:
        sums = weights.cumsum()
        return int(min(sums.searchsorted(uniform * sums[-1], side="right"), len(sums) - 1))
    # All that are less probable than an even share of what may be left out make up less than that together: none of them is needed.
    likely = np.flatnonzero(weights >= (1 - top_p) * weights.sum() / len(weights))
    order = likely[np.argsort(-weights[likely], kind="stable")]
    sums = weights[order].cumsum()
    kept = min(int(sums.searchsorted(top_p * weights.sum(), side="left")) + 1, len(order))
    return int(order[min(int(sums.searchsorted(uniform * sums[kept - 1], side="right")), kept - 1)])
