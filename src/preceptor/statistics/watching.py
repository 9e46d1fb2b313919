"""Whether a stream still is what it was: looked at after every value, for as long as one likes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import FloatArray
from preceptor.statistics.inputs import as_values, check_confidence

JUMP = 0.01  # share of the capital that changes sides at each value
_SIDES = np.array([-1.0, 0.0, 1.0])  # bets that values fall, stay, rise


@dataclass(frozen=True, slots=True)
class Watched:
    """Evidence that a stream has changed since its reference.

    evidence: the capital of who bets on a change, after each value (n,): begins at 1, and doesn't grow on average while nothing changes.
    since: the number of values after which it first reached 1/(1 − confidence); None where it never did.
    """

    evidence: FloatArray
    since: int | None

    @property
    def drifted(self) -> bool:
        """Whether the stream has changed; false alarms are as rare as the confidence says, over all looks together."""
        return self.since is not None


def watch(reference: ArrayLike, stream: ArrayLike, confidence: float = 0.95, *, seed: int = 0) -> Watched:
    """Bet that the values of a stream lie higher or lower among all before them than chance would have it.

    reference, stream: numbers in the order in which they came. A conformal test martingale, the Simple Jumper (Vovk et al. 2021,
    algorithm 1) over the rank of each value among reference and stream up to it; equal values are ranked by chance (seed). If all are
    exchangeable, the probability that it ever reaches 1/α is at most α (Ville 1939), however often one looks. UserError for what is
    no number.
    """
    goal = 1 / (1 - check_confidence(confidence))
    known, values = sorted(as_values(reference, "reference").tolist()), np.asarray(stream, dtype=np.float64)
    chance = np.random.default_rng(seed).random(len(values))
    sides = np.full(3, 1 / 3)
    capital = np.empty(len(values))
    for at, value in enumerate(as_values(values, "stream").tolist() if len(values) else []):
        insort(known, value)
        below, up_to = bisect_left(known, value), bisect_right(known, value)
        rank = (below + chance[at] * (up_to - below)) / len(known)
        sides = (1 - JUMP) * sides + JUMP / 3 * sides.sum()
        sides *= 1 + _SIDES * (rank - 0.5)
        capital[at] = sides.sum()
    reached = np.flatnonzero(capital >= goal)
    return Watched(capital, int(reached[0]) + 1 if len(reached) else None)
