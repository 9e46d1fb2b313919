"""Davidson's model of pairwise comparisons with ties, order bias and, as an option, annotators of different reliability."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from preceptor.consensus.judgments import Codes, Floats, Integers

RELIABILITY_NODES = np.array([1.0, 0.9, 0.75, 0.6, 0.5])  # probability that a report is what the annotator saw; 0.5 is guessing
PSEUDO_ANNOTATORS = np.array([3.0, 0.1, 0.1, 0.1, 0.1])  # from the coverage simulations in the tests
CONTRARY_RELIABILITY = 0.1  # not among the nodes, where a difference in taste would be taken for a mistake
NO_TIES_LOGIT = -50.0
ROW_BLOCK = 2**14  # rows


class DavidsonRows(NamedTuple):
    """Probabilities and derivatives of each row at given parameters.

    Arrays have shape (rows,); lists hold one array for each node after the first.
    """

    gap: Floats  # p_left − p_right
    tie: Floats  # p_tie
    log_base: Floats  # log-probability of the outcome for a perfectly reliable annotator
    log_mix: list[Floats]  # what a node adds to log_base
    slope: list[Floats]  # derivative of log P(outcome) by half the signed δ, without the normaliser; 1 at full reliability


@dataclass(frozen=True, eq=False)
class DavidsonModel:
    """P(left) ∝ e^{δ/2}, P(right) ∝ e^{−δ/2}, P(tie) ∝ e^τ, δ = θ_left − θ_right + η (Davidson 1970; η: Davidson & Beaver 1977).

    An annotator of reliability q reports left and right exchanged with probability 1 − q (Chen et al. 2013, CrowdBT). q follows a
    distribution over `nodes` that is learnt with the rest by marginal likelihood, so that the number of parameters doesn't grow with
    the number of annotators; with the first node alone all annotators are reliable. Priors: θ ~ N(0, 1/shrinkage), wide normals on η
    and τ, Dirichlet(pseudo + 1) on the nodes' shares, which keeps annotators at full reliability where the data don't contradict it.

    Parameters, flat: θ (options), η, τ, the logits of the nodes' shares against the first. Rows are sorted by annotator.
    left, right, annotator: codes, (rows,). sign: +1 left won, −1 right won, 0 tie. count: the comparisons that a row stands for.
    has_order, has_ties: whether η and τ are fitted.
    """

    left: Codes
    right: Codes
    sign: Floats
    annotator: Codes
    count: Floats
    n_options: int
    shrinkage: float
    has_order: bool
    has_ties: bool
    nodes: Floats = field(default_factory=lambda: np.ones(1))
    pseudo: Floats = field(default_factory=lambda: np.ones(1))

    @property
    def size(self) -> int:
        return self.n_options + 1 + len(self.nodes)

    @cached_property
    def starts(self) -> Integers:
        """The first row of each annotator."""
        return np.flatnonzero(np.diff(self.annotator, prepend=-1))

    @property
    def precision(self) -> Floats:
        """The precision of the normal prior on each parameter; 0 for the nodes' shares, which have a prior of their own."""
        return np.concatenate([np.full(self.n_options, self.shrinkage), [0.1, 0.01], np.zeros(len(self.nodes) - 1)])

    @property
    def fixed_params(self) -> list[int]:
        """Parameters that are not fitted."""
        return [self.n_options] * (not self.has_order) + [self.n_options + 1] * (not self.has_ties)

    def initial_params(self) -> Floats:
        """Return the start of a fit: all options equal, and the nodes' shares at their prior."""
        x = np.zeros(self.size)
        x[self.n_options + 1] = 0.0 if self.has_ties else NO_TIES_LOGIT
        x[self.n_options + 2 :] = np.log(self.pseudo[1:] / self.pseudo[0])
        return x

    def fit(self, start: Floats, *, limit: int) -> tuple[Floats, bool]:
        """Return the most probable parameters by L-BFGS, and whether it converged."""
        scale = 1 / np.sqrt(np.diag(self._complete(start, self.rows(start))))  # preconditions parameters with much and little data

        def loss(z: Floats) -> tuple[float, Floats]:
            value, gradient = self.loss(scale * z)
            return value, scale * gradient

        result = minimize(loss, start / scale, jac=True, method="L-BFGS-B", options={"maxiter": limit, "ftol": 1e-10, "gtol": 1e-5})
        return np.asarray(scale * result.x), bool(result.success)

    def loss(self, x: Floats) -> tuple[float, Floats]:
        """Return −(log marginal likelihood + log prior), and its gradient."""
        log_share = _log_softmax(x[self.n_options + 2 :])
        value = (self.pseudo * log_share).sum() - 0.5 * (self.precision * x**2).sum()
        gradient = -self.precision * x
        gradient[self.n_options + 2 :] += (self.pseudo - self.pseudo.sum() * np.exp(log_share))[1:]
        for block in self.blocks:
            part, slope = block.likelihood(x)
            value += part
            gradient += slope
        gradient[self.fixed_params] = 0.0
        return -float(value), -gradient

    @cached_property
    def blocks(self) -> list[DavidsonModel]:
        """The model split into groups of annotators, whose rows fit the cache."""
        rows = np.append(self.starts, len(self.sign))
        first = np.append(np.unique(np.searchsorted(self.starts, np.arange(0, len(self.sign), ROW_BLOCK))), len(self.starts))
        return [self._part(slice(rows[a], rows[b])) for a, b in itertools.pairwise(first) if a < b]

    def _part(self, rows: slice) -> DavidsonModel:
        who = self.annotator[rows]
        columns = {name: getattr(self, name)[rows] for name in ("left", "right", "sign", "count")}
        return replace(self, annotator=who - who[0], **columns)

    def likelihood(self, x: Floats) -> tuple[float, Floats]:
        """Return the log marginal likelihood, and its gradient."""
        rows = self.rows(x)
        posterior, evidence = self.infer(x, rows)
        nodes = posterior.sum(axis=0) - len(posterior) * np.exp(_log_softmax(x[self.n_options + 2 :]))
        return float(evidence.sum()), np.concatenate([self.sum_gradients(*self.row_scores(rows, posterior)), nodes[1:]])

    def rows(self, x: Floats) -> DavidsonRows:
        """Compute the probabilities and derivatives of each row at parameters `x`."""
        tau = float(x[self.n_options + 1])
        half = np.clip((x[self.left] - x[self.right] + x[self.n_options]) / 2, -300.0, 300.0)
        for_left, for_tie = np.exp(half), np.exp(tau)
        for_right = 1 / for_left
        total = for_left + for_right + for_tie
        signed = self.sign * half
        log_base = np.where(self.sign == 0, tau, signed) - np.log(total)
        against = np.exp(-2 * signed)  # 1 for a tie, which exchanging sides doesn't change
        log_mix, slope = [], []
        for node in self.nodes[1:].tolist():  # one node at a time, so that each array fits the cache
            wrong = (1 - node) * against
            either = wrong + node
            log_mix.append(np.log(either))
            slope.append(1 - 2 * wrong / either)
        return DavidsonRows((for_left - for_right) / total, for_tie / total, log_base, log_mix, slope)

    def infer(self, x: Floats, rows: DavidsonRows) -> tuple[Floats, Floats]:
        """Return each annotator's posterior over nodes, (annotators, nodes), and log marginal likelihood, (annotators,)."""
        starts = self.starts
        base = np.add.reduceat(self.count * rows.log_base, starts)
        mix = [np.add.reduceat(self.count * part, starts) for part in rows.log_mix]
        scores = np.stack([np.zeros_like(base), *mix], axis=1) + _log_softmax(x[self.n_options + 2 :])
        top = scores.max(axis=1)
        scores = np.exp(scores - top[:, None])
        total = scores.sum(axis=1)
        return scores / total[:, None], base + top + np.log(total)

    def contrary_annotators(self, x: Floats) -> Integers:
        """Return the codes of annotators who choose against the strengths too consistently for guessing (by 3 nats)."""
        rows = replace(self, nodes=np.array([1.0, 0.5, CONTRARY_RELIABILITY])).rows(x)
        guessing, against = (np.add.reduceat(self.count * part, self.starts) for part in rows.log_mix)
        return np.flatnonzero(against - np.maximum(guessing, 0.0) > 3.0)

    def mean_slope(self, rows: DavidsonRows, posterior: Floats) -> Floats:
        """Return the mean of each row's slope under its annotator's posterior, (rows,)."""
        mean = posterior[:, 0].take(self.annotator)
        for node, slope in enumerate(rows.slope, start=1):
            mean += posterior[:, node].take(self.annotator) * slope
        return mean

    def row_scores(self, rows: DavidsonRows, posterior: Floats) -> tuple[Floats, Floats]:
        """Return the derivatives of the log marginal likelihood by each row's δ and τ (Fisher's identity)."""
        by_gap = self.sign * self.mean_slope(rows, posterior) - rows.gap
        return self.count * by_gap / 2, self.count * ((self.sign == 0) - rows.tie)

    def sum_gradients(self, by_gap: Floats, by_tie: Floats) -> Floats:
        """Sum row derivatives to the gradient by θ, η and τ."""
        theta = np.bincount(self.left, by_gap, self.n_options) - np.bincount(self.right, by_gap, self.n_options)
        return np.concatenate([theta, [by_gap.sum(), by_tie.sum()]])

    def scores(self, x: Floats, clusters: Codes) -> sparse.csr_array:
        """Return the contribution of each cluster of rows to the gradient, (clusters, parameters)."""
        rows = self.rows(x)
        posterior, _ = self.infer(x, rows)
        by_gap, by_tie = self.row_scores(rows, posterior)
        share = self.count / np.bincount(self.annotator, self.count)[self.annotator]  # an annotator's node belongs to all their rows
        nodes = share[:, None] * (posterior - np.exp(_log_softmax(x[self.n_options + 2 :])))[self.annotator, 1:]
        return ClusterScoreTable(clusters, self.left, self.right, self.n_options).sum(by_gap, [by_gap, by_tie, *nodes.T])

    def information(self, x: Floats) -> Floats:
        """Return −Hessian of the log posterior, (parameters, parameters) (Louis 1982: complete minus missing information)."""
        rows = self.rows(x)
        posterior, _ = self.infer(x, rows)
        matrix = self._complete(x, rows) - self._missing(rows, posterior)
        matrix[self.fixed_params] = 0.0
        matrix[:, self.fixed_params] = 0.0
        matrix[self.fixed_params, self.fixed_params] = 1.0
        return matrix

    def _missing(self, rows: DavidsonRows, posterior: Floats) -> Floats:
        """Return the information lost to possible exchanges and unknown nodes: the covariance of each annotator's complete-data score."""
        k, decided = self.n_options, self.sign != 0
        matrix = np.zeros((self.size, self.size))
        mean_slope = self.mean_slope(rows, posterior)
        share = self.count / np.bincount(self.annotator, self.count)[self.annotator]
        table = ClusterScoreTable(self.annotator, self.left, self.right, k)
        for q, slope in enumerate([np.ones(len(share)), *rows.slope] if len(self.nodes) > 1 else []):
            weight = posterior[:, q].take(self.annotator)
            matrix[: k + 1, : k + 1] += self._laplacian(self.count * weight * (1 - slope**2) / 4 * decided)
            by_gap = self.count * self.sign * (slope - mean_slope) / 2
            nodes = share[:, None] * ((np.arange(len(self.nodes)) == q) - posterior)[self.annotator, 1:]
            part = table.sum(by_gap, [by_gap, np.zeros(len(share)), *nodes.T])
            matrix += (part.T @ part.multiply(posterior[:, q : q + 1])).toarray()
        return matrix

    def _complete(self, x: Floats, rows: DavidsonRows) -> Floats:
        """Return the information as if each annotator's node, and the reports they exchanged, were known."""
        k = self.n_options
        matrix = np.zeros((self.size, self.size))
        matrix[: k + 1, : k + 1] = self._laplacian(self.count * (1 - rows.tie - rows.gap**2) / 4)
        cross = -self.count * rows.gap * rows.tie / 2
        matrix[: k + 1, k + 1] = matrix[k + 1, : k + 1] = self.sum_gradients(cross, cross)[: k + 1]
        matrix[k + 1, k + 1] = (self.count * rows.tie * (1 - rows.tie)).sum()
        share = np.exp(_log_softmax(x[k + 2 :]))
        weight = len(self.starts) + self.pseudo.sum()
        matrix[k + 2 :, k + 2 :] = weight * (np.diag(share) - np.outer(share, share))[1:, 1:]
        return matrix + np.diag(self.precision)

    def _laplacian(self, weight: Floats) -> Floats:
        """Return Σ weight · v vᵀ with v = ∂δ: +1 at left, −1 at right, +1 at the order bias; shape (options + 1, options + 1)."""
        k = self.n_options
        pair = sparse.coo_array((weight, (self.left, self.right)), shape=(k, k)).toarray()
        pair += pair.T
        matrix = np.zeros((k + 1, k + 1))
        matrix[:k, :k] = np.diag(pair.sum(axis=1)) - pair
        matrix[k] = matrix[:, k] = self.sum_gradients(weight, weight)[: k + 1]
        return matrix


