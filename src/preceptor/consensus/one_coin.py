"""The one-coin model: each annotator is right with a probability of their own, whatever the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from preceptor.consensus.aggregators import AnnotatorQualities, aggregators, chance_warnings
from preceptor.consensus.em import EMStep, LatentTruths, VoteCells, build_truths, run_squarem, vote_prior
from preceptor.consensus.judgments import Floats, GoldAnswers, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus


@aggregators.register("one_coin")
@dataclass(frozen=True)
class OneCoin:
    """MAP EM for r_w = P(w is right), with all wrong answers equally likely.

    The homogeneous Dawid–Skene model (Demartini, Difallah & Cudré-Mauroux 2012, "ZenCrowd").
    E: T_ik ∝ p_k Π r^[y=k] ((1−r)/(K−1))^[y≠k], in logs. M: r_w = (Σ T_{i y} + right) / (n_w + right + wrong). Without
    gold r stays at chance or above: below is usually the answers switched. p is fixed at the shares of votes: where it
    is re-estimated, one coin lets a large class absorb a small one.
    """

    class Options(OptionsBase):
        right: float = Field(4.0, ge=0, description="pseudo-judgments that are right")
        wrong: float = Field(1.0, ge=0, description="pseudo-judgments that are wrong")
        class_prior: dict[Any, float] | None = Field(None, description="answer -> probability; the shares of votes when not given")
        iterations: int = Field(500, ge=1, description="most EM steps")
        tolerance: float = Field(1e-9, gt=0, description="stop when a step promises less, in nats a judgment")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None, *, item_prior: Floats | None = None) -> Consensus:
        """Fit the judgments and return their consensus; `item_prior`: probabilities (items, answers) in place of the class prior."""
        o = self.options
        truths = build_truths(judgments, gold, class_prior=o.class_prior or vote_prior(judgments), item_prior=item_prior)
        coins = OneCoinEM(truths, VoteCells.from_judgments(judgments, by_answer=False), o.right, o.wrong)
        posterior = truths.initial_posterior()
        start = coins.maximize(coins.cells.expected_right_votes(posterior))
        climbed = run_squarem(coins.step, start, coins.project, gain=o.tolerance * len(judgments), limit=o.iterations)
        notes = chance_warnings(coins.cells.votes, coins.cells.expected_right_votes(climbed.posterior), truths.clamp, judgments.n_answers)
        notes += truths.contradiction_notes(coins.scores(climbed.params))
        people = AnnotatorQualities(judgments, climbed.posterior, AnnotatorAccuracies(climbed.params, judgments.n_answers))
        return Consensus(
            judgments.items, judgments.answers, climbed.posterior, judgments.counts, people, "one_coin",
            converged=climbed.converged, iterations=climbed.iterations, notes=tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class AnnotatorAccuracies:
    """The fitted parameters: `right`, each annotator's probability of being right, (annotators,), for that many `answers`."""

    right: Floats
    answers: int

    def confusion(self, annotator: int) -> Floats:
        """Return the confusion matrix of an annotator (by code): r on the diagonal, the rest spread evenly."""
        r, k = self.right[annotator], self.answers
        wrong = np.full((k, k), (1 - r) / max(k - 1, 1))
        np.fill_diagonal(wrong, r if k > 1 else 1.0)
        return wrong


@dataclass(frozen=True, eq=False)
class OneCoinEM:
    """The EM step over accuracies r, shape (annotators,); `right` and `wrong` are the prior's pseudo-judgments."""

    truths: LatentTruths
    cells: VoteCells
    right: float
    wrong: float

    def step(self, r: Floats) -> EMStep:
        """Run one EM step; the objective is the log marginal plus right·Σ log r + wrong·Σ log(1 − r)."""
        k = self.truths.judgments.n_answers
        hit, miss = np.log(r), np.log1p(-r)
        posterior, value = self.truths.infer(self.scores(r), np.ones(2 * k))
        agree = self.cells.expected_right_votes(posterior)
        following = self.maximize(agree)
        yes, no = agree + self.right, self.cells.votes - agree + self.wrong
        promise = float(yes @ (np.log(following) - hit) + no @ (np.log1p(-following) - miss))
        value += float(self.cells.votes @ (miss - np.log(max(k - 1, 1))) + self.right * hit.sum() + self.wrong * miss.sum())
        return EMStep(value, posterior, following, promise)

    def scores(self, r: Floats) -> Floats:
        """Return what the votes for k add to the log-likelihood of k; shape (items, answers)."""
        return self.cells.scores(np.log(r) - np.log1p(-r) + np.log(max(self.truths.judgments.n_answers - 1, 1)))

    def maximize(self, agree: Floats) -> Floats:
        """Return the accuracies at which `agree` right votes are most probable."""
        return self.project((agree + self.right) / np.maximum(self.cells.votes + self.right + self.wrong, 1e-300))

    def project(self, r: Floats) -> Floats:
        """Clip accuracies into [chance, 1 − 1e-6], or [1e-6, 1 − 1e-6] with gold."""
        chance = 1e-6 if len(self.truths.clamp) else 1 / self.truths.judgments.n_answers
        return np.clip(r, min(chance, 1 - 1e-6), 1 - 1e-6)
