"""Panel certainty: the probability that the whole panel would arrive at the answer that its first members have given.

That is the risk of stopping early, and what an audit can check: a stopped item goes on to full redundancy, and either
keeps its answer or loses it. A posterior of the truth answers another question, and where annotators err together it is far
overconfident about this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.consensus import Judgments
from preceptor.types import Consensus, FloatArray, IntArray

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98)  # how often annotators give an item's leading answer
DRAWS = 200
EM_STEPS = 60
PSEUDO = 1.0  # items of each kind before any is seen


@dataclass(frozen=True)
class VoteMixture:
    """Kinds of item, learnt from all items: a leading answer, how far annotators agree on it, and which other answers they give.

    votes: probability of each answer, (kinds, answers). share: of each item in each kind, (items, kinds).
    """

    votes: FloatArray
    share: FloatArray

    @classmethod
    def fit(cls, votes: FloatArray, posterior: FloatArray, judgments: Judgments) -> VoteMixture:
        """Fit the frequency of each kind by EM on a fixed dictionary (nonparametric maximum likelihood; its solution is unique)."""
        table = _dictionary(_confusion(posterior, judgments))
        log = votes @ np.log(table).T
        likelihood = np.exp(log - log.max(axis=1, keepdims=True))
        common = np.full(len(table), 1 / len(table))
        for _ in range(EM_STEPS):
            share = _normalised(likelihood * common)
            common = (share.sum(axis=0) + PSEUDO) / (len(votes) + PSEUDO * len(table))
        return cls(table, _normalised(likelihood * common))


def panel_certainty(consensus: Consensus, judgments: Judgments, left: IntArray, *, seed: int = 0) -> FloatArray:
    """Return the probability, (items,), that the consensus's answer still leads when `left` (items,) more annotators have answered.

    The rest of the panel is simulated: an item's kind by its share, then the missing votes. With DRAWS simulations no certainty
    beyond (DRAWS + ½)/(DRAWS + 1) can be estimated, and none is claimed.
    """
    votes = judgments.votes
    kinds = VoteMixture.fit(votes, consensus.posterior, judgments)
    lead = votes + 0.5 * consensus.posterior  # the posterior breaks ties, and counts as less than one vote
    front = consensus.posterior.argmax(axis=1)
    stay = np.ones(len(votes))
    draw = np.random.default_rng(seed)
    for rest in np.unique(left[left > 0]):
        rows = np.flatnonzero(left == rest)
        kept = np.zeros(len(rows))
        for kind, chances in enumerate(kinds.votes):
            here = np.flatnonzero(kinds.share[rows, kind] > 1e-4)
            if len(here):
                more = draw.multinomial(int(rest), chances, size=DRAWS)
                final = (lead[rows[here], None, :] + more).argmax(axis=2)
                kept[here] += kinds.share[rows[here], kind] * (final == front[rows[here], None]).mean(axis=1)
        stay[rows] = (kept * DRAWS + 0.5) / (DRAWS + 1)
    return stay


def _confusion(posterior: FloatArray, judgments: Judgments) -> FloatArray:
    """Return the confusion matrix of the crowd as a whole, (answers, answers): row k when the answer is k."""
    counts = np.full((judgments.n_answers, judgments.n_answers), 0.5)
    np.add.at(counts.T, judgments.answer_code, posterior[judgments.item_code] * judgments.weight[:, None])
    return _normalised(counts)


def _dictionary(confusion: FloatArray) -> FloatArray:
    """Return the vote distributions: each answer leading at each level above chance, the rest spread by the crowd's errors."""
    answers = len(confusion)
    errors = _normalised(confusion * (1 - np.eye(answers)))
    levels = [level for level in LEVELS if level > 1 / answers]
    table = np.concatenate([level * np.eye(answers) + (1 - level) * errors for level in levels])
    return _normalised(np.clip(table, 1e-4, None))


def _normalised(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), dtype=np.float64)
