"""The page's section about what training left of the base's general knowledge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.domain import Estimate
from preceptor.evaluation.page.parts import Document, Picture, Section, Table, figure, look, picture
from preceptor.evaluation.plots import Row, Series, interval_plot, line_chart
from preceptor.evaluation.wording import count, percent, points, spread, whole_percent

_NAMES = {"none": "as trained"}


def forgetting_section(document: Document) -> Section:
    """General texts and questions before and after training, and the remedies that were tried."""
    left, retention = look(document, "forgetting") or {}, look(document, "training", "retention") or {}
    sentences = [*_confirmed(left), *_chosen(retention)]
    pictures = [found for found in (_suites_picture(left or retention), _way_picture(retention)) if found]
    tried = retention.get("points") or ()
    tables = [_remedies_table(tried)] if len(tried) > 1 else []
    return Section("forgetting", "What it still knows", [" ".join(sentences)] if sentences else [], pictures, tables)


def _confirmed(left: Document) -> Iterator[str]:
    if (kept := figure(left, "kept")) is not None:
        yield (
            f"On {count(left['texts'])} general texts that no training has seen, {spread(kept)} of the base's log-probability is left; "
            "100 % is as much as before."
        )


def _chosen(retention: Document) -> Iterator[str]:
    if retention.get("words"):
        yield "While training, on other texts: " + " ".join(str(words) for words in retention["words"])


def _suites_picture(measured: Document) -> Picture | None:
    suites: Mapping[str, Any] = measured.get("suites") or {}
    rows = [Row(_suite_name(name, suite), Estimate.of(suite["change"]), strong=bool(suite["counts"])) for name, suite in suites.items()]
    if not rows:
        return None
    caption = (
        "The same questions to the base and to this model. A suite where the base hardly does better than guessing can't show forgetting: "
        "it is drawn pale and doesn't count."
    )
    title, mark = "Change of general accuracy, in points", (0.0, "as before")
    return picture(caption, interval_plot, title, rows, show=points, limits=(-1.0, 1.0), mark=mark)


def _suite_name(name: str, suite: Document) -> str:
    before: Estimate = Estimate.of(suite["before"])
    return f"{name} (base {whole_percent(before.value)}, guessing {whole_percent(suite['chance'])})"


def _way_picture(retention: Document) -> Picture | None:
    """The way back from the chosen training's weights to the base's."""
    way = sorted((at["alpha"], at) for at in retention.get("points") or () if at["remedy"] == retention.get("remedy"))
    if len(way) < 2:
        return None
    kept = [Estimate.of(at["kept"]) for _, at in way]
    series = [
        Series(
            "general knowledge kept",
            [(alpha, each.value) for (alpha, _), each in zip(way, kept, strict=True)],
            [(each.low, each.high) for each in kept],
        ),
        Series("the task's gain", [(alpha, at["gain"]) for alpha, at in way], style="b", dots=True),
    ]
    return picture(
        "From the base's weights (0) to the trained ones (1): further back more is kept, and less of the task is there.",
        line_chart,
        "The way back to the base",
        series,
        labels=("share of the way", "share"),
        show_x=lambda alpha: f"{alpha:g}",
        show_y=whole_percent,
        limits=(0.0, 2.0),
        marks=[(retention["alpha"], "taken")],
    )


def _remedies_table(tried: Sequence[Document]) -> Table:
    rows = [
        [_NAMES.get(str(at["remedy"]), str(at["remedy"])), f"{at['alpha']:g}", spread(Estimate.of(at["kept"])), percent(at["gain"])]
        for at in tried
    ]
    return Table("Remedies that were tried, on validation rows", ["training", "share of the way", "knowledge kept", "task's gain"], rows)
