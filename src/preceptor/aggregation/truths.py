"""What is known of the items' answers besides judgments: gold, and a prior over answers, learnt or given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from preceptor.aggregation.em import floored_log, normalise
from preceptor.aggregation.gold import Clamp, Gold
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.errors import UserError


@dataclass(frozen=True, eq=False)
class Truths:
    """The latent side of an EM: each item has an answer, and under it one of `kinds` kinds (1: answers only).

    Posteriors have shape (items, answers × kinds), the kinds of an answer side by side. Shares, the parameters here, are
    P(answer), shape (answers,), followed by P(kind | answer), shape (answers × kinds,).
    log_prior: None where P(answer) is learnt, else given, (answers,) or (items, answers).
    smoothing: pseudo-items of each answer in a learnt prior; it keeps an answer that nobody gave alive.
    """

    judgments: Judgments
    clamp: Clamp
    log_prior: Floats | None = None
    smoothing: float = 1.0
    kinds: int = 1

    @property
    def columns(self) -> int:
        return self.judgments.n_answers * self.kinds

    def first(self) -> Floats:
        """Vote shares with gold in place, equal where there are no votes; an item is of the easier kind the more its votes agree."""
        votes = self.judgments.votes
        total = votes.sum(axis=1, keepdims=True)
        shares = self.clamp.fix(np.divide(votes, total, out=np.full_like(votes, 1 / votes.shape[1]), where=total > 0))
        if self.kinds == 1:
            return shares
        agreed = (shares.max(axis=1) * votes.shape[1] - 1) / max(votes.shape[1] - 1, 1)
        last = self.kinds - 1
        grade = np.stack([comb(last, m) * agreed**m * (1 - agreed) ** (last - m) for m in range(self.kinds)], axis=1)
        return np.asarray(shares[:, :, None] * grade[:, None, :]).reshape(len(shares), -1)

    def answers(self, posterior: Floats) -> Floats:
        """The posterior over answers, whatever their kind; shape (items, answers)."""
        return posterior.reshape(len(posterior), -1, self.kinds).sum(axis=2) if self.kinds > 1 else posterior

    def learn(self, posterior: Floats) -> Floats:
        """The shares' M-step; gold tells nothing of P(answer), as it is rarely a random sample."""
        free, kinds = self._totals(posterior)
        return np.concatenate([free / free.sum(), (kinds / kinds.sum(axis=1, keepdims=True)).ravel()])

    def promise(self, posterior: Floats, before: Floats, after: Floats) -> float:
        """How much a step of the shares raises the expected log-likelihood, in nats."""
        k = self.judgments.n_answers
        free, kinds = self._totals(posterior)
        rise = floored_log(after) - floored_log(before)
        return float(kinds.ravel() @ rise[k:]) + (float(free @ rise[:k]) if self.log_prior is None else 0.0)

    def _totals(self, posterior: Floats) -> tuple[Floats, Floats]:
        k = self.judgments.n_answers
        total = np.ones(len(posterior)) @ posterior
        free = (total - posterior[self.clamp.item].sum(axis=0)).reshape(k, self.kinds).sum(axis=1)
        # EM without a prior may leave nothing of a class; a hair keeps its share defined
        return np.maximum(free, 0.0) + max(self.smoothing, 1e-12), total.reshape(k, self.kinds) + 1.0

    def infer(self, scores: Floats, shares: Floats, *, clamped: bool = True) -> tuple[Floats, float]:
        """The E-step: log-likelihoods (items, answers × kinds), overwritten, to the posterior and its part of the objective.

        That part is the log marginal of the free items, the expected log marginal of gold over its kinds, and the density
        of the shares under their prior. clamped=False: the posterior as if there were no gold.
        """
        k, gold = self.judgments.n_answers, self.clamp.item
        answer, kind = floored_log(shares[:k]), floored_log(shares[k:])
        value = float(kind.sum()) + (self.smoothing * float(answer.sum()) if self.log_prior is None else 0.0)
        fixed, gold_value = self._gold(scores[gold] + kind)
        scores += kind + np.repeat(answer if self.log_prior is None else self.log_prior, self.kinds, axis=-1)
        marginal = normalise(scores)
        if clamped:
            scores[gold] = fixed
        return scores, value + gold_value + float(marginal.sum() - marginal[gold].sum())

    def contradicted(self, scores: Floats, shares: Floats | None = None) -> list[str]:
        """A note on gold that these log-likelihoods, overwritten, deny; shares: P(answer) where it is learnt."""
        if not len(self.clamp):
            return []
        unclamped, _ = self.infer(scores, np.ones(self.judgments.n_answers + self.columns) if shares is None else shares, clamped=False)
        return self.clamp.contradicted(self.judgments, self.answers(unclamped)[self.clamp.item])

    def _gold(self, scores: Floats) -> tuple[Floats, float]:
        """Gold's rows of the posterior, its kinds inferred, and its expected log marginal."""
        shape = (len(scores), self.judgments.n_answers, self.kinds)
        within = scores.reshape(-1, self.kinds)
        marginal = normalise(within).reshape(shape[:2])
        rows = within.reshape(shape) * self.clamp.rows[:, :, None]
        return rows.reshape(scores.shape), float((self.clamp.rows * marginal).sum())


def truths_of(
    judgments: Judgments,
    gold: Gold | None,
    *,
    class_prior: Mapping[Any, float] | None = None,
    smoothing: float = 1.0,
    kinds: int = 1,
    item_prior: Floats | None = None,
    item_prior_weight: float = 1.0,
) -> Truths:
    """class_prior: answer -> probability (on any positive scale), learnt when None.

    item_prior: probabilities (items, answers) in its place, which enter as item_prior_weight·log.
    """
    log_prior = None
    if item_prior is not None:
        log_prior = item_prior_weight * _item_log_prior(item_prior, judgments)
    elif class_prior is not None:
        log_prior = _class_log_prior(class_prior, judgments)
    return Truths(judgments, Clamp.of(judgments, gold), log_prior, smoothing, kinds)


def vote_prior(judgments: Judgments) -> dict[Any, float]:
    """Each answer's share of the votes, with one vote more."""
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
