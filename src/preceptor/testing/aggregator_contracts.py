"""Check the contract of aggregators, for plug-in authors as for the built-in ones.

    @pytest.mark.parametrize("check", AGGREGATOR_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyAggregator)

A check takes an aggregator for answers that are labels, and raises AssertionError with what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.consensus import Aggregator, Judgments
from preceptor.errors import UserError
from preceptor.testing.simulated_annotators import SimulatedCrowd, simulate_crowd
from preceptor.types import Consensus

TOLERANCE = 1e-5  # of a probability: for sums in another order, and iterations that stop within a tolerance

AggregatorCheck = Callable[[type[Aggregator]], None]


def rows_sum_to_one(kind: type[Aggregator]) -> None:
    """Check that the posterior has a row an item and a column an answer, is finite and not negative, and that its rows sum to 1."""
    judgments = Judgments.from_columns(**_crowd().columns)
    posterior = kind().fit(judgments).posterior
    assert posterior.shape == (judgments.n_items, judgments.n_answers)
    assert (posterior >= 0).all(), "a probability is negative or not a number"
    assert np.allclose(posterior.sum(axis=1), 1.0, atol=1e-9), "rows don't sum to 1"


def order_is_irrelevant(kind: type[Aggregator]) -> None:
    """Check that judgments in another order give the same Consensus, to the last bit."""
    crowd = _crowd()
    order = np.random.default_rng(1).permutation(len(crowd.item))
    shuffled = {name: [column[row] for row in order] for name, column in crowd.columns.items()}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, shuffled))
    assert one.items == other.items
    assert np.array_equal(one.posterior, other.posterior), "another order of arrival gave another posterior"


def renamed_answers_permute(kind: type[Aggregator]) -> None:
    """Check that answers under other names, in another order, get the same probabilities."""
    crowd = _crowd()
    renamed = crowd.columns | {"answer": [_reversed(answer) for answer in crowd.answer]}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, renamed))
    columns = [other.answers.index(_reversed(answer)) for answer in one.answers]
    assert np.allclose(one.posterior, other.posterior[:, columns], atol=TOLERANCE), "answers under other names got other probabilities"


def renamed_annotators_change_nothing(kind: type[Aggregator]) -> None:
    """Check that annotators under other names, in another order, leave the posterior as it is."""
    crowd = _crowd()
    renamed = crowd.columns | {"annotator": [_reversed(name) for name in crowd.annotator]}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, renamed))
    assert np.allclose(one.posterior, other.posterior, atol=TOLERANCE), "annotators under other names gave another posterior"


def renamed_items_permute(kind: type[Aggregator]) -> None:
    """Check that items under other names, in another order, get the same probabilities."""
    crowd = _crowd()
    renamed = crowd.columns | {"item": [_reversed(name) for name in crowd.item]}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, renamed))
    rows = [other.items.index(_reversed(name)) for name in one.items]
    assert np.allclose(one.posterior, other.posterior[rows], atol=TOLERANCE), "items under other names got other probabilities"


def doubled_rows_change_nothing(kind: type[Aggregator]) -> None:
    """Check that giving every judgment twice leaves the posterior as it is, since repeats share a vote."""
    crowd = _crowd()
    doubled = {name: column + column for name, column in crowd.columns.items()}
    one, other = (kind().fit(Judgments.from_columns(**columns)) for columns in (crowd.columns, doubled))
    assert np.allclose(one.posterior, other.posterior, atol=TOLERANCE), "judgments given twice gave another posterior"


def gold_is_obeyed(kind: type[Aggregator]) -> None:
    """Check that an item with a known answer gets it, even where everybody answers otherwise."""
    crowd = _crowd()
    judgments = Judgments.from_columns(**crowd.columns)
    wrong = {item: judgments.answers[judgments.answers.index(answer) - 1] for item, answer in list(crowd.truth.items())[:2]}
    gold = dict(list(crowd.truth.items())[2:20]) | wrong
    top = _top(kind().fit(judgments, gold))
    missed = [item for item, answer in gold.items() if top[item] != answer]
    assert not missed, f"gold was not obeyed on {missed}"


def fitting_is_pure(kind: type[Aggregator]) -> None:
    """Check that an aggregator gives the same Consensus twice, and leaves judgments and gold as they were."""
    crowd = _crowd()
    judgments, gold = Judgments.from_columns(**crowd.columns), dict(list(crowd.truth.items())[:10])
    before = [column.copy() for column in _arrays(judgments)]
    aggregator = kind()
    first = aggregator.fit(judgments, gold).posterior.copy()
    aggregator.fit(judgments)
    assert np.array_equal(first, aggregator.fit(judgments, gold).posterior), "a second fit differs from the first"
    assert all(np.array_equal(old, new) for old, new in zip(before, _arrays(judgments), strict=True)), "the judgments were changed"


def small_input_is_served(kind: type[Aggregator]) -> None:
    """Check that the smallest inputs give a posterior: one judgment, item, annotator or answer, and an item without any answer."""
    for item, annotator, answer, answers in (
        (["a"], ["x"], ["yes"], None),
        (["a"], ["x"], ["yes"], ["yes", "no"]),
        (["a", "a", "a"], ["x", "y", "z"], ["yes", "no", "yes"], None),
        (["a", "b", "c"], ["x", "x", "x"], ["yes", "no", "yes"], None),
        (["a", "b", "b"], ["x", "x", "y"], ["yes", "yes", "yes"], None),
        (["a", "b", "c"], ["x", "x", "y"], ["yes", "no", None], None),
        (["a", "b"], ["x", "y"], [None, None], ["yes", "no"]),
    ):
        posterior = kind().fit(Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=answers)).posterior
        assert np.allclose(posterior.sum(axis=1), 1.0), f"no posterior for {item}, {annotator}, {answer}"


def unknown_gold_is_refused(kind: type[Aggregator]) -> None:
    """Check that a gold answer outside the answers raises a UserError that names it."""
    told = ""
    try:
        kind().fit(Judgments.from_columns(**_crowd().columns), {"item-00000": "elsewhere"})
    except UserError as error:
        told = str(error)
    assert "elsewhere" in told, "a gold answer outside the answers was taken, or the message doesn't name it"


def retraction_equals_never_asking(kind: type[Aggregator]) -> None:
    """Check that judgments that are taken out leave no trace."""
    crowd = _crowd()
    judgments = Judgments.from_columns(**crowd.columns)
    left = judgments.annotator_code != 0
    kept = [row for row, name in enumerate(crowd.annotator) if name != judgments.annotators[0]]
    columns: dict[str, Any] = {name: [column[row] for row in kept] for name, column in crowd.columns.items()}
    never = Judgments.from_columns(**columns)
    one, other = kind().fit(judgments.select_rows(left)), kind().fit(never)
    assert np.allclose(one.posterior, other.posterior, atol=TOLERANCE), "a retracted annotator left a trace"


AGGREGATOR_CHECKS: tuple[AggregatorCheck, ...] = (
    rows_sum_to_one,
    order_is_irrelevant,
    renamed_answers_permute,
    renamed_annotators_change_nothing,
    renamed_items_permute,
    doubled_rows_change_nothing,
    gold_is_obeyed,
    fitting_is_pure,
    small_input_is_served,
    unknown_gold_is_refused,
    retraction_equals_never_asking,
)


def _crowd() -> SimulatedCrowd:
    return simulate_crowd(items=80, annotators=12, answers=3, per_item=5)


def _reversed(name: str) -> str:
    """Return another name, which sorts the other way round."""
    kind, number = name.rsplit("-", 1)
    return f"{kind}-{99_999 - int(number):05d}"


def _arrays(judgments: Judgments) -> list[NDArray[Any]]:
    return [judgments.item_code, judgments.annotator_code, judgments.answer_code, judgments.weight, judgments.votes]


def _top(consensus: Consensus) -> dict[Any, Any]:
    return dict(zip(consensus.items, consensus.top, strict=True))
