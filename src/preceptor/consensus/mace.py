"""MACE: an annotator either knows the answer or spams with favourite answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from preceptor.consensus.aggregators import AnnotatorQualities, aggregators, chance_warnings
from preceptor.consensus.em import EMStep, LatentTruths, VoteCells, build_truths, run_squarem
from preceptor.consensus.judgments import Floats, GoldAnswers, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus


@aggregators.register("mace")
@dataclass(frozen=True)
class Mace:
    """MAP EM for P(w answers l | k) = c_w [l = k] + (1 − c_w) ξ_w[l].

    Hovy, Berg-Kirkpatrick, Vaswani & Hovy 2013, "Learning Whom to Trust with MACE".
    c_w: how often w knows; ξ_w: what w answers otherwise. Started once from the votes, where the paper takes ten random starts: EM
    from there ended no lower on the crowds that we tried, and gives the same answer each time. The class prior is learnt.
    """

    class Options(OptionsBase):
        knows: float = Field(3.0, ge=0, description="pseudo-judgments made knowing")
        spams: float = Field(1.0, ge=0, description="pseudo-judgments made as spam")
        favourite: float = Field(10.0, gt=0, description="pseudo-judgments of spam for each answer")
        class_prior: dict[Any, float] | None = Field(None, description="answer -> probability; learnt when not given")
        smoothing: float = Field(1.0, ge=0, description="pseudo-items of each answer in a learnt class prior")
        iterations: int = Field(500, ge=1, description="most EM steps")
        tolerance: float = Field(1e-9, gt=0, description="stop when a step promises less, in nats a judgment")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None, *, item_prior: Floats | None = None) -> Consensus:
        """Fit the judgments and return their consensus; `item_prior`: probabilities (items, answers) in place of the class prior."""
        o = self.options
        truths = build_truths(judgments, gold, class_prior=o.class_prior, smoothing=o.smoothing, item_prior=item_prior)
        spam = MaceEM(truths, VoteCells.from_judgments(judgments, by_answer=True), o.knows, o.spams, o.favourite)
        climbed = run_squarem(spam.step, spam.initial_params(), spam.project, gain=o.tolerance * len(judgments), limit=o.iterations)
        agree = spam.cells.expected_right_votes(climbed.posterior).reshape(-1, judgments.n_answers).sum(axis=1)
        votes = spam.cells.votes.reshape(-1, judgments.n_answers).sum(axis=1)
        knows, says, shares = spam.split(climbed.params)
        notes = chance_warnings(votes, agree, truths.clamp, judgments.n_answers)
        notes += truths.contradiction_notes(spam.scores(knows, says), shares)
        people = AnnotatorQualities(judgments, climbed.posterior, MaceParameters(knows, says))
        return Consensus(
            judgments.items, judgments.answers, climbed.posterior, judgments.counts, people, "mace",
            converged=climbed.converged, iterations=climbed.iterations, notes=tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class MaceParameters:
    """The fitted parameters.

    knows: how often each annotator knows, (annotators,). says: their answers when spamming, (annotators, answers).
    """

    knows: Floats
    says: Floats

    def confusion(self, annotator: int) -> Floats:
        """Return the confusion matrix of an annotator (by code), c·I + (1 − c)·ξ in each row."""
        c = self.knows[annotator]
        return np.asarray(c * np.eye(self.says.shape[1]) + (1 - c) * self.says[annotator])


@dataclass(frozen=True, eq=False)
class MaceEM:
    """The EM step over c, ξ and the shares, one after another in the flat parameters.

    knows, spams, favourite: the prior's pseudo-judgments, as in `Mace.Options`.
    """

    truths: LatentTruths
    cells: VoteCells
    knows: float
    spams: float
    favourite: float

    def initial_params(self) -> Floats:
        """Return the parameters that the votes lead to if half of the agreeing votes were made knowing."""
        posterior = self.truths.initial_posterior()
        return self._maximize(0.5 * self._square(self.cells.expected_right_votes(posterior)), posterior)

    def step(self, params: Floats) -> EMStep:
        """Run one EM step; the objective is the log marginal plus the log densities of c, ξ and shares under their priors."""
        c, xi, shares = self.split(params)
        posterior, value = self.truths.infer(self.scores(c, xi), shares)
        spam = (1 - c)[:, None] * xi
        known = self._square(self.cells.expected_right_votes(posterior)) * (c[:, None] / (c[:, None] + spam))
        following = self._maximize(known, posterior)
        promise = self._expected(following, known) - self._expected(params, known)
        promise += self.truths.expected_gain(posterior, shares, self.split(following)[2])
        value += float((self._square(self.cells.votes) * np.log(spam)).sum() + self._prior(c, xi))
        return EMStep(value, posterior, following, promise)

    def scores(self, c: Floats, xi: Floats) -> Floats:
        """Return what the votes for k add to the log-likelihood of k; shape (items, answers)."""
        return self.cells.scores(np.log1p(c[:, None] / ((1 - c)[:, None] * xi)).ravel())

    def split(self, params: Floats) -> tuple[Floats, Floats, Floats]:
        """Split flat parameters into c, ξ and the shares."""
        w, k = self.truths.judgments.n_annotators, self.truths.judgments.n_answers
        return params[:w], params[w : w + w * k].reshape(w, k), params[w + w * k :]

    def project(self, params: Floats) -> Floats:
        """Clip c into [1e-6, 1 − 1e-6], and make each distribution positive and sum to 1."""
        c, xi, shares = (np.maximum(part, 1e-9) for part in self.split(params))
        k = self.truths.judgments.n_answers
        parts = (np.clip(c, 1e-6, 1 - 1e-6), (xi / xi.sum(axis=1, keepdims=True)).ravel(), shares[:k] / shares[:k].sum(), shares[k:])
        return np.concatenate(parts)

    def _maximize(self, known: Floats, posterior: Floats) -> Floats:
        spam = self._square(self.cells.votes) - known
        c = (known.sum(axis=1) + self.knows) / np.maximum(self._square(self.cells.votes).sum(axis=1) + self.knows + self.spams, 1e-300)
        return self.project(np.concatenate([c, (spam + self.favourite).ravel(), self.truths.update_shares(posterior)]))

    def _expected(self, params: Floats, known: Floats) -> float:
        c, xi, _ = self.split(params)
        spam = self._square(self.cells.votes) - known
        return float(known.sum(axis=1) @ np.log(c) + spam.sum(axis=1) @ np.log1p(-c) + (spam * np.log(xi)).sum()) + self._prior(c, xi)

    def _prior(self, c: Floats, xi: Floats) -> float:
        return float(self.knows * np.log(c).sum() + self.spams * np.log1p(-c).sum() + self.favourite * np.log(xi).sum())

    def _square(self, values: Floats) -> Floats:
        return values.reshape(-1, self.truths.judgments.n_answers)
