"""Check the contract of metrics, for plug-in authors as for the built-in ones.

    @pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyMetric)

A check raises AssertionError with what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.metrics.metric import MetricMeasurement, TextMetric
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.types import FloatArray

MetricCheck = Callable[[type[TextMetric]], None]

REFERENCES = (
    "The parcel arrives on Monday morning before ten.",
    "No, the lid is not safe in the dishwasher.",
    "Press the button twice, then wait for the light.",
    "No, the lid is not safe in the dishwasher.",
)
ANSWERS = (REFERENCES[0], REFERENCES[1], "Press the red button twice, then wait a minute.", "")


def one_row_per_answer(kind: type[TextMetric]) -> None:
    """Check that there is a row an answer, of numbers or NaN; an empty answer is measured too."""
    columns = _measure_answers(kind).columns
    assert columns.ndim == 2, "columns must have a row an answer"
    assert len(columns) == len(ANSWERS), f"{len(columns)} rows for {len(ANSWERS)} answers"
    assert not np.isinf(columns).any(), "a number is infinite; NaN is for an answer that can't be measured"


def measuring_is_repeatable(kind: type[TextMetric]) -> None:
    """Check that answers measured twice give the same numbers."""
    assert np.array_equal(_measure_answers(kind).columns, _measure_answers(kind).columns, equal_nan=True), "another time gave other numbers"


def order_of_answers_is_irrelevant(kind: type[TextMetric]) -> None:
    """Check that answers in another order give the same rows in that order, and the same figure."""
    order = [2, 0, 3, 1]
    one, other = _measure_answers(kind), _measure_answers(kind, order)
    assert np.allclose(one.columns[order], other.columns, equal_nan=True), "an answer's row depends on where it stands"
    assert np.allclose(_figure(one), _figure(other), equal_nan=True), "another order gave another figure"


def figure_takes_many_resamples(kind: type[TextMetric]) -> None:
    """Check that the figure is a function of sums alone, of one set or of many at once, and lies within its range."""
    found = _measure_answers(kind)
    if found.figure is None:
        assert found.columns.shape[1] == 1, "a figure that is a mean needs one column"
    rows = found.columns[~np.isnan(found.columns).any(axis=1)]
    weights = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=50).astype(np.float64)
    drawn = _of_sums(found, weights @ rows, weights.sum(axis=1))
    assert drawn.shape == (50,), f"50 resamples gave figures of shape {drawn.shape}"
    one = _of_sums(found, weights[0] @ rows, weights[0].sum())
    assert np.allclose(drawn[0], one), "one resample alone gave another figure than among many"
    low, high = found.within
    assert ((drawn >= low - 1e-9) & (drawn <= high + 1e-9)).all(), f"a figure lies outside {low} to {high}"


def unknown_options_are_refused(kind: type[TextMetric]) -> None:
    """Check that an option that doesn't exist is refused, and that the defaults work."""
    options: Any = kind.Options
    kind(options.parse({}, of="metric"))
    with suppress(UserError):
        options.parse({"no_such_option": 1}, of="metric")
        raise AssertionError("an unknown option was taken")


METRIC_CHECKS: tuple[MetricCheck, ...] = (
    one_row_per_answer,
    measuring_is_repeatable,
    order_of_answers_is_irrelevant,
    figure_takes_many_resamples,
    unknown_options_are_refused,
)


def _measure_answers(kind: type[TextMetric], order: list[int] | None = None) -> MetricMeasurement:
    rows = range(len(ANSWERS)) if order is None else order
    asked = [SuitePrompt(str(row), str(row), ({"role": "user", "content": "?"},), (), REFERENCES[row]) for row in rows]
    return kind().measure([ANSWERS[row] for row in rows], asked)


def _figure(found: MetricMeasurement) -> FloatArray:
    return _of_sums(found, found.columns.sum(axis=0), len(found.columns))


def _of_sums(found: MetricMeasurement, sums: FloatArray, weight: FloatArray | int) -> FloatArray:
    return found.figure(sums) if found.figure is not None else np.asarray(sums[..., 0] / weight)
