"""Consensus: the posterior of each item's answer, its certainty, and the quality of each annotator, from judgments.

Uses numpy, scipy and pydantic only. `Judgments` holds the columns, `aggregators` registers the methods, `aggregate` runs one.
"""

from __future__ import annotations

from preceptor.consensus.aggregators import Aggregator, aggregate, aggregators
from preceptor.consensus.agreement import agreement
from preceptor.consensus.judgments import Judgments
from preceptor.consensus.multilabel import aggregate_multilabel
from preceptor.consensus.online import OnlineDawidSkene
from preceptor.consensus.pairwise import PairwiseOptions, PairwisePreferences, fit_pairwise

__all__ = [
    "Aggregator",
    "Judgments",
    "OnlineDawidSkene",
    "PairwiseOptions",
    "PairwisePreferences",
    "aggregate",
    "aggregate_multilabel",
    "aggregators",
    "agreement",
    "fit_pairwise",
]
