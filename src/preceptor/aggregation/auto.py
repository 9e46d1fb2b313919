"""The default: a model in which people may err together, tempered, pooled with the votes, and corrected by gold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pydantic import Field

from preceptor.aggregation.aggregators import aggregate, aggregators
from preceptor.aggregation.calibration import corrected, heldout_temperature, tempered
from preceptor.aggregation.dawid_skene import DawidSkene
from preceptor.aggregation.gold import Clamp, Gold
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.aggregation.quality import People
from preceptor.aggregation.tables import FittedTables
from preceptor.domain import Consensus
from preceptor.registry import OptionsBase

OTHERS = ("majority", "one_coin", "dawid_skene")
TOLERANCE = 1e-7  # where items are of one kind, the second has nothing to settle on, and finer steps only wander
ENOUGH = 30  # gold answers from which on the correction outweighs its prior


@aggregators.register("auto")
@dataclass(frozen=True)
class Auto:
    """(1 − votes)·T^t + votes·(shares of votes), T from Dawid–Skene with two kinds of item; corrected by gold where there is some.

    Why: no single model wins on all crowds, and which one does can't be told from judgments where people share a bias.
    Two kinds of item under each answer let people err together. t is the power that best predicts held-out judgments.
    The linear pool with the votes keeps a doubt that no model of these judgments can see. Gold, where given, judges this
    posterior (made without it) and corrects its sureness and each answer's share; it should be a random sample of the
    items. Where the posterior misses most of gold, as with adversaries in the majority, the model is fitted to gold.
    """

    class Options(OptionsBase):
        votes: float = Field(0.2, ge=0, le=1, description="share of the plain votes in the pool")
        smoothing: float = Field(0.5, gt=0, description="pseudo-votes for each answer in the votes' shares")
        kinds: int = Field(2, ge=1, le=5, description="kinds of item under each answer")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: Gold | None = None, *, start: Consensus | None = None) -> Consensus:
        """start: an earlier consensus by auto, to go on from; the spread of other methods is then not told again."""
        clamp = Clamp.of(judgments, gold)
        pool = self._pool(judgments, None, start)
        notes = [f"Dawid-Skene, {self.options.kinds} kinds of item, to the power {pool.power:.2f}; {self.options.votes:.0%} plain votes"]
        if clamp.denied(pool.posterior[clamp.item]):
            pool = self._pool(judgments, gold, None)
            notes += ["the judgments alone miss most of gold: fitted to gold", *pool.model.notes]
        if len(clamp):
            notes += [f"corrected by {len(clamp)} gold answers", *clamp.contradicted(judgments, pool.posterior[clamp.item])]
            posterior = corrected(pool.posterior, clamp)
        else:
            notes += [*pool.model.notes, *([] if start else [_spread(judgments, pool.posterior)])]
            posterior = pool.posterior
        if 0 < len(clamp) < ENOUGH:
            notes.append(f"{len(clamp)} gold answers correct little; give {ENOUGH} or more, drawn at random")
        return Consensus(
            judgments.items, judgments.answers, posterior, judgments.counts, People(judgments, posterior, pool.fitted), "auto",
            converged=pool.model.converged, iterations=pool.model.iterations, notes=tuple(notes),
        )  # fmt: skip

    def _pool(self, judgments: Judgments, gold: Gold | None, start: Consensus | None) -> Pool:
        options = DawidSkene.Options(kinds=self.options.kinds, tolerance=TOLERANCE)
        model = DawidSkene(options).fit(judgments, gold, start=start)
        fitted = model.annotators.model  # type: ignore[attr-defined]
        power = heldout_temperature(judgments, fitted, model.posterior)
        votes = judgments.votes + self.options.smoothing
        share = self.options.votes
        posterior = (1 - share) * tempered(model.posterior, power) + share * votes / votes.sum(axis=1, keepdims=True)
        return Pool(model, fitted, power, posterior)


class Pool(NamedTuple):
    """The model, what it learnt, its temperature's inverse, and its posterior pooled with the votes."""

    model: Consensus
    fitted: FittedTables
    power: float
    posterior: Floats


def _spread(judgments: Judgments, posterior: Floats) -> str:
    """How far other methods would answer otherwise: what can't be told without gold."""
    top = posterior.argmax(axis=1)
    told = []
    for name in OTHERS:
        other = aggregate(judgments, name).posterior
        # an item on which the other method is undecided is no disagreement
        told.append(f"{name} {np.mean(other.max(axis=1) - other[np.arange(len(top)), top] > 1e-9):.1%}")
    return f"no gold: other methods answer otherwise on {', '.join(told)} of the items; only known answers tell who is right (50 do)"
