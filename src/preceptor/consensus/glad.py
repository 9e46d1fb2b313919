"""GLAD: annotators differ in ability, items in difficulty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit

from preceptor.consensus.aggregators import AnnotatorQualities, aggregators
from preceptor.consensus.em import LatentTruths, VoteCells, build_truths
from preceptor.consensus.judgments import Floats, GoldAnswers, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus


@aggregators.register("glad")
@dataclass(frozen=True)
class Glad:
    """MAP for P(right) = σ(α_w β_i), β_i = exp(b_i) > 0, with α, b ~ N(1, 1) (Whitehill et al. 2009, "Whose Vote Should Count More").

    The log marginal itself is maximised, by L-BFGS: by Fisher's identity its gradient is that of EM's expected
    log-likelihood, and one run costs a tenth of the paper's nested ones. It has one parameter an item: below five
    judgments an item read it as an indication of difficulty only.
    """

    class Options(OptionsBase):
        class_prior: dict[Any, float] | None = Field(None, description="answer -> probability; equal when not given")
        iterations: int = Field(200, ge=1, description="most steps of L-BFGS")
        tolerance: float = Field(1e-7, gt=0, description="stop when a step gains less, in nats a judgment")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None, *, item_prior: Floats | None = None) -> Consensus:
        """Fit the judgments and return their consensus; `item_prior`: probabilities (items, answers) in place of the class prior."""
        o = self.options
        truths = build_truths(judgments, gold, class_prior=o.class_prior or dict.fromkeys(judgments.answers, 1.0), item_prior=item_prior)
        marginal = GladMarginal(truths, VoteCells.from_judgments(judgments, by_answer=False))
        start = np.ones(judgments.n_annotators + judgments.n_items)
        found = minimize(
            marginal.loss, start, jac=True, method="L-BFGS-B",
            options={"maxiter": o.iterations, "ftol": o.tolerance, "gtol": 0.0, "maxfun": 2 * o.iterations},
        )  # fmt: skip
        posterior, _ = marginal.posterior(found.x)
        notes = truths.contradiction_notes(marginal.scores(found.x))
        return Consensus(
            judgments.items, judgments.answers, posterior, judgments.counts, AnnotatorQualities(judgments, posterior), "glad",
            converged=bool(found.success), iterations=int(found.nit), notes=tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class GladMarginal:
    """The log marginal of the votes as a function of (α, b), shape (annotators + items,)."""

    truths: LatentTruths
    cells: VoteCells

    def loss(self, params: Floats) -> tuple[float, Floats]:
        """Return minus the log posterior density in nats a vote, and its gradient."""
        j = self.truths.judgments
        alpha, b, beta = self._split(params)
        x = alpha[j.annotator_code] * beta[j.item_code]
        posterior, value = self.posterior(params)
        value -= float(j.weight @ np.logaddexp(0, x)) + 0.5 * float(((params - 1) ** 2).sum())
        sigma = j.weight * expit(x)
        voted = self.cells.scores(alpha)
        by_annotator = self.cells.expected_right_votes(posterior * beta[:, None]) - np.bincount(
            j.annotator_code, beta[j.item_code] * sigma, len(alpha)
        )
        by_item = beta * ((posterior * voted).sum(axis=1) - np.bincount(j.item_code, alpha[j.annotator_code] * sigma, len(b)))
        gradient = np.concatenate([by_annotator, by_item]) - (params - 1)
        votes = max(float(self.cells.votes.sum()), 1.0)
        return -value / votes, np.asarray(-gradient / votes)

    def posterior(self, params: Floats) -> tuple[Floats, float]:
        """Return the posterior, and its part of the log marginal."""
        return self.truths.infer(self.scores(params), np.ones(2 * self.truths.judgments.n_answers))

    def scores(self, params: Floats) -> Floats:
        """Return what votes for k add to the log-likelihood of k, Σ α β + log(K − 1); shape (items, answers)."""
        alpha, _, beta = self._split(params)
        j = self.truths.judgments
        return np.asarray(beta[:, None] * self.cells.scores(alpha) + np.log(max(j.n_answers - 1, 1)) * j.votes)

    def _split(self, params: Floats) -> tuple[Floats, Floats, Floats]:
        alpha, b = np.split(params, [self.truths.judgments.n_annotators])
        return alpha, b, np.exp(np.minimum(b, 20.0))
