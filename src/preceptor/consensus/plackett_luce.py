"""Consensus on rankings of an item's responses: the worth of each response by Plackett and Luce's model, and the order's certainty."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import factorial
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from preceptor.consensus.aggregators import aggregators, score_annotators
from preceptor.consensus.judgments import GOLD_DOUBT, Floats, GoldAnswers, Integers, Judgments
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import ComposedConsensus

POSTERIOR_DRAWS = 1024  # samples of the worths, the same noise for every item
ITEM_BLOCK = 2000  # items sampled at once
CARE_ROUNDS = 30  # most rounds of estimating which rankings were careful; the last changes little
MM_STEPS = 5  # of the worths in a round
CARE_PRIOR = 4.0  # pseudo-judgments at the crowd's rate of care in each annotator's own


@aggregators.register("rank")
@dataclass(frozen=True)
class PlackettLuce:
    """Plackett & Luce's model of each item, by the MM steps of Hunter (2004) with a gamma prior; orders are tuples, best first.

    A response has worth λ; a careful annotator takes the first place's response with probability in proportion to λ, then the second's
    among the rest. λ ~ Gamma(prior, prior), at its mode in log λ. Each annotator ranks with care at a rate of their own, learnt by EM, and
    otherwise at random, so that careless annotators count for less. The certainty is the posterior probability of the whole order (or
    of its best response) under a normal approximation around the mode; it doesn't cover errors that all annotators share.
    """

    class Options(OptionsBase):
        prior: float = Field(0.5, gt=0, description="shape of the prior of a response's worth: the larger, the more alike they are")
        sure_of: Literal["order", "top"] = Field("order", description="what the certainty is of: the whole order, or its best response")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> ComposedConsensus:
        """Fit the rankings and return each item's order, with the log worths of its responses as parts.

        gold: item -> its order. An item without judgments has its responses in their original order.
        """
        ranked = RankingColumns.from_judgments(judgments)
        worth, weight = self._worths(ranked, judgments)
        precision = _posterior_precision(ranked, worth, weight, self.options.prior)
        order = np.argsort(-worth, axis=1, kind="stable")
        whole, top = _order_certainty(np.log(worth), precision, order)
        certainty = whole if self.options.sure_of == "order" else top
        for item, key in (gold or {}).items():
            if item in judgments.item_index:
                code = judgments.item_index[item]
                order[code], certainty[code] = _check_order(_parse_order(key), ranked.width, f"gold of item {item!r}"), 1 - GOLD_DOUBT
        share = np.log(worth) - np.log(worth).mean(axis=1, keepdims=True)
        parts = [{"strengths": row.tolist(), "top": float(p)} for row, p in zip(share.round(4), top.round(4), strict=True)]
        composed = [{"order": row, "shown": None} for row in order.tolist()]
        return ComposedConsensus.from_answers(
            judgments.items, composed, certainty, judgments.counts, method="rank", parts=tuple(parts),
            annotators=score_annotators(judgments, _pair_agreement(ranked.order, order[judgments.item_code])),
        )  # fmt: skip

    def _worths(self, ranked: RankingColumns, j: Judgments) -> tuple[Floats, Floats]:
        """Return the worth of each response, (items, responses), and the weight of each row, (rows,): votes × the probability of care."""
        worth, care = np.ones((j.n_items, ranked.width)), np.ones(len(j))
        for _ in range(CARE_ROUNDS):
            for _ in range(MM_STEPS):
                worth = ranked.mm_step(worth, j.weight * care, self.options.prior)
            careful = np.exp(ranked.leave_out_log_likelihood(worth, j.weight * care, self.options.prior))
            careless = 1 / factorial(ranked.width)
            votes = np.bincount(j.annotator_code, j.weight, j.n_annotators)
            cared = np.bincount(j.annotator_code, j.weight * care, j.n_annotators)
            crowd = (cared.sum() + 0.9) / (votes.sum() + 1)
            rate = ((cared + CARE_PRIOR * crowd) / (votes + CARE_PRIOR))[j.annotator_code]
            before, care = care, rate * careful / (rate * careful + (1 - rate) * careless)
            if np.abs(care - before).max(initial=0.0) < 1e-6:
                break
        return worth, j.weight * care


class RankingColumns(NamedTuple):
    """Orders of `width` responses as columns.

    order: (rows, width), best first. item: (rows,), below `items`. whose: (rows,), codes of one annotator about one item.
    """

    order: Integers
    item: Integers
    items: int
    whose: Integers
    width: int

    @classmethod
    def from_judgments(cls, j: Judgments) -> RankingColumns:
        """Build the columns; raises UserError unless every answer orders the same responses, 0 to width − 1."""
        width = len(_parse_order(j.answers[0]))
        table = np.array([_check_order(_parse_order(answer), width, "a ranking") for answer in j.answers], dtype=np.int64)
        item = j.item_code.astype(np.int64)
        whose = np.unique(item * j.n_annotators + j.annotator_code, return_inverse=True)[1]
        return cls(table[j.answer_code], item, j.n_items, whose, width)

    def mm_step(self, worth: Floats, weight: Floats, prior: float) -> Floats:
        """Run one MM step: wins over expected wins per unit of worth, each with its prior."""
        won, chance = self._tally(worth, weight)
        return (prior + self._sum(won, self.item)) / (prior + self._sum(chance, self.item))

    def leave_out_log_likelihood(self, worth: Floats, weight: Floats, prior: float) -> Floats:
        """Return the log-likelihood of each row, (rows,), by others' rankings of the item: one step without the annotator's own part.

        With that part a lone careless ranking would confirm itself.
        """
        item, own = (self.item[:, None], self.order), (self.whose[:, None], self.order)
        won, chance = (self._sum(part, self.item)[item] - self._sum(part, self.whose)[own] for part in self._tally(worth, weight))
        placed = (prior + won) / (prior + chance)
        return np.asarray((np.log(placed) - np.log(_remaining_worth(placed)))[:, :-1].sum(axis=1))

    def _tally(self, worth: Floats, weight: Floats) -> tuple[Floats, Floats]:
        """Return, of each place in each row, whether its response was chosen and the expected choices of a worth of 1; weighted."""
        chance = np.cumsum(1 / _remaining_worth(worth[self.item[:, None], self.order])[:, :-1], axis=1)
        won = np.ones_like(self.order, dtype=np.float64)
        won[:, -1] = 0.0  # the last place is not a choice
        return won * weight[:, None], np.concatenate([chance, chance[:, -1:]], axis=1) * weight[:, None]

    def _sum(self, values: Floats, code: Integers) -> Floats:
        """Sum `values` (rows, width), given in the rows' orders, per code and response."""
        count = max(self.items, int(code.max(initial=0)) + 1)
        cell = code[:, None] * self.width + self.order
        return np.bincount(cell.ravel(), values.ravel(), count * self.width).astype(np.float64).reshape(count, self.width)


