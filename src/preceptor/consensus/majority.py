"""Majority vote, the baseline; its vote shares are not a calibrated posterior."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field

from preceptor.consensus.aggregators import AnnotatorQualities, aggregators
from preceptor.consensus.judgments import GoldAnswers, GoldClamp, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus


@aggregators.register("majority")
@dataclass(frozen=True)
class MajorityAggregator:
    """One vote a judgment; the posterior is the share of votes, (c_ik + prior) / (n_i + K·prior).

    An item without votes gets equal shares; a tie goes to the earlier answer (`Consensus.top`).
    """

    class Options(OptionsBase):
        prior: float = Field(0.0, ge=0, description="pseudo-votes for each answer")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> Consensus:
        """Return the vote shares of each item, with gold clamped."""
        clamp = GoldClamp.from_gold(judgments, gold)
        votes = judgments.votes + self.options.prior
        votes[votes.sum(axis=1) == 0] = 1.0
        shares = votes / votes.sum(axis=1, keepdims=True)
        notes = clamp.contradiction_notes(judgments, shares[clamp.item])
        posterior = clamp.clamp_rows(shares)
        people = AnnotatorQualities(judgments, posterior)
        return Consensus(judgments.items, judgments.answers, posterior, judgments.counts, people, "majority", notes=tuple(notes))
