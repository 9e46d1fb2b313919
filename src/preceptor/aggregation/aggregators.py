"""The contract of an aggregator, the registry of them, and the one call that runs one."""

from __future__ import annotations

from inspect import signature
from typing import Any, Protocol

from preceptor.aggregation.gold import Gold
from preceptor.aggregation.judgments import Floats, Judgments
from preceptor.domain import Consensus
from preceptor.errors import UserError
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
        "ordinal": "preceptor.aggregation.ordinal",
        "continuous": "preceptor.aggregation.ordinal",
        "multilabel": "preceptor.aggregation.multilabel",
        "rank": "preceptor.aggregation.rank",
        "similar": "preceptor.aggregation.similar",
        "spans": "preceptor.aggregation.spans",
        "claims": "preceptor.aggregation.claims",
    },
)


def aggregate(
    judgments: Judgments,
    method: str = "auto",
    gold: Gold | None = None,
    *,
    start: Consensus | None = None,
    item_prior: Floats | None = None,
    **options: Any,
) -> Consensus:
    """Consensus by the aggregator called `method`; gold maps items to known answers, options are the method's own.

    start: an earlier consensus to go on from. item_prior: probabilities (items, answers). UserError where the method
    takes neither.
    """
    kind: Any = aggregators.get(method)
    aggregator = kind(kind.Options.parse(options, of=f"aggregator {method!r}"))
    given = {name: value for name, value in {"start": start, "item_prior": item_prior}.items() if value is not None}
    for name in given.keys() - signature(aggregator.fit).parameters.keys():
        raise UserError(f"aggregator {method!r} takes no {name}", "leave it out, or use dawid_skene")
    fitted: Consensus = aggregator.fit(judgments, gold, **given)
    return fitted
