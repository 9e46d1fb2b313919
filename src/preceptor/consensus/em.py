"""Expectation maximisation accelerated by SQUAREM, and the latent truths and vote cells that the models share.

`LatentTruths` holds what is known of the items' answers besides judgments: gold, and a prior over answers, learnt or given.
`VoteCells` serves models in which a judgment is either right or wrong: they need only sums over (item, answer) cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import comb
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from preceptor.consensus.judgments import Floats, GoldAnswers, GoldClamp, Judgments
from preceptor.errors import UserError

ROUNDING_SLACK = 1e-9  # relative rounding error of a sum of log-probabilities


class EMStep(NamedTuple):
    """One E-step and M-step.

    objective, posterior: at the parameters given. next_params: the parameters after the M-step. expected_gain: how much the M-step
    raised the expected log-likelihood, in nats; the objective will rise by at least that.
    """

    objective: float
    posterior: Floats
    next_params: Floats
    expected_gain: float


class EMResult(NamedTuple):
    """The end of an EM run: the best parameters, their posterior and objective, the number of steps, and whether it converged."""

    params: Floats
    posterior: Floats
    objective: float
    iterations: int
    converged: bool


def run_squarem(
    step: Callable[[Floats], EMStep], start: Floats, project: Callable[[Floats], Floats], *, gain: float, limit: int
) -> EMResult:
    """Maximise an EM objective by SQUAREM (Varadhan & Roland 2008, scheme S3): two EM steps, then an extrapolation.

    start: flat parameters. project: maps extrapolated parameters back onto the simplices. Stops when the next step promises at most
    `gain` nats, or after `limit` steps. The objective never falls: EM can't lower it, and an extrapolation is kept only where it is at
    least as good as the EM steps. Raises ArithmeticError where EM lowers the objective beyond rounding.
    """
    here, now, steps = start, step(start), 1
    while steps < limit and now.expected_gain > gain:
        first = step(now.next_params)
        if first.objective < now.objective - max(gain, ROUNDING_SLACK * abs(now.objective)):
            raise ArithmeticError(f"EM lowered its objective from {now.objective!r} to {first.objective!r}")
        leap = project(_extrapolate(here, now.next_params, first.next_params))
        last = step(leap)
        here, now = (leap, last) if last.objective >= first.objective else (now.next_params, first)
        steps += 2
    return EMResult(here, now.posterior, now.objective, steps, now.expected_gain <= gain)


def _extrapolate(x0: Floats, x1: Floats, x2: Floats) -> Floats:
    change, bend = x1 - x0, x2 - 2 * x1 + x0
    length = np.sqrt(float(change @ change) / max(float(bend @ bend), 1e-300))
    length = min(max(length, 1.0), 1e3)
    return np.asarray(x0 + 2 * length * change + length**2 * bend)


def floored_log(values: Floats) -> Floats:
    """Return log of values, floored at −690 (log 1e-300), so that products with it stay finite."""
    return np.asarray(np.log(np.maximum(values, 1e-300)))


def normalize_scores(scores: Floats) -> Floats:
    """Exponentiate and scale each row to sum to 1, in place; return the log of each row's sum, shape (rows,)."""
    # numpy's maximum over a short last axis is several times slower than one column at a time
    top = np.maximum.reduce(list(scores.T)) if scores.shape[1] <= 8 else scores.max(axis=1)
    scores -= top[:, None]
    np.exp(scores, out=scores)
    total = scores @ np.ones(scores.shape[1])
    scores /= total[:, None]
    return np.asarray(np.log(total) + top)


