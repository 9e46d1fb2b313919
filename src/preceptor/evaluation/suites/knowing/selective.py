"""Errors among the surest answers: what a model would get wrong if it answered only where it is sure (El-Yaniv & Wiener 2010).

Coverage is the share of prompts answered, the surest first; selective risk is the share of errors among those. Answers of equal
confidence go together: where a coverage cuts through them, their errors count evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.evaluation.plots import Series, line_chart
from preceptor.evaluation.wording import whole_percent
from preceptor.statistics import bootstrap, mean

FEW_ERRORS = 5  # below it resampled errors say too little of how many there might have been
DRAWN = 20  # points of the picture


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """The error among the `coverage` surest answers; threshold: the least confidence among them."""

    coverage: float
    threshold: float
    risk: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {"coverage": self.coverage, "threshold": self.threshold, "risk": self.risk}


class Ranked:
    """Answers by falling confidence, ties together.

    right: (n,) of 0 to 1. confidence: (n,), any scale. clusters: each answer's group, whose answers depend on each other.
    """

    def __init__(self, right: ArrayLike, confidence: ArrayLike, clusters: Sequence[str] | None = None) -> None:
        wrong, sure = 1 - _column(right, "right", 0, 1), _column(confidence, "confidence", -np.inf, np.inf)
        if len(wrong) != len(sure) or (clusters is not None and len(clusters) != len(wrong)):
            raise UserError(f"{len(wrong)} answers with {len(sure)} confidences", "pass one confidence and one group an answer")
        self._order: IntArray = np.argsort(-sure, kind="stable")
        self.clusters = np.arange(len(wrong)) if clusters is None else np.asarray(clusters)
        self.wrong: FloatArray = wrong[self._order]
        self.confidence: FloatArray = sure[self._order]
        self._starts: IntArray = np.flatnonzero(np.r_[True, np.diff(self.confidence) != 0]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.wrong)

    def risk(self, coverage: float, weights: FloatArray | None = None) -> FloatArray:
        """Selective risk at a coverage above 0; weights (…, n) in the order in which the answers came give shape (…)."""
        held, errors = self._cumulated(weights)
        wanted = coverage * held[..., -1:]
        place = np.minimum((held < wanted * (1 - 1e-12)).sum(axis=-1, keepdims=True), held.shape[-1] - 1)
        held_before, errors_before = (np.take_along_axis(np.insert(total, 0, 0, axis=-1), place, axis=-1) for total in (held, errors))
        held_here, errors_here = (np.take_along_axis(total, place, axis=-1) for total in (held, errors))
        share = (wanted - held_before) / np.maximum(held_here - held_before, 1e-300)
        return np.asarray((errors_before + share * (errors_here - errors_before)) / wanted)[..., 0]

    def area(self, weights: FloatArray | None = None) -> FloatArray:
        """The area under the risk–coverage curve (AURC; Geifman, Uziel & El-Yaniv 2019): the mean risk over all coverages."""
        held, errors = self._cumulated(weights)
        steps = np.diff(held, axis=-1, prepend=0.0)
        risks = errors / np.maximum(held, 1e-300)
        return np.asarray((risks * steps).sum(axis=-1) / held[..., -1])

    def point(self, coverage: float, *, seed: int = 0) -> RiskPoint:
        """The risk at a coverage with its interval, in which the cut itself is as uncertain as it is."""
        rows = max(1, round(coverage * len(self)))
        groups = self.clusters[self._order]
        kept = mean(self.wrong[:rows], clusters=groups[:rows])
        errors = len(set(groups[:rows][self.wrong[:rows] > 0].tolist()))
        right = len(set(groups[:rows][self.wrong[:rows] < 1].tolist()))
        if rows == len(self) or min(errors, right) < FEW_ERRORS:
            found = kept
        else:
            found = bootstrap(lambda weights: self.risk(coverage, weights), clusters=self.clusters, seed=seed, within=(0.0, 1.0))
        return RiskPoint(coverage, float(self.confidence[rows - 1]), found)

    def area_estimate(self, *, seed: int = 0) -> Estimate:
        """`area` with its interval."""
        return bootstrap(self.area, clusters=self.clusters, seed=seed, within=(0.0, 1.0))

    def _cumulated(self, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """How many answers, and how many errors, lie at each confidence or above it: (…, distinct confidences) each."""
        counted = np.ones(len(self)) if weights is None else np.asarray(weights, dtype=np.float64)[..., self._order]
        held = np.add.reduceat(counted, self._starts, axis=-1).cumsum(axis=-1)
        errors = np.add.reduceat(counted * self.wrong, self._starts, axis=-1).cumsum(axis=-1)
        return held, errors


def risk_curve(title: str, ranked: Ranked, points: Sequence[RiskPoint]) -> Markup:
    """The curve as a picture, with an error bar at each point that was measured."""
    coverages = np.arange(1, DRAWN + 1) / DRAWN
    line = [(float(coverage), float(ranked.risk(float(coverage)))) for coverage in coverages]
    told = sorted(points, key=lambda point: point.coverage)
    bars = [(max(point.risk.low, 0.0), min(point.risk.high, 1.0)) for point in told]
    whole = float(ranked.wrong.mean())
    return line_chart(
        title,
        [
            Series("errors among the answers given", line, style="a"),
            Series("with the interval", [(point.coverage, point.risk.value) for point in told], bars, style="a", dots=True),
            Series("errors if all were answered", [(line[0][0], whole), (1.0, whole)], style="b"),
        ],
        labels=("share of prompts answered, the surest first", "errors"),
        show_x=whole_percent,
        show_y=whole_percent,
        limits=(0.0, 1.0),
    )


def _column(values: ArrayLike, name: str, low: float, high: float) -> FloatArray:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not len(column):
        raise UserError(f"must be one column of numbers, not of shape {column.shape}", "pass a number an answer", where=name)
    if bad := int((~np.isfinite(column)).sum()):
        raise UserError(
            f"{bad} of {len(column)} aren't finite numbers", "leave out answers that couldn't be judged, and say how many", where=name
        )
    if ((column < low) | (column > high)).any():
        raise UserError(f"must lie in {low:g} to {high:g}", "1 is right and 0 is wrong", where=name)
    return column
