"""What a fit says of each annotator, computed when asked for: a crowd may have 100,000 of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.domain import AnnotatorQuality, Estimate

CONFIDENCE = 0.95


class People(Mapping[Any, AnnotatorQuality]):
    """Annotator id -> AnnotatorQuality.

    Accuracy is the share of judgments that agree with the posterior, with a 95 % credible interval: Beta under
    Jeffreys' prior on as many judgments as the uncertain posteriors are worth (Louis 1982, missing information:
    n − Σ t(1−t) / (r(1−r)), t = the posterior at the answer given).
    """

    def __init__(self, judgments: Judgments, posterior: Floats, confusion: Callable[[int], Floats] | None = None) -> None:
        self._judgments, self._posterior, self.confusion = judgments, posterior, confusion

    @cached_property
    def _place(self) -> dict[Any, int]:
        return {annotator: code for code, annotator in enumerate(self._judgments.annotators)}

    @cached_property
    def _tallies(self) -> Floats:
        """Per annotator: judgments, votes, votes that agree, Σ t(1−t) of the votes; shape (4, n_annotators)."""
        j = self._judgments
        agree = self._posterior[j.item_code, j.answer_code]
        shares = (np.ones(len(j)), j.weight, j.weight * agree, j.weight * agree * (1 - agree))
        return np.stack([np.bincount(j.annotator_code, share, j.n_annotators) for share in shares])

    @cached_property
    def accuracy(self) -> Floats:
        """Share of votes that agree with the posterior, shape (n_annotators,); 0.5 of a vote either way where there are few."""
        _, votes, agree, _ = self._tallies
        return np.asarray((agree + 0.5) / (votes + 1.0))

    def __getitem__(self, annotator: Any) -> AnnotatorQuality:
        w = self._place[annotator]
        count, votes, agree, unknown = self._tallies[:, w].tolist()
        if not count:
            return AnnotatorQuality(0)
        rate = float(self.accuracy[w])
        worth = max(votes - unknown / (rate * (1 - rate)), 0.0) if votes else 0.0
        share = agree / votes
        tail = (1 - CONFIDENCE) / 2
        low, high = (float(stats.beta.ppf(p, share * worth + 0.5, (1 - share) * worth + 0.5)) for p in (tail, 1 - tail))
        accuracy = Estimate(share, min(low, share), max(high, share), round(votes), "beta, missing information", CONFIDENCE)
        return AnnotatorQuality(int(count), accuracy, self.confusion(w) if self.confusion else None)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._judgments.annotators)

    def __len__(self) -> int:
        return self._judgments.n_annotators
