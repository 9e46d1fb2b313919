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
from preceptor.aggregation.kinds import likely_kinds
from preceptor.aggregation.quality import People
from preceptor.aggregation.tables import FittedTables
from preceptor.aggregation.truths import vote_prior
from preceptor.domain import Consensus
from preceptor.registry import OptionsBase

OTHERS = ("majority", "one_coin", "dawid_skene")
TOLERANCE = 1e-7  # where items are of one kind, the second has nothing to settle on, and finer steps only wander
ENOUGH = 30  # gold answers from which on the correction outweighs its prior


@aggregators.register("auto")
@dataclass(frozen=True)
class Auto:
    """(1 − votes)·T^t + votes·(shares of votes), T from Dawid–Skene with one or two kinds of item; corrected by gold where there is some.

    Why: no single model wins on all crowds, and which one does can't be told from judgments where people share a bias.
    Two kinds of item under each answer let people err together; held-out judgments choose between them and one, and in doubt T^t
    is the mean of both. The answers' shares are held at those of the votes. t is the power that best predicts held-out judgments.
    The linear pool with the votes keeps a doubt that no model of these judgments can see. Gold, where given, judges this
    posterior (made without it) and corrects its sureness and each answer's share; it should be a random sample of the
    items. Where the posterior misses most of gold, as with adversaries in the majority, the model is fitted to gold.
    """

    class Options(OptionsBase):
        votes: float = Field(0.2, ge=0, le=1, description="share of the plain votes in the pool")
        smoothing: float = Field(0.5, gt=0, description="pseudo-votes for each answer in the votes' shares")
        kinds: int = Field(
            2, ge=1, le=5, description="most kinds of item under each answer; held-out judgments choose between them and one"
        )

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: Gold | None = None, *, start: Consensus | None = None) -> Consensus:
        """start: an earlier consensus by auto, to go on from with its kinds of item; the spread of other methods is then not told again."""
        clamp = Clamp.of(judgments, gold)
        pool = self._pool(judgments, None, start)
        notes = [f"Dawid-Skene, {pool.told}; {self.options.votes:.0%} plain votes"]
        if clamp.denied(pool.posterior[clamp.item]):
            pool = self._pool(judgments, gold, None)
            notes += ["the judgments alone miss most of gold: fitted to gold", *pool.notes]
        if len(clamp):
            notes += [f"corrected by {len(clamp)} gold answers", *clamp.contradicted(judgments, pool.posterior[clamp.item])]
            posterior = corrected(pool.posterior, clamp)
        else:
            notes += [*pool.notes, *([] if start else [_spread(judgments, pool.posterior)])]
            posterior = pool.posterior
        if 0 < len(clamp) < ENOUGH:
            notes.append(f"{len(clamp)} gold answers correct little; give {ENOUGH} or more, drawn at random")
        fits = pool.mixture.fits
        return Consensus(
            judgments.items, judgments.answers, posterior, judgments.counts, People(judgments, posterior, pool.mixture), "auto",
            converged=all(fit.converged for fit in fits), iterations=sum(fit.iterations for fit in fits), notes=tuple(notes),
        )  # fmt: skip

    def _pool(self, judgments: Judgments, gold: Gold | None, start: Consensus | None) -> Pool:
        known = start.annotators.model if start is not None and isinstance(start.annotators, People) else None
        starts = {_tables(each).kinds: each for each in known.fits} if isinstance(known, Mixture) else {}
        fits, powers = [], []
        for kinds in tuple(starts) or likely_kinds(judgments, self.options.kinds):
            # learnt from few judgments, the answers' shares run away: the commonest answer takes the items of the others
            options = DawidSkene.Options(kinds=kinds, tolerance=TOLERANCE, class_prior=vote_prior(judgments))
            fits.append(DawidSkene(options).fit(judgments, gold, start=starts.get(kinds, start)))
            powers.append(heldout_temperature(judgments, _tables(fits[-1]), fits[-1].posterior))
        votes = judgments.votes + self.options.smoothing
        share = self.options.votes / votes.sum(axis=1, keepdims=True)
        models = np.mean([tempered(fit.posterior, power) for fit, power in zip(fits, powers, strict=True)], axis=0)
        return Pool(Mixture(tuple(fits)), tuple(powers), (1 - self.options.votes) * models + share * votes)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Dawid–Skene fits that count alike; a person's table of confusion is the mean of theirs."""

    fits: tuple[Consensus, ...]

    def confusion(self, annotator: int) -> Floats:
        """P(says l | the answer is k), rows k; annotator by code."""
        return np.asarray(np.mean([_tables(fit).confusion(annotator) for fit in self.fits], axis=0))


class Pool(NamedTuple):
    """The models, their temperatures' inverses, and their mean posterior pooled with the votes."""

    mixture: Mixture
    powers: tuple[float, ...]
    posterior: Floats

    @property
    def told(self) -> str:
        """How many kinds of item, and how far made less sure."""
        kinds = [_tables(fit).kinds for fit in self.mixture.fits]
        parts = [f"{n} kind{'s' * (n > 1)} of item, to the power {power:.2f}" for n, power in zip(kinds, self.powers, strict=True)]
        return " and ".join(parts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the models say, each thing once."""
        return tuple(dict.fromkeys(note for fit in self.mixture.fits for note in fit.notes))


def _tables(fit: Consensus) -> FittedTables:
    fitted: FittedTables = fit.annotators.model  # type: ignore[attr-defined]
    return fitted


def _spread(judgments: Judgments, posterior: Floats) -> str:
    """How far other methods would answer otherwise: what can't be told without gold."""
    top = posterior.argmax(axis=1)
    told = []
    for name in OTHERS:
        other = aggregate(judgments, name).posterior
        # an item on which the other method is undecided is no disagreement
        told.append(f"{name} {np.mean(other.max(axis=1) - other[np.arange(len(top)), top] > 1e-9):.1%}")
    return f"no gold: other methods answer otherwise on {', '.join(told)} of the items; only known answers tell who is right (50 do)"
