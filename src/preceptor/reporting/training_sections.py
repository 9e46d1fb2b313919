"""Build the report's sections about forgetting and about reinforcement learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.evaluation.number_format import (
    format_count,
    format_decimal,
    format_estimate,
    format_percent,
    format_points,
    format_signed_decimal,
    format_whole_percent,
)
from preceptor.reporting.charts import IntervalRow, LineSeries, interval_plot, line_chart
from preceptor.reporting.page_elements import (
    EvidenceExample,
    PagePicture,
    PageSection,
    PageTable,
    ReportDocument,
    draw_picture,
    find_estimate,
    look_up,
)
from preceptor.types import Estimate

_REMEDY_NAMES = {"none": "as trained"}


def forgetting_section(document: ReportDocument) -> PageSection:
    """Build the section about general texts and questions before and after training, and the remedies that were tried."""
    left, retention = look_up(document, "forgetting") or {}, look_up(document, "training", "retention") or {}
    sentences = [*_forgetting_sentences(left), *_retention_sentences(retention)]
    pictures = [found for found in (_general_suites_picture(left or retention), _interpolation_picture(retention)) if found]
    tried = retention.get("points") or ()
    tables = [_remedies_table(tried)] if len(tried) > 1 else []
    return PageSection("forgetting", "What it still knows", [" ".join(sentences)] if sentences else [], pictures, tables)


def _forgetting_sentences(left: ReportDocument) -> Iterator[str]:
    if (kept := find_estimate(left, "kept")) is not None:
        yield (
            f"On {format_count(left['texts'])} general texts that no training has seen, {format_estimate(kept)} of the "
            f"base's log-probability is left; "
            "100 % is as much as before."
        )


def _retention_sentences(retention: ReportDocument) -> Iterator[str]:
    if retention.get("summary"):
        yield "While training, on other texts: " + " ".join(str(words) for words in retention["summary"])


def _general_suites_picture(measured: ReportDocument) -> PagePicture | None:
    suites: Mapping[str, Any] = measured.get("suites") or {}
    rows = [
        IntervalRow(_suite_name(name, suite), Estimate.from_dict(suite["change"]), strong=bool(suite["counts"]))
        for name, suite in suites.items()
    ]
    if not rows:
        return None
    caption = (
        "The same questions to the base and to this model. A suite where the base hardly does better than guessing can't show forgetting: "
        "it is drawn pale and doesn't count."
    )
    title, mark = "Change of general accuracy, in points", (0.0, "as before")
    return draw_picture(caption, interval_plot, title, rows, show=format_points, limits=(-1.0, 1.0), mark=mark)


def _suite_name(name: str, suite: ReportDocument) -> str:
    before: Estimate = Estimate.from_dict(suite["before"])
    return f"{name} (base {format_whole_percent(before.value)}, guessing {format_whole_percent(suite['chance'])})"


def _interpolation_picture(retention: ReportDocument) -> PagePicture | None:
    """Draw the interpolation between the chosen training's weights and the base's."""
    way = sorted((at["alpha"], at) for at in retention.get("points") or () if at["remedy"] == retention.get("remedy"))
    if len(way) < 2:
        return None
    kept = [Estimate.from_dict(at["kept"]) for _, at in way]
    series = [
        LineSeries(
            "general knowledge kept",
            [(alpha, each.value) for (alpha, _), each in zip(way, kept, strict=True)],
            [(each.low, each.high) for each in kept],
        ),
        LineSeries("the task's gain", [(alpha, at["gain"]) for alpha, at in way], style="b", dots=True),
    ]
    return draw_picture(
        "From the base's weights (0) to the trained ones (1): further back more is kept, and less of the task is there.",
        line_chart,
        "The way back to the base",
        series,
        labels=("share of the way", "share"),
        show_x=lambda alpha: f"{alpha:g}",
        show_y=format_whole_percent,
        limits=(0.0, 2.0),
        marks=[(retention["alpha"], "taken")],
    )


def _remedies_table(tried: Sequence[ReportDocument]) -> PageTable:
    rows = [
        [
            _REMEDY_NAMES.get(str(at["remedy"]), str(at["remedy"])),
            f"{at['alpha']:g}",
            format_estimate(Estimate.from_dict(at["kept"])),
            format_percent(at["gain"]),
        ]
        for at in tried
    ]
    return PageTable(
        "Remedies that were tried, on validation rows", ["training", "share of the way", "knowledge kept", "task's gain"], rows
    )


_SAMPLE_KINDS = {"best": "one of the best", "median": "one of the middle", "worst": "one of the worst"}
_MAX_SAMPLE_CHARS = 2000  # characters shown of a prompt or an answer


def reinforcement_section(document: ReportDocument) -> PageSection:
    """Build the section about reinforcement learning: evaluations on held-out prompts, with the best, median and worst answers."""
    training = look_up(document, "training") or {}
    tables = [table for table in (_looks_table(training),) if table.rows]
    paragraphs = [" ".join(found)] if (found := list(_reward_sentences(training))) else []
    return PageSection(
        "reinforcement", "What it was rewarded for", paragraphs, tables=tables,
        evidence=list(_sample_evidence(training)), evidence_title="What it wrote to held-out prompts: the best, middle and worst by reward",
    )  # fmt: skip


def _reward_sentences(training: ReportDocument) -> Iterator[str]:
    if (before := find_estimate(training, "reward", "base")) is not None and (now := find_estimate(training, "reward", "now")) is not None:
        yield (
            f"Answers to held-out prompts earned {format_estimate(before, format_decimal)} "
            f"from the base and earn {format_estimate(now, format_decimal)} now."
        )
    if (change := find_estimate(training, "reward", "change")) is not None:
        clear = "beyond chance" if change.low > 0 or change.high < 0 else "which may be chance"
        yield f"The difference on the same prompts is {format_estimate(change, format_signed_decimal)}, {clear}."
        if before is not None and change.confidence > before.confidence:
            yield "The weights are the best of all looks at these prompts, and the intervals of what they earn allow for that."
    if words := look_up(training, "stopped", "summary"):
        yield f"The guard against reward hacking stopped the training, and the last good weights were kept: {words}"


def _looks_table(training: ReportDocument) -> PageTable:
    looks = training.get("looks") or ()
    judged = any("judge" in each for each in looks)
    head = ["after step", "reward", *(["judge"] if judged else []), "nats from base", "tokens", "different word pairs"]
    rows = []
    for each in looks:
        judge = [format_decimal(each["judge"]) if "judge" in each else "–"] if judged else []
        figures = [format_decimal(each["kl"]), format_count(round(each["length"])), format_whole_percent(each["distinct"])]
        rows.append([format_count(each["step"]), format_decimal(each["reward"]), *judge, *figures])
    return PageTable("Looks at the same held-out prompts, means", head, rows)


def _sample_evidence(training: ReportDocument) -> Iterator[EvidenceExample]:
    samples = training.get("samples") or {}
    for kind, name in _SAMPLE_KINDS.items():
        for sample in samples.get(kind) or ():
            parts = [
                ("asked", [(_shorten_sample(sample.get("prompt")), False)]),
                ("answered", [(_shorten_sample(sample.get("text")), False)]),
            ]
            yield EvidenceExample(
                parts, f"{name.capitalize()}: {_reward_phrase(sample)}{'' if sample.get('ended', True) else ', cut off'}."
            )


def _reward_phrase(sample: Mapping[str, object]) -> str:
    by_part = sample.get("parts")
    told = ", ".join(f"{name} {format_decimal(value)}" for name, value in by_part.items()) if isinstance(by_part, Mapping) else ""
    return f"earned {format_decimal(float(str(sample.get('reward', 0))))}{f' ({told})' if told else ''}"


def _shorten_sample(text: object) -> str:
    shown = str(text or "").strip() or "(nothing)"
    return shown if len(shown) <= _MAX_SAMPLE_CHARS else shown[:_MAX_SAMPLE_CHARS] + " …"
