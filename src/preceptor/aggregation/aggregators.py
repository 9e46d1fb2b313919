"""The contract of an aggregator, the registry of them, and the one call that runs one."""

from __future__ import annotations

from typing import Any, Protocol

from preceptor.aggregation.gold import Gold
from preceptor.aggregation.judgments import Judgments
from preceptor.domain import Consensus
from preceptor.registry import OptionsBase, Registry


class Aggregator(Protocol):
    """`fit` is pure: the same judgments in any order give the same Consensus; nothing stays on self.

    It is made from its `Options`; gold maps items to known answers.
    """

    @property
    def Options(self) -> type[OptionsBase]: ...

    def __init__(self, options: Any = ...) -> None: ...

    def fit(self, judgments: Judgments, gold: Gold | None = None) -> Consensus: ...


aggregators: Registry[type[Aggregator]] = Registry(
    "aggregator",
    group="preceptor.aggregators",
    built_in={
        "auto": "preceptor.aggregation.auto",
        "majority": "preceptor.aggregation.majority",
        "rating": "preceptor.aggregation.rating",
        "dawid_skene": "preceptor.aggregation.dawid_skene",
        "one_coin": "preceptor.aggregation.one_coin",
        "mace": "preceptor.aggregation.mace",
        "glad": "preceptor.aggregation.glad",
    },
)


def aggregate(judgments: Judgments, method: str = "auto", gold: Gold | None = None, **options: Any) -> Consensus:
    """Consensus by the aggregator called `method`; gold maps items to known answers, options are the method's own."""
    kind: Any = aggregators.get(method)
    fitted: Consensus = kind(kind.Options.parse(options, of=f"aggregator {method!r}")).fit(judgments, gold)
    return fitted
