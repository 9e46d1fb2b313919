"""Build the report's sections about the question, the judgments and the snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from preceptor.evaluation.number_format import format_count, format_estimate, format_percent, format_whole_percent
from preceptor.reporting.charts import IntervalRow, LineSeries, histogram, interval_plot, line_chart
from preceptor.reporting.page_elements import PagePicture, PageSection, PageTable, ReportDocument, draw_picture, find_estimate, look_up

_SHARE_LIMITS = (0.0, 1.0)
_SPLITS = {"train": "train", "validation": "validation", "test": "test"}


def question_section(document: ReportDocument) -> PageSection:
    """Build the section about the question and the items that it was asked about."""
    paragraphs = [
        " ".join(_question_sentences(look_up(document, "question") or {})),
        " ".join(_data_sentences(look_up(document, "data") or {})),
    ]
    return PageSection("question", "What was asked", [words for words in paragraphs if words])


def judgments_section(document: ReportDocument) -> PageSection:
    """Build the section about the consensus of people's judgments, and how many of them it took."""
    paragraphs = [" ".join(_spending_sentences(document)), " ".join(_agreement_sentences(document))]
    return PageSection("judgments", "What people said", [words for words in paragraphs if words], list(_judgment_pictures(document)))


def snapshot_section(document: ReportDocument) -> PageSection:
    """Build the section about the model's training data: rows, answers and checks of the snapshot."""
    summary = look_up(document, "snapshot_summary") or {}
    sentences = []
    if document.get("snapshot"):
        sentences.append(
            f"The snapshot {str(document['snapshot'])[:12]} is immutable: the same judgments give the same one on every machine."
        )
    if summary.get("rows"):
        sentences.append("A group stands on one side of the split only, so the model is never tested on a document that it has read.")
    tables = [table for table in (_split_table(summary), _check_table(summary)) if table.rows]
    return PageSection("snapshot", "What the model learned from", [" ".join(sentences)] if sentences else [], tables=tables)


def _question_sentences(question: ReportDocument) -> Iterator[str]:
    if question.get("name"):
        answers = ", ".join(str(answer) for answer in question.get("answers") or ())
        yield f"The question “{question['name']}” ({question.get('kind', 'choice')}) may be answered by: {answers or 'any value'}."
    if told := str(question.get("instructions") or "").strip():
        heading, _, guidelines = told.partition("\n")
        yield f"Annotators were told: “{heading}”" + (", with guidelines beside it." if guidelines.strip() else "")


def _data_sentences(data: ReportDocument) -> Iterator[str]:
    if data.get("items"):
        groups = (
            f" in {format_count(data['groups'])} groups, such as documents, which stay on one side of every split"
            if data.get("groups")
            else ""
        )
        yield f"It was asked about {format_count(data['items'])} items{groups}."
    if data.get("source"):
        yield f"Source: {data['source']}."
    if skipped := data.get("skipped"):
        yield f"Left out: {'; '.join(_skip_reason(skip) for skip in skipped)}."


def _spending_sentences(document: ReportDocument) -> Iterator[str]:
    used, available = look_up(document, "judgments", "used"), look_up(document, "judgments", "available")
    if used is not None and available:
        share = find_estimate(document, "judgments", "fraction_estimate")
        fraction = format_estimate(share) if share else format_percent(used / available)
        yield f"The project used {format_count(used)} of {format_count(available)} available judgments: {fraction}."
        yield "It stopped asking about an item once the consensus was certain enough, and spent what that saved on the hard ones."


