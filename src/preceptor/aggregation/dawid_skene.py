"""Dawid and Skene's model: everyone has their own table of confusions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from preceptor.aggregation.aggregators import aggregators
from preceptor.aggregation.em import Climb
from preceptor.aggregation.gold import Gold
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.aggregation.quality import People, doubts
from preceptor.aggregation.tables import FittedTables, Prior, PriorKind, Tables
from preceptor.aggregation.truths import truths_of
from preceptor.aggregation.warm import carried, resumed
from preceptor.domain import Consensus
from preceptor.registry import OptionsBase


@aggregators.register("dawid_skene")
@dataclass(frozen=True)
class DawidSkene:
    """MAP EM for tables θ_w[k, l] = P(w says l | the answer is k) (Dawid & Skene 1979, eqs. 2.3 to 2.5).

    E: T_ik ∝ p_k Π_m θ_{w_m}[k, y_m], in logs. M: θ_w[k, l] ∝ C_w[k, l] + α_w[k, l] with C the expected counts, and
    p_k ∝ Σ_i T_ik + a. For a prior held, J = Σ_i log Σ_k (…) + Σ α log θ + a Σ log p never falls; α itself is estimated
    from the counts (`Tables.pseudo_counts`), and estimated anew until it stays.

    kinds=2 lets the items of an answer come in two kinds, each with tables of its own, so that people err together on
    the harder ones (after Li, Rubinstein & Cohn 2019, "Exploiting Worker Correlation for Label Aggregation in
    Crowdsourcing"; here MAP, and started from how far the votes agree, where they draw at random).
    """

    class Options(OptionsBase):
        kinds: int = Field(1, ge=1, le=5, description="kinds of item under each answer; 2 lets people err together")
        prior: PriorKind = Field("ability", description="what tables are drawn to: ability, pooled, diagonal or none")
        strength: float | None = Field(None, gt=0, description="judgments a row that the prior is worth; estimated when not given")
        off: float = Field(0.5, ge=0, description="prior diagonal: pseudo-judgments in each cell")
        diagonal: float = Field(2.5, ge=0, description="prior diagonal: pseudo-judgments more where the answer is right")
        class_prior: dict[Any, float] | None = Field(None, description="answer -> probability; learnt when not given")
        smoothing: float = Field(1.0, ge=0, description="pseudo-items of each answer in a learnt class prior")
        item_prior_weight: float = Field(1.0, ge=0, le=1, description="γ: how far an item's own prior is trusted")
        iterations: int = Field(500, ge=1, description="most EM steps")
        tolerance: float = Field(1e-9, gt=0, description="stop when a step promises less, in nats a judgment")

    options: Options = field(default_factory=Options)

    def fit(
        self, judgments: Judgments, gold: Gold | None = None, *, start: Consensus | None = None, item_prior: Floats | None = None
    ) -> Consensus:
        """start: an earlier consensus on (nearly) the same judgments, to go on from.

        item_prior: probabilities (items, answers) in place of the class prior, such as a model's calibrated out-of-fold
        predictions; they enter as γ·log. To take a model as one more annotator instead, give its answers as judgments.
        """
        o = self.options
        truths = truths_of(
            judgments, gold, class_prior=o.class_prior, smoothing=o.smoothing, kinds=o.kinds,
            item_prior=item_prior, item_prior_weight=o.item_prior_weight,
        )  # fmt: skip
        tables = Tables(truths, Prior(o.prior, o.strength, o.off, o.diagonal))
        climbed, fitted = self._climb(tables, start)
        notes = [f"{tables.sharing} annotators with few judgments share one table"] if tables.sharing else []
        if len(truths.clamp):
            unclamped = tables.unclamped(climbed.params)[truths.clamp.item]
            if truths.clamp.denied(unclamped):
                climbed, fitted, unclamped, told = self._from_gold(tables, climbed, fitted, unclamped)
                notes.append(told)
            notes += truths.clamp.contradicted(judgments, unclamped)
        posterior = truths.answers(climbed.posterior)
        right = (fitted.counts * tables.right).sum(axis=(1, 2))
        notes += doubts(fitted.counts.sum(axis=(1, 2)), right, truths.clamp, judgments.n_answers)
        return Consensus(
            judgments.items, judgments.answers, posterior, judgments.counts, People(judgments, posterior, fitted), "dawid_skene",
            converged=climbed.converged, iterations=climbed.iterations, notes=tuple(notes),
        )  # fmt: skip

    def _climb(self, tables: Tables, start: Consensus | None) -> tuple[Climb, FittedTables]:
        gain, limit = self.options.tolerance * float(tables.truths.judgments.weight.sum()), self.options.iterations
        if start is None:
            return tables.fit(tables.truths.first(), gain=gain, limit=limit)
        known = resumed(start, tables)
        if known is None:
            return tables.fit(carried(start, tables.truths), gain=gain, limit=limit)
        return tables.go_on(*known, gain=gain, limit=limit)

    def _from_gold(
        self, tables: Tables, climbed: Climb, fitted: FittedTables, unclamped: Floats
    ) -> tuple[Climb, FittedTables, Floats, str]:
        """The votes lead to answers that gold denies, as adversaries in the majority do: begin at the tables that gold shows."""
        clamp, o = tables.truths.clamp, self.options
        gain = o.tolerance * float(tables.truths.judgments.weight.sum())
        again, fitted_anew = tables.fit(tables.from_gold(), gain=gain, limit=o.iterations)
        anew = tables.unclamped(again.params)[clamp.item]
        if clamp.missed(anew) >= clamp.missed(unclamped):
            return climbed, fitted, unclamped, "the judgments deny most gold answers, however one reads them"
        return again, fitted_anew, anew, "most annotators contradict gold; the answers follow gold, against the majority"
