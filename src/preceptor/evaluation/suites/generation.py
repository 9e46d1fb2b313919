"""Score answers against reference answers: each metric of a suite with its interval, and the answers that did worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.metrics.metric import MetricMeasurement, TextMetric
from preceptor.evaluation.prompts import ModelAnswers
from preceptor.evaluation.slices import slice_section
from preceptor.statistics import bootstrap, estimate_mean
from preceptor.types import Estimate, FloatArray

_MAX_EXAMPLES = 10
_MAX_LISTED_IDS = 5


def generation_section(
    answers: ModelAnswers, metrics: Mapping[str, TextMetric], *, title: str, slices: Sequence[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Build the report section of a generation suite.

    metrics: as `named_metrics` returns them. slices: metadata columns of the prompts; the section shows where the first metric that gives
    each answer a value is worse.

    A metric that is NaN for some answers gets no figure: `not_measured` holds for how many and which, and `summary` says so.
    """
    found = measure_metrics(answers, metrics)
    holes = {name: np.flatnonzero(np.isnan(one.columns).any(axis=1)) for name, one in found.items()}
    whole = {name: one for name, one in found.items() if not len(holes[name])}
    clusters = [prompt.group for prompt in answers.prompts]
    missing = {
        name: {"rows": len(rows), "ids": [answers.prompts[row].id for row in rows[:_MAX_LISTED_IDS].tolist()]}
        for name, rows in holes.items()
        if len(rows)
    }
    return {
        "kind": "generation",
        "title": title,
        "summary": [_missing_sentence(name, hole, len(answers.texts)) for name, hole in missing.items()],
        "figures": {name: estimate_figure(one, clusters, seed=seed) for name, one in whole.items()},
        "rows": len(answers.texts),
        "groups": len(set(clusters)),
        "signatures": {name: one.signature for name, one in found.items() if one.signature},
        "not_measured": missing,
        "examples": _worst_answers(answers, whole),
        **_metric_slices(answers, whole, slices),
    }


def measure_metrics(answers: ModelAnswers, metrics: Mapping[str, TextMetric]) -> dict[str, MetricMeasurement]:
    """Measure the answers with each metric.

    Raises UserError where there is no metric, no answer, or no reference that a metric needs, and where a metric returns columns of a wrong
    shape or an infinite number.
    """
    if not metrics:
        raise UserError("a suite without a metric measures nothing", 'metrics = ["exact_match"]')
    if not answers.texts:
        raise UserError("there are no answers to measure", "ask the model the suite's prompts first")
    lacking = [prompt.id for prompt in answers.prompts if prompt.reference is None]
    needing = [name for name, metric in metrics.items() if metric.needs_reference]
    if lacking and needing:
        raise UserError(
            f"{len(lacking)} of {len(answers.prompts)} prompts have no reference answer, which {needing[0]} needs (first: {lacking[0]!r})",
            'give each prompt a "reference", or choose metrics that need none',
        )
    return {name: _measure_metric(name, metric, answers) for name, metric in metrics.items()}


def estimate_figure(measured: MetricMeasurement, clusters: Sequence[str], *, seed: int = 0) -> Estimate:
    """Estimate the figure with its interval, where answers of a group are dependent; NaN is refused."""
    low, high = measured.within
    if measured.figure is None:
        return estimate_mean(measured.columns[:, 0], clusters=clusters, within=(low, high) if np.isfinite([low, high]).any() else None)
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    sums = _group_sums(measured.columns, codes, len(names))
    figure = measured.figure
    if len(names) < 2:
        value = float(figure(sums[0]))
        return Estimate(value, low, high, 1, "no interval: one independent unit")
    return bootstrap(lambda weights: figure(weights @ sums), clusters=np.arange(len(names)), seed=seed, within=measured.within)


def _group_sums(columns: FloatArray, codes: Any, groups: int) -> FloatArray:
    """Return each group's sums, (G, s): resampling groups needs no more."""
    return np.stack([np.bincount(codes, weights=column, minlength=groups) for column in columns.T], axis=1)


def _measure_metric(name: str, metric: TextMetric, answers: ModelAnswers) -> MetricMeasurement:
    found = metric.measure(answers.texts, answers.prompts)
    if found.columns.ndim != 2 or len(found.columns) != len(answers.texts):
        raise UserError(
            f"metric {name!r} gave columns of shape {found.columns.shape} for {len(answers.texts)} answers", "one row an answer"
        )
    if np.isinf(found.columns).any():
        raise UserError(f"metric {name!r} gave an infinite number", "NaN is for an answer that can't be measured", where=f"metric {name!r}")
    return found


def _missing_sentence(name: str, hole: Mapping[str, Any], rows: int) -> str:
    ids = ", ".join(hole["ids"]) + (", …" if hole["rows"] > len(hole["ids"]) else "")
    return f"{name} couldn't be computed for {hole['rows']:,} of {rows:,} answers ({ids}), so it has no figure here."


def _metric_slices(answers: ModelAnswers, whole: Mapping[str, MetricMeasurement], slices: Sequence[str]) -> dict[str, Any]:
    of_each = [(name, one.columns[:, 0]) for name, one in whole.items() if one.figure is None]
    if not of_each:
        return {}
    name, values = of_each[0]
    return slice_section(answers, slices, values, figure=name, better="higher")


def _worst_answers(answers: ModelAnswers, whole: Mapping[str, MetricMeasurement]) -> list[dict[str, Any]]:
    """Return the answers with the lowest values, by the mean of all metrics that give each answer a value."""
    values = {name: one.columns[:, 0] for name, one in whole.items() if one.figure is None}
    if not values:
        return []
    order = np.mean([*values.values()], axis=0).argsort(kind="stable")[:_MAX_EXAMPLES]
    return [
        {
            "id": answers.prompts[row].id,
            "prompt": answers.prompts[row].prompt,
            "reference": answers.prompts[row].reference,
            "answer": answers.texts[row],
            "values": {name: float(column[row]) for name, column in values.items()},
        }
        for row in order.tolist()
    ]