def _agreement_sentences(document: ReportDocument) -> Iterator[str]:
    if (kept := find_estimate(document, "consensus", "accuracy")) is not None:
        yield f"The consensus agrees with the answer of all judgments on {format_estimate(kept)} of the items."
    if (fixed := find_estimate(document, "consensus", "fixed_same_cost_accuracy")) is not None:
        yield f"Asking equally often about every item, at the same cost, gives {format_estimate(fixed)}."
    if (unbought := find_estimate(document, "consensus", "unbought_accuracy")) is not None:
        yield f"Measured only against judgments that were never bought, the agreement is {format_estimate(unbought)}."
    claimed, realised = (
        look_up(document, "consensus", "certainty", "claimed"),
        find_estimate(document, "consensus", "certainty", "realised"),
    )
    if claimed is not None and realised is not None:
        honest = "the claim holds" if realised.low <= claimed <= realised.high else "the claim lies outside that interval"
        yield f"The consensus claims a certainty of {format_percent(claimed)}, and {format_estimate(realised)} turned out right: {honest}."


def _judgment_pictures(document: ReportDocument) -> Iterator[PagePicture]:
    names = {
        "accuracy": "Asked until certain",
        "fixed_same_cost_accuracy": "Equally often, same cost",
        "unbought_accuracy": "Against unbought judgments",
    }
    known = ((key, label, find_estimate(document, "consensus", key)) for key, label in names.items())
    if rows := [IntervalRow(label, estimate, strong=key == "accuracy") for key, label, estimate in known if estimate is not None]:
        caption = "Each dot is a measured share, the bar around it the range in which the true one plausibly lies."
        yield draw_picture(caption, interval_plot, "Agreement of the consensus", rows, show=format_percent, limits=_SHARE_LIMITS)
    if series := _agreement_series(look_up(document, "consensus") or {}):
        yield draw_picture(
            "Further left is cheaper, further up is closer to what all judgments together say.",
            line_chart,
            "Agreement by judgments used",
            series,
            labels=("share of judgments used", "agreement with all judgments"),
            show_x=format_whole_percent,
            show_y=format_percent,
            limits=_SHARE_LIMITS,
        )
    if counts := look_up(document, "judgments", "per_item_histogram"):
        bars = [(str(k), number) for k, number in counts]
        caption = "Clear items need few judgments; the contested ones get many."
        yield draw_picture(caption, histogram, "Judgments per item", bars, x_label="judgments asked for", y_label="items")


def _agreement_series(consensus: ReportDocument) -> list[LineSeries]:
    kinds = (("curve", "asked until certain", "a"), ("fixed_curve", "equally often about every item", "b"))
    return [_agreement_line(label, points, style) for key, label, style in kinds if (points := consensus.get(key))]


def _agreement_line(label: str, points: Sequence[ReportDocument], style: str) -> LineSeries:
    ranges = [(at["low"], at["high"]) for at in points if at.get("low") is not None and at.get("high") is not None]
    return LineSeries(label, [(at["fraction"], at["accuracy"]) for at in points], ranges if len(ranges) == len(points) else (), style)


def _split_table(summary: ReportDocument) -> PageTable:
    rows, groups, answers = (summary.get(key) or {} for key in ("rows", "groups", "answers"))
    splits = [split for split in _SPLITS if split in rows or split in answers]
    kinds = list(dict.fromkeys(answer for split in splits for answer in answers.get(split, {})))
    body = [
        [name, *(_format_number(found.get(split)) for split in splits)] for name, found in (("rows", rows), ("groups", groups)) if found
    ]
    body += [[f"answered {answer}", *(_format_number(answers.get(split, {}).get(answer, 0)) for split in splits)] for answer in kinds]
    return PageTable("Rows of the snapshot by split", ["", *(_SPLITS[split] for split in splits)], body)


def _check_table(summary: ReportDocument) -> PageTable:
    checks = summary.get("checks") or ()
    rows = [[str(check.get("check", "")), _format_number(check.get("found")), str(check.get("summary", ""))] for check in checks]
    return PageTable("What was checked before the snapshot was made", ["check", "found", "in words"], rows, numeric=False)


def _format_number(value: Any) -> str:
    return format_count(value) if isinstance(value, int | float) else "–" if value is None else str(value)


def _skip_reason(skip: Any) -> str:
    if not isinstance(skip, dict):
        return str(skip)
    return str(skip.get("reason") or ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in skip.items()))