@dataclass(frozen=True, eq=False)
class LatentTruths:
    """The latent side of an EM: each item has an answer, and under it one of `kinds` kinds (1: answers only).

    Posteriors have shape (items, answers × kinds), with the kinds of an answer next to each other. Shares, the parameters here, are
    P(answer), shape (answers,), followed by P(kind | answer), shape (answers × kinds,).
    clamp: the gold answers. log_prior: None where P(answer) is learnt, else given, (answers,) or (items, answers).
    smoothing: pseudo-items of each answer in a learnt prior, which keep the probability of an answer that nobody gave above 0.
    """

    judgments: Judgments
    clamp: GoldClamp
    log_prior: Floats | None = None
    smoothing: float = 1.0
    kinds: int = 1

    @property
    def columns(self) -> int:
        return self.judgments.n_answers * self.kinds

    def initial_posterior(self) -> Floats:
        """Return the vote shares with gold clamped, uniform where there are no votes.

        With several kinds, an item is more likely of the easier kind the more its votes agree.
        """
        votes = self.judgments.votes
        total = votes.sum(axis=1, keepdims=True)
        shares = self.clamp.clamp_rows(np.divide(votes, total, out=np.full_like(votes, 1 / votes.shape[1]), where=total > 0))
        if self.kinds == 1:
            return shares
        agreed = (shares.max(axis=1) * votes.shape[1] - 1) / max(votes.shape[1] - 1, 1)
        last = self.kinds - 1
        grade = np.stack([comb(last, m) * agreed**m * (1 - agreed) ** (last - m) for m in range(self.kinds)], axis=1)
        return np.asarray(shares[:, :, None] * grade[:, None, :]).reshape(len(shares), -1)

    def answer_posterior(self, posterior: Floats) -> Floats:
        """Sum the posterior over kinds to answers; shape (items, answers)."""
        return posterior.reshape(len(posterior), -1, self.kinds).sum(axis=2) if self.kinds > 1 else posterior

    def update_shares(self, posterior: Floats) -> Floats:
        """Run the M-step of the shares; gold is left out of P(answer), as it is rarely a random sample."""
        free, kinds = self._totals(posterior)
        return np.concatenate([free / free.sum(), (kinds / kinds.sum(axis=1, keepdims=True)).ravel()])

    def expected_gain(self, posterior: Floats, before: Floats, after: Floats) -> float:
        """Return how much a step of the shares raises the expected log-likelihood, in nats."""
        k = self.judgments.n_answers
        free, kinds = self._totals(posterior)
        rise = floored_log(after) - floored_log(before)
        return float(kinds.ravel() @ rise[k:]) + (float(free @ rise[:k]) if self.log_prior is None else 0.0)

    def _totals(self, posterior: Floats) -> tuple[Floats, Floats]:
        k = self.judgments.n_answers
        total = np.ones(len(posterior)) @ posterior
        free = (total - posterior[self.clamp.item].sum(axis=0)).reshape(k, self.kinds).sum(axis=1)
        # EM without a prior may leave a class empty; a tiny count keeps its share defined
        return np.maximum(free, 0.0) + max(self.smoothing, 1e-12), total.reshape(k, self.kinds) + 1.0

    def infer(self, scores: Floats, shares: Floats, *, clamped: bool = True) -> tuple[Floats, float]:
        """Run the E-step: log-likelihoods (items, answers × kinds), overwritten, to the posterior and its part of the objective.

        That part is the log marginal of the free items, the expected log marginal of gold over its kinds, and the log density
        of the shares under their prior. clamped=False: the posterior as if there were no gold.
        """
        k, gold = self.judgments.n_answers, self.clamp.item
        answer, kind = floored_log(shares[:k]), floored_log(shares[k:])
        value = float(kind.sum()) + (self.smoothing * float(answer.sum()) if self.log_prior is None else 0.0)
        fixed, gold_value = self._gold(scores[gold] + kind)
        scores += kind + np.repeat(answer if self.log_prior is None else self.log_prior, self.kinds, axis=-1)
        marginal = normalize_scores(scores)
        if clamped:
            scores[gold] = fixed
        return scores, value + gold_value + float(marginal.sum() - marginal[gold].sum())

    def contradiction_notes(self, scores: Floats, shares: Floats | None = None) -> list[str]:
        """Return a note on gold that these log-likelihoods (overwritten) contradict; shares: P(answer) where it is learnt."""
        if not len(self.clamp):
            return []
        unclamped, _ = self.infer(scores, np.ones(self.judgments.n_answers + self.columns) if shares is None else shares, clamped=False)
        return self.clamp.contradiction_notes(self.judgments, self.answer_posterior(unclamped)[self.clamp.item])

    def _gold(self, scores: Floats) -> tuple[Floats, float]:
        """Return the posterior rows of gold, with its kinds inferred, and its expected log marginal."""
        shape = (len(scores), self.judgments.n_answers, self.kinds)
        within = scores.reshape(-1, self.kinds)
        marginal = normalize_scores(within).reshape(shape[:2])
        rows = within.reshape(shape) * self.clamp.rows[:, :, None]
        return rows.reshape(scores.shape), float((self.clamp.rows * marginal).sum())


