"""Errors by how much is answered, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from preceptor.domain.results import Estimate
from preceptor.evaluation.plots import Series, line_chart
from preceptor.evaluation.wording import whole_percent


def risk_curve(title: str, points: Sequence[tuple[float, Estimate]]) -> Markup:
    """The risk–coverage curve in the band of its intervals, from a section's `curve`: (coverage, risk) by rising coverage."""
    (least, _), (most, whole) = points[0], points[-1]
    return line_chart(
        title,
        [
            Series(
                "errors among the answers given",
                [(coverage, risk.value) for coverage, risk in points],
                [(max(risk.low, 0.0), min(risk.high, 1.0)) for _, risk in points],
            ),
            Series(f"errors if {whole_percent(most)} were answered", [(least, whole.value), (most, whole.value)], style="b"),
        ],
        labels=("share of prompts answered, the surest first", "errors"),
        show_x=whole_percent,
        show_y=whole_percent,
        limits=(0.0, 1.0),
    )
