"""Ratings on a scale by anonymous annotators: the posterior of the whole panel's mean, and of its class."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field
from scipy.stats import norm

from preceptor.consensus.aggregators import AnnotatorQualities, aggregators
from preceptor.consensus.judgments import GoldAnswers, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus, FloatArray, IntArray

N_SPREADS = 6  # distinct spreads of the dictionary, from panels that agree to panels that are divided
MEANS_PER_STEP = 5
CARELESS_SHARE = 0.015  # share of ratings that may be anything: slips of the hand
PSEUDO_VOTES = 1.0  # votes for each rating distribution before any item is seen


class PanelRating:
    """An empirical Bayes posterior over the mean rating of a panel, of which some members have answered.

    Each item's ratings are drawn from one of a dictionary of rating distributions (discretised normals over a
    grid of means and spreads, with a little carelessness). How frequent each is among the items is learnt from
    all judgments by EM (nonparametric maximum likelihood of a mixing distribution: Kiefer and Wolfowitz 1956;
    on a fixed grid it is convex, Koenker and Mizera 2014, so that the solution is unique and doesn't depend on the start).
    That shrinks an item's mean and spread to those of items with similar ratings. The sum of the ratings not
    yet given is then a convolution of the item's distributions, so the posterior of the panel's mean is exact.
    """

    class Options(OptionsBase):
        scale: tuple[float, ...] = Field(min_length=2, description="the points of the scale, rising in equal steps")
        cuts: tuple[float, ...] = Field((), description="where the classes of the mean part; midpoints of the scale's steps if none")
        labels: tuple[Any, ...] = Field((), description="names of the classes; the scale's points if none")
        panel: int | None = Field(None, ge=1, description="people whose mean is the truth; none: everybody, without end")
        steps: int = Field(100, ge=1, description="most EM steps")
        tolerance: float = Field(1e-4, gt=0, description="stop when no share changes by more")

    def __init__(self, options: Options) -> None:
        self.options = options
        self._scale = np.asarray(options.scale, dtype=np.float64)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> Consensus:
        """Return the posterior over classes of each item; `value` and `spread` are mean and standard deviation of the panel's mean."""
        counts = self._votes(judgments)
        means, table = rating_distributions(self._scale)
        shares, steps = self._shares(counts, table)
        member = _membership_posterior(counts, table, shares)
        posterior, value, variance = self._panel(counts, member, means, table)
        labels = self.options.labels or self.options.scale
        if gold:
            _clamp_gold(posterior, judgments, gold, labels)
        agrees = posterior[:, self.classes(np.asarray(judgments.answers, dtype=np.float64))]  # items × answers
        return Consensus(
            items=judgments.items,
            answers=tuple(labels),
            posterior=posterior,
            judgment_counts=judgments.counts,
            annotators=AnnotatorQualities(judgments, agrees),
            method="rating",
            value=value,
            spread=np.sqrt(np.maximum(variance, 0.0)),
            converged=steps < self.options.steps,
            iterations=steps,
        )

    def classes(self, mean: FloatArray) -> IntArray:
        """Return the class of each mean; a mean exactly on a cut belongs to the class nearer the middle of the scale."""
        cuts = self.options.cuts or tuple((self._scale[1:] + self._scale[:-1]) / 2)
        middle, hair = (self._scale[0] + self._scale[-1]) / 2, 1e-9
        edges = np.array([cut - hair if cut <= middle else cut + hair for cut in cuts])
        return np.searchsorted(edges, mean).astype(np.int64)

    def _votes(self, judgments: Judgments) -> FloatArray:
        """Return votes per item and scale point, shape (items, points); answers off the scale were refused when they were given."""
        answers = np.asarray(judgments.answers, dtype=np.float64)
        return judgments.votes @ (np.abs(answers[:, None] - self._scale) < 1e-9).astype(np.float64)

    def _shares(self, counts: FloatArray, table: FloatArray) -> tuple[FloatArray, int]:
        """Return how frequent each distribution of the dictionary is among the items, and the number of EM steps."""
        seen = counts[counts.sum(axis=1) > 0]
        likelihood = _scaled_likelihood(seen, table)
        shares = np.full(len(table), 1 / len(table))
        for step in range(1, self.options.steps + 1):  # noqa: B007  the count of steps is a result
            member = likelihood * shares
            member /= member.sum(axis=1, keepdims=True)
            new = (member.sum(axis=0) + PSEUDO_VOTES) / (len(seen) + PSEUDO_VOTES * len(table))
            moved = np.abs(new - shares).max()
            shares = new
            if moved < self.options.tolerance:
                break
        return shares, step

    def _panel(
        self, counts: FloatArray, member: FloatArray, means: FloatArray, table: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the posterior over classes, (items, classes), and the mean and variance, (items,), of the panel's mean."""
        classes = len(self.options.cuts) + 1 if self.options.cuts else len(self._scale)
        if self.options.panel is None:
            value = member @ means
            return member @ _one_hot(self.classes(means), classes), value, member @ means**2 - value**2
        panel = self.options.panel
        given = np.rint(counts.sum(axis=1)).astype(np.int64)
        total = counts @ np.arange(len(self._scale))  # in steps above the lowest point
        low, step = self._scale[0], self._scale[1] - self._scale[0]
        posterior, value, variance = np.zeros((len(counts), classes)), np.zeros(len(counts)), np.zeros(len(counts))
        for rest, sums in enumerate(_sum_distributions(table, panel)):  # the distribution of the sum of `rest` further ratings
            rows = np.flatnonzero(np.maximum(panel - given, 0) == rest)
            if not len(rows):
                continue
            chance = member[rows] @ sums
            mean = low + step * (total[rows, None] + np.arange(sums.shape[1])) / np.maximum(given[rows, None], panel)
            which = self.classes(mean)
            for k in range(classes):
                posterior[rows, k] = (chance * (which == k)).sum(axis=1)
            value[rows] = (chance * mean).sum(axis=1)
            variance[rows] = (chance * (mean - value[rows, None]) ** 2).sum(axis=1)
        return posterior / posterior.sum(axis=1, keepdims=True), value, variance


def rating_distributions(scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means, (distributions,), and probabilities, (distributions, points), of the rating distributions of a scale."""
    points = len(scale)
    centres = np.linspace(-0.2, points - 0.8, MEANS_PER_STEP * (points - 1) + 3)
    spreads = np.geomspace(0.35, max((points - 1) / 4, 0.7), N_SPREADS)
    edges = np.arange(points - 1) + 0.5
    below = norm.cdf((edges - centres[:, None]) / spreads[:, None, None]).reshape(-1, points - 1)
    table = np.diff(np.pad(below, ((0, 0), (1, 1)), constant_values=(0.0, 1.0)), axis=1)
    table = (1 - CARELESS_SHARE) * table + CARELESS_SHARE / points
    return table @ scale, table


def _scaled_likelihood(counts: FloatArray, table: FloatArray) -> FloatArray:
    """Return each item's likelihood under each distribution, scaled so that the largest is 1."""
    log = counts @ np.log(table).T
    scaled: FloatArray = np.exp(log - log.max(axis=1, keepdims=True))
    return scaled


def _membership_posterior(counts: FloatArray, table: FloatArray, shares: FloatArray) -> FloatArray:
    member = _scaled_likelihood(counts, table) * shares
    return np.asarray(member / member.sum(axis=1, keepdims=True))


def _sum_distributions(table: FloatArray, most: int) -> list[FloatArray]:
    """Return the distributions of the sum of 0 … `most` ratings, in steps above the lowest, each of shape (distributions, sums)."""
    sums = [np.ones((len(table), 1))]
    points = table.shape[1]
    for _ in range(most):
        before = sums[-1]
        after = np.zeros((len(table), before.shape[1] + points - 1))
        for point in range(points):
            after[:, point : point + before.shape[1]] += table[:, point : point + 1] * before
        sums.append(after)
    return sums


def _one_hot(codes: IntArray, classes: int) -> FloatArray:
    return np.eye(classes)[codes]


def _clamp_gold(posterior: FloatArray, judgments: Judgments, gold: GoldAnswers, labels: tuple[Any, ...]) -> None:
    for item, answer in gold.items():
        if item in judgments.item_index and answer in labels:
            posterior[judgments.item_index[item]] = _one_hot(np.array([labels.index(answer)]), len(labels))[0]


aggregators.register("rating")(PanelRating)