def build_truths(
    judgments: Judgments,
    gold: GoldAnswers | None,
    *,
    class_prior: Mapping[Any, float] | None = None,
    smoothing: float = 1.0,
    kinds: int = 1,
    item_prior: Floats | None = None,
    item_prior_weight: float = 1.0,
) -> LatentTruths:
    """Build the latent truths of judgments with gold and a prior.

    class_prior: answer -> probability (on any positive scale), learnt when None. item_prior: probabilities (items, answers) in its
    place, which enter as item_prior_weight·log. Raises UserError for a class prior that doesn't give each answer a positive share, and
    for an item prior of the wrong shape or with a row that has no positive entry or a negative one.
    """
    log_prior = None
    if item_prior is not None:
        log_prior = item_prior_weight * _item_log_prior(item_prior, judgments)
    elif class_prior is not None:
        log_prior = _class_log_prior(class_prior, judgments)
    return LatentTruths(judgments, GoldClamp.from_gold(judgments, gold), log_prior, smoothing, kinds)


def vote_prior(judgments: Judgments) -> dict[Any, float]:
    """Return each answer's number of votes plus one, as an unnormalised class prior."""
    return dict(zip(judgments.answers, (judgments.votes.sum(axis=0) + 1.0).tolist(), strict=True))


def _class_log_prior(class_prior: Mapping[Any, float], judgments: Judgments) -> Floats:
    shares = np.array([class_prior.get(answer, 0.0) for answer in judgments.answers], dtype=np.float64)
    if len(class_prior) != len(shares) or not (shares > 0).all():
        raise UserError(
            f"the class prior names {len(class_prior)} answers, and gives {int((shares > 0).sum())} of the {len(shares)} a positive share",
            f"give a positive share for each of {', '.join(map(repr, judgments.answers))}",
        )
    return np.asarray(np.log(shares / shares.sum()))


def _item_log_prior(item_prior: Floats, judgments: Judgments) -> Floats:
    prior = np.asarray(item_prior, dtype=np.float64)
    if prior.shape != (judgments.n_items, judgments.n_answers) or not (prior >= 0).all() or not (prior.sum(axis=1) > 0).all():
        raise UserError(
            f"the item prior has shape {prior.shape} where ({judgments.n_items}, {judgments.n_answers}) probabilities are wanted",
            "give a row of probabilities for each of judgments.items, a column for each of judgments.answers",
        )
    return floored_log(np.maximum(prior / prior.sum(axis=1, keepdims=True), 1e-9))


@dataclass(frozen=True, eq=False)
class VoteCells:
    """Vote weights by cell and source.

    matrix: (item, answer) cells × sources; a source is an annotator, or an annotator's answer. votes: all votes of each source.
    """

    judgments: Judgments
    matrix: sparse.csr_array
    votes: Floats

    @classmethod
    def from_judgments(cls, judgments: Judgments, *, by_answer: bool) -> VoteCells:
        """Build the cells; sources are annotators or, with `by_answer`, each annotator's answers next to each other."""
        j = judgments
        cell = j.item_code.astype(np.int64) * j.n_answers + j.answer_code
        source = j.annotator_code.astype(np.int64) * j.n_answers + j.answer_code if by_answer else j.annotator_code
        shape = (j.n_items * j.n_answers, j.n_annotators * (j.n_answers if by_answer else 1))
        matrix = sparse.coo_array((j.weight, (cell, source)), shape=shape).tocsr()
        return cls(j, matrix, np.bincount(source, j.weight, shape[1]).astype(np.float64))

    def scores(self, gain: Floats) -> Floats:
        """Return the sum of the sources' gains over the votes on each answer; shape (items, answers)."""
        return np.asarray(self.matrix @ gain).reshape(-1, self.judgments.n_answers)

    def expected_right_votes(self, posterior: Floats) -> Floats:
        """Return each source's expected number of right votes, shape (sources,)."""
        return np.asarray(self.matrix.T @ posterior.ravel())
