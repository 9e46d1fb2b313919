"""The aggregator protocol, the registry of aggregators, `aggregate`, and the quality of annotators under a fit.

The quality of an annotator is computed when it is asked for, since a crowd may have 100,000 of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from inspect import signature
from typing import Any, Protocol

import numpy as np
from scipy.special import betaincinv

from preceptor.consensus.judgments import Floats, GoldAnswers, GoldClamp, Judgments
from preceptor.errors import UserError
from preceptor.registry import OptionsBase, Registry
from preceptor.statistics import estimate_mean
from preceptor.types import AnnotatorQuality, Consensus, Estimate

CONFIDENCE = 0.95


class ConfusionModel(Protocol):
    """Fitted parameters that give every annotator's confusion matrix."""

    def confusion(self, annotator: int) -> Floats:
        """Return the confusion matrix of an annotator, given by code: (k, k), rows are the true answers, and each row sums to 1."""


class AnnotatorQualities(Mapping[Any, AnnotatorQuality]):
    """A lazy mapping of annotator id -> AnnotatorQuality.

    Accuracy is the share of judgments that agree with the posterior, with a 95 % credible interval: a Beta distribution under
    Jeffreys' prior, on as many judgments as the uncertain posteriors are worth (Louis 1982, missing information:
    n − Σ t(1−t) / (r(1−r)), where t is the posterior probability of the answer given, and r the accuracy).
    """

    def __init__(self, judgments: Judgments, posterior: Floats, model: ConfusionModel | None = None) -> None:
        self._judgments, self._posterior, self.model = judgments, posterior, model

    @cached_property
    def _index(self) -> dict[Any, int]:
        return {annotator: code for code, annotator in enumerate(self._judgments.annotators)}

    @cached_property
    def _vote_sums(self) -> Floats:
        """Per annotator: judgments, votes, votes that agree, Σ t(1−t) of the votes; shape (4, n_annotators)."""
        j = self._judgments
        agree = self._posterior[j.item_code, j.answer_code]
        shares = (np.ones(len(j)), j.weight, j.weight * agree, j.weight * agree * (1 - agree))
        return np.stack([np.bincount(j.annotator_code, share, j.n_annotators) for share in shares])

    @cached_property
    def accuracy(self) -> Floats:
        """Share of votes that agree with the posterior, shape (n_annotators,), smoothed by half a vote for and half a vote against."""
        _, votes, agree, _ = self._vote_sums
        return np.asarray((agree + 0.5) / (votes + 1.0))

    def __getitem__(self, annotator: Any) -> AnnotatorQuality:
        w = self._index[annotator]
        count, votes, agree, unknown = self._vote_sums[:, w].tolist()
        if not count:
            return AnnotatorQuality(0)
        rate = float(self.accuracy[w])
        worth = max(votes - unknown / (rate * (1 - rate)), 0.0) if votes else 0.0
        share = agree / votes
        tail = (1 - CONFIDENCE) / 2
        low, high = (float(betaincinv(share * worth + 0.5, (1 - share) * worth + 0.5, p)) for p in (tail, 1 - tail))
        accuracy = Estimate(share, min(low, share), max(high, share), round(votes), "beta, missing information", CONFIDENCE)
        return AnnotatorQuality(int(count), accuracy, self.model.confusion(w) if self.model else None)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._judgments.annotators)

    def __len__(self) -> int:
        return self._judgments.n_annotators


def score_annotators(judgments: Judgments, score: Floats) -> dict[Any, AnnotatorQuality]:
    """Return the quality of each annotator from `score`, (rows,), how far each judgment agrees with the composed answer, 0 to 1.

    Several judgments by one annotator of one item count as one, their mean; NaN scores are ignored. The accuracy is None where no
    finite interval can be computed (one item only, or no spread).
    """
    j = judgments
    known = ~np.isnan(score)
    key = (j.annotator_code.astype(np.int64) * j.n_items + j.item_code)[known]
    pair, place, again = np.unique(key, return_inverse=True, return_counts=True)
    scores, who = np.bincount(place, score[known]) / again, pair // max(j.n_items, 1)
    count = np.bincount(j.annotator_code, minlength=j.n_annotators)
    found = {}
    for code, annotator in enumerate(j.annotators):
        told = estimate_mean(scores[who == code]) if (who == code).any() else None
        bounded = told is not None and np.isfinite([told.low, told.high]).all()
        found[annotator] = AnnotatorQuality(
            int(count[code]), replace(told, low=max(told.low, 0.0), high=min(told.high, 1.0)) if told and bounded else None
        )
    return found


def chance_warnings(votes: Floats, agree: Floats, clamp: GoldClamp, answers: int) -> list[str]:
    """Return a warning where many annotators seem to do worse than chance and no gold says which side is right.

    votes, agree: each annotator's votes, and the votes that agree with the posterior; both of shape (annotators,).
    """
    worse = (votes >= 5) & (agree + 2 * np.sqrt(np.maximum(agree, 1.0)) < votes / answers)
    share = votes[worse].sum() / max(votes.sum(), 1e-300)
    if len(clamp) or share < 0.2:
        return []
    return [
        f"{worse.sum()} annotators, with {share:.0%} of the judgments, do worse than chance if the others are right; "
        "the two sides may be switched, and only gold can tell: give some known answers"
    ]


class Aggregator(Protocol):
    """A method of aggregation, made from its `Options`.

    `fit` is pure: the same judgments in any order give the same Consensus, and no state is kept on self.
    """

    @property
    def Options(self) -> type[OptionsBase]: ...

    def __init__(self, options: Any = ...) -> None: ...

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> Consensus:
        """Fit the judgments and return their consensus; `gold` maps items to known answers."""


aggregators: Registry[type[Aggregator]] = Registry(
    "aggregator",
    group="preceptor.aggregators",
    built_in={
        "auto": "preceptor.consensus.auto",
        "majority": "preceptor.consensus.majority",
        "rating": "preceptor.consensus.panel_rating",
        "dawid_skene": "preceptor.consensus.dawid_skene",
        "one_coin": "preceptor.consensus.one_coin",
        "mace": "preceptor.consensus.mace",
        "glad": "preceptor.consensus.glad",
        "ordinal": "preceptor.consensus.ordinal",
        "continuous": "preceptor.consensus.ordinal",
        "multilabel": "preceptor.consensus.multilabel",
        "rank": "preceptor.consensus.plackett_luce",
        "similar": "preceptor.consensus.similar_text",
        "spans": "preceptor.consensus.spans",
        "claims": "preceptor.consensus.claims",
    },
)


def aggregate(
    judgments: Judgments,
    method: str = "auto",
    gold: GoldAnswers | None = None,
    *,
    start: Consensus | None = None,
    item_prior: Floats | None = None,
    **options: Any,
) -> Consensus:
    """Return the consensus of the judgments by the aggregator registered as `method`.

    gold: item -> known answer. options: the method's own. start: an earlier consensus to resume from. item_prior: probabilities
    (items, answers). Raises UserError where the method doesn't take `start` or `item_prior`.
    """
    kind: Any = aggregators.get(method)
    aggregator = kind(kind.Options.parse(options, of=f"aggregator {method!r}"))
    given = {name: value for name, value in {"start": start, "item_prior": item_prior}.items() if value is not None}
    for name in given.keys() - signature(aggregator.fit).parameters.keys():
        raise UserError(f"aggregator {method!r} takes no {name}", "leave it out, or use dawid_skene")
    fitted: Consensus = aggregator.fit(judgments, gold, **given)
    return fitted
