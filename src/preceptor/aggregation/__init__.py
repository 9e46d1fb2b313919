"""From judgments to posteriors: who is right about each item, how certain that is, and how good each annotator is.

numpy, scipy and pydantic only. `Judgments` holds the columns, `aggregators` the methods, `aggregate` runs one.
"""

from preceptor.aggregation.aggregators import Aggregator, aggregate, aggregators
from preceptor.aggregation.agreement import agreement
from preceptor.aggregation.judgments import Judgments
from preceptor.aggregation.multilabel import aggregate_multilabel
from preceptor.aggregation.online import Online
from preceptor.aggregation.pairwise import PairwiseOptions, pairwise
from preceptor.aggregation.preferences import Preferences

__all__ = [
    "Aggregator",
    "Judgments",
    "Online",
    "PairwiseOptions",
    "Preferences",
    "aggregate",
    "aggregate_multilabel",
    "aggregators",
    "agreement",
    "pairwise",
]
