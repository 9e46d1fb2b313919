"""How certain is it that all the people who could be asked about an item would come to the answer that some have given?

That is what stopping early risks, and what an audit can check: a stopped item goes on to full redundancy, and either
keeps its answer or loses it. A posterior of the truth says something else, and where people err together it is far too
sure of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.consensus import Judgments
from preceptor.types import Consensus, FloatArray, IntArray

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98)  # how often people give an item's leading answer
DRAWS = 200
EM_STEPS = 60
PSEUDO = 1.0  # items of each kind before any is seen


@dataclass(frozen=True)
class VoteMixture:
    """Kinds of item, learnt from all: an answer that leads, how far people agree on it, and what they say otherwise.

    votes: chance of each answer, (kinds, answers). share: of each item in each kind, (items, kinds).
    """

    votes: FloatArray
    share: FloatArray

    @classmethod
    def fit(cls, votes: FloatArray, posterior: FloatArray, judgments: Judgments) -> VoteMixture:
        """How common each kind is, by EM on a fixed dictionary (nonparametric maximum likelihood; one answer, no start)."""
        table = _dictionary(_confusion(posterior, judgments))
        log = votes @ np.log(table).T
        likelihood = np.exp(log - log.max(axis=1, keepdims=True))
        common = np.full(len(table), 1 / len(table))
        for _ in range(EM_STEPS):
            share = _normalised(likelihood * common)
            common = (share.sum(axis=0) + PSEUDO) / (len(votes) + PSEUDO * len(table))
        return cls(table, _normalised(likelihood * common))


def panel_certainty(consensus: Consensus, judgments: Judgments, left: IntArray, *, seed: int = 0) -> FloatArray:
    """Probability, (items,), that the consensus's answer is in front when `left` (items,) more people have answered.

    The rest of the panel is simulated: an item's kind by its share, then the votes that are missing. So many draws can't tell
    a certainty beyond (DRAWS + ½)/(DRAWS + 1), and none is claimed.
    """
    votes = judgments.votes
    kinds = VoteMixture.fit(votes, consensus.posterior, judgments)
    lead = votes + 0.5 * consensus.posterior  # its leaning breaks ties, and counts as less than one vote
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
    """What the crowd as a whole says, (answers, answers): row k when the answer is k."""
    counts = np.full((judgments.n_answers, judgments.n_answers), 0.5)
    np.add.at(counts.T, judgments.answer_code, posterior[judgments.item_code] * judgments.weight[:, None])
    return _normalised(counts)


def _dictionary(confusion: FloatArray) -> FloatArray:
    """Vote distributions: each answer leading at each level above chance, the rest spread as the crowd errs."""
    answers = len(confusion)
    errors = _normalised(confusion * (1 - np.eye(answers)))
    levels = [level for level in LEVELS if level > 1 / answers]
    table = np.concatenate([level * np.eye(answers) + (1 - level) * errors for level in levels])
    return _normalised(np.clip(table, 1e-4, None))


def _normalised(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), dtype=np.float64)