class ClusterScoreTable:
    """Sums of row derivatives by cluster and parameter as a sparse table; its sparsity pattern is computed once."""

    def __init__(self, cluster: Codes, left: Codes, right: Codes, n_options: int) -> None:
        key = cluster.astype(np.int64) * n_options
        self._cluster, self._shape = cluster, (int(cluster.max()) + 1, n_options)
        self._place = np.concatenate([key + left, key + right])
        cells = np.arange(self._shape[0] * n_options)
        if len(cells) > 2 * len(self._place):  # else zeros are cheaper than a sort
            cells, self._place = np.unique(self._place, return_inverse=True)
        row, self._column = np.divmod(cells, n_options)
        self._start = np.append(0, np.cumsum(np.bincount(row, minlength=self._shape[0])))

    def sum(self, by_gap: Floats, more: list[Floats]) -> sparse.csr_array:
        """Return the sums by cluster, (clusters, parameters).

        `by_gap` is added at left and subtracted at right; `more` holds the columns after the options.
        """
        options = np.bincount(self._place, np.concatenate([by_gap, -by_gap]), len(self._column))
        table = sparse.csr_array((options, self._column, self._start), shape=self._shape)
        rest = np.stack([np.bincount(self._cluster, column) for column in more], axis=1)
        return sparse.csr_array(sparse.hstack([table, sparse.csr_array(rest)], format="csr"))


def _log_softmax(tail: Floats) -> Floats:
    """Return the log shares of the nodes from their logits against the first."""
    logits = np.concatenate([[0.0], tail])
    top = logits.max()
    return np.asarray(logits - top - np.log(np.exp(logits - top).sum()))