def _remaining_worth(placed: Floats) -> Floats:
    """Return the total worth of the responses not yet placed, at each place."""
    return np.asarray(np.cumsum(placed[:, ::-1], axis=1)[:, ::-1])


def _posterior_precision(ranked: RankingColumns, worth: Floats, weight: Floats, prior: float) -> Floats:
    """Return minus the second derivatives of the log posterior by log worth, (items, responses, responses)."""
    width = ranked.width
    found = prior * worth[:, :, None] * np.eye(width)
    left = worth[ranked.item]
    rows = np.arange(len(left))
    for place in range(width - 1):
        chance = left / left.sum(axis=1, keepdims=True)
        np.add.at(found, ranked.item, -weight[:, None, None] * chance[:, :, None] * chance[:, None, :])
        found[:, np.arange(width), np.arange(width)] += _sum_by_item(ranked, weight[:, None] * chance)
        left = left.copy()
        left[rows, ranked.order[:, place]] = 0.0
    return found


def _sum_by_item(ranked: RankingColumns, values: Floats) -> Floats:
    return np.stack([np.bincount(ranked.item, column, ranked.items) for column in values.T], axis=1)


def _order_certainty(log_worth: Floats, precision: Floats, order: Integers) -> tuple[Floats, Floats]:
    """Return the probability of each item's order, and that its first response is the best; (items,) each."""
    noise = np.random.default_rng(0).standard_normal((order.shape[1], POSTERIOR_DRAWS))
    whole, top = np.zeros(len(order)), np.zeros(len(order))
    for start in range(0, len(order), ITEM_BLOCK):
        rows = slice(start, start + ITEM_BLOCK)
        root = np.linalg.cholesky(precision[rows]).transpose(0, 2, 1)
        drawn = log_worth[rows, :, None] + np.linalg.solve(root, np.broadcast_to(noise, (len(root), *noise.shape)))
        drawn = np.take_along_axis(drawn, order[rows, :, None], axis=1)
        whole[rows] = (np.diff(drawn, axis=1) < 0).all(axis=1).sum(axis=1)
        top[rows] = (drawn[:, :1] > drawn[:, 1:]).all(axis=1).sum(axis=1)
    return (whole + 0.5) / (POSTERIOR_DRAWS + 1), (top + 0.5) / (POSTERIOR_DRAWS + 1)


def _pair_agreement(order: Integers, other: Integers) -> Floats:
    """Return the share of pairs of responses that two orders put the same way, (rows,)."""
    one, two = np.argsort(order, axis=1), np.argsort(other, axis=1)
    first, second = np.triu_indices(order.shape[1], 1)
    return np.asarray(((one[:, first] < one[:, second]) == (two[:, first] < two[:, second])).mean(axis=1))


def _parse_order(answer: object) -> tuple[int, ...]:
    given = answer["order"] if isinstance(answer, dict) else answer
    return tuple(given) if isinstance(given, tuple | list) else (-1,)


def _check_order(order: tuple[int, ...], width: int, what: str) -> tuple[int, ...]:
    if sorted(order) != list(range(width)) or width < 2:
        raise UserError(f"{what} names each response once, not {order!r:.60}", "give tuples of the numbers from 0, best first")
    return order
