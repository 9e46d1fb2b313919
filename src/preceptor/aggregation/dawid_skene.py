"""Dawid and Skene's model: everyone has their own table of confusions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pydantic import Field
from scipy import sparse

from preceptor.aggregation.aggregators import aggregators
from preceptor.aggregation.gold import Clamp, Gold
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.aggregation.quality import People
from preceptor.domain import Consensus
from preceptor.registry import OptionsBase


@aggregators.register("dawid_skene")
@dataclass(frozen=True)
class DawidSkene:
    """MAP EM for confusion tables θ_w[k, l] = P(w says l | truth k) (Dawid & Skene 1979, eqs. 2.3–2.5)."""

    class Options(OptionsBase):
        iterations: int = Field(200, ge=1, description="most EM steps")
        tolerance: float = Field(1e-6, gt=0, description="stop when no posterior moves by more")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: Gold | None = None) -> Consensus:
        j, k = judgments, judgments.n_answers
        clamp = Clamp.of(j, gold)
        matrix = j.incidence(np.arange(j.n_annotators, dtype=np.int32), j.n_annotators)
        posterior = clamp.fix((j.votes + 1e-3) / (j.votes + 1e-3).sum(axis=1, keepdims=True))
        free, step, moved = clamp.free(j.n_items), 0, np.inf
        while step < self.options.iterations and moved > self.options.tolerance:
            step += 1
            theta = _tables(matrix, posterior)
            prior = posterior[free].sum(axis=0) + 1
            scores = matrix @ np.log(theta).transpose(0, 2, 1).reshape(-1, k) + np.log(prior / prior.sum())
            raw = np.exp(scores - scores.max(axis=1, keepdims=True))
            raw /= raw.sum(axis=1, keepdims=True)
            new = clamp.fix(raw.copy())
            moved, posterior = float(np.abs(new - posterior).max()), new
        people = People(j, posterior, lambda w: theta[w])
        notes = tuple(clamp.contradicted(j, raw))
        return Consensus(
            j.items, j.answers, posterior, j.counts, people, "dawid_skene",
            converged=moved <= self.options.tolerance, iterations=step, notes=notes,
        )  # fmt: skip


def _tables(matrix: sparse.csr_array, posterior: Floats) -> Floats:
    k = posterior.shape[1]
    counts = (matrix.T @ posterior).reshape(-1, k, k).transpose(0, 2, 1)
    pool = counts.sum(axis=0) + 0.1
    counts = counts + 5.0 * pool / pool.sum(axis=1, keepdims=True)
    return np.asarray(counts / counts.sum(axis=2, keepdims=True))
