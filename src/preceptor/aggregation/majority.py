"""Majority vote: the yardstick. Shares of votes are no calibrated posterior."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field

from preceptor.aggregation.aggregators import aggregators
from preceptor.aggregation.gold import Clamp, Gold
from preceptor.aggregation.judgments import Judgments
from preceptor.aggregation.quality import People
from preceptor.domain import Consensus
from preceptor.registry import OptionsBase


@aggregators.register("majority")
@dataclass(frozen=True)
class Majority:
    """One vote a judgment; the posterior is the share of votes, (c_ik + prior) / (n_i + K·prior).

    An item without votes gets equal shares; a tie goes to the earlier answer (`Consensus.top`).
    """

    class Options(OptionsBase):
        prior: float = Field(0.0, ge=0, description="pseudo-votes for each answer")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: Gold | None = None) -> Consensus:
        clamp = Clamp.of(judgments, gold)
        votes = judgments.votes + self.options.prior
        votes[votes.sum(axis=1) == 0] = 1.0
        shares = votes / votes.sum(axis=1, keepdims=True)
        notes = clamp.contradicted(judgments, shares[clamp.item])
        posterior = clamp.fix(shares)
        people = People(judgments, posterior)
        return Consensus(judgments.items, judgments.answers, posterior, judgments.counts, people, "majority", notes=tuple(notes))
