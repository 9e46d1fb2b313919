"""The page's sections about people: what was asked, what the judgments cost and gave, what the snapshot holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from preceptor.evaluation.page.parts import Document, Picture, Section, Table, figure, look, picture
from preceptor.evaluation.plots import Row, Series, histogram, interval_plot, line_chart
from preceptor.evaluation.wording import count, percent, spread, whole_percent

SHARE = (0.0, 1.0)
_SPLITS = {"train": "train", "validation": "validation", "test": "test"}


def question_section(document: Document) -> Section:
    """What was asked, about which items."""
    paragraphs = [" ".join(_question_sentences(look(document, "question") or {})), " ".join(_data_sentences(look(document, "data") or {}))]
    return Section("question", "What was asked", [words for words in paragraphs if words])


def judgments_section(document: Document) -> Section:
    """What people's judgments gave, and how many of them it took."""
    paragraphs = [" ".join(_spending_sentences(document)), " ".join(_agreement_sentences(document))]
    return Section("judgments", "What people said", [words for words in paragraphs if words], list(_judgment_pictures(document)))


def snapshot_section(document: Document) -> Section:
    """What the model learned from: rows, answers and checks of the snapshot."""
    summary = look(document, "snapshot_summary") or {}
    sentences = []
    if document.get("snapshot"):
        sentences.append(
            f"The snapshot {str(document['snapshot'])[:12]} is immutable: the same judgments give the same one on every machine."
        )
    if summary.get("rows"):
        sentences.append("A group stands on one side of the split only, so the model is never tested on a document that it has read.")
    tables = [table for table in (_split_table(summary), _check_table(summary)) if table.rows]
    return Section("snapshot", "What the model learned from", [" ".join(sentences)] if sentences else [], tables=tables)


def _question_sentences(question: Document) -> Iterator[str]:
    if question.get("name"):
        answers = ", ".join(str(answer) for answer in question.get("answers") or ())
        yield f"The question “{question['name']}” ({question.get('kind', 'choice')}) may be answered by: {answers or 'any value'}."
    if told := str(question.get("instructions") or "").strip():
        heading, _, guidelines = told.partition("\n")
        yield f"Annotators were told: “{heading}”" + (", with guidelines beside it." if guidelines.strip() else "")


def _data_sentences(data: Document) -> Iterator[str]:
    if data.get("items"):
        groups = (
            f" in {count(data['groups'])} groups, such as documents, which stay on one side of every split" if data.get("groups") else ""
        )
        yield f"It was asked about {count(data['items'])} items{groups}."
    if data.get("source"):
        yield f"Source: {data['source']}."
    if skipped := data.get("skipped"):
        yield f"Left out: {'; '.join(_skipped(skip) for skip in skipped)}."


def _spending_sentences(document: Document) -> Iterator[str]:
    used, available = look(document, "judgments", "used"), look(document, "judgments", "available")
    if used is not None and available:
        share = figure(document, "judgments", "fraction_estimate")
        fraction = spread(share) if share else percent(used / available)
        yield f"The project used {count(used)} of {count(available)} available judgments: {fraction}."
        yield "It stopped asking about an item once the consensus was certain enough, and spent what that saved on the hard ones."


def _agreement_sentences(document: Document) -> Iterator[str]:
    if (kept := figure(document, "consensus", "accuracy")) is not None:
        yield f"The consensus agrees with the answer of all judgments on {spread(kept)} of the items."
    if (fixed := figure(document, "consensus", "fixed_same_cost_accuracy")) is not None:
        yield f"Asking equally often about every item, at the same cost, gives {spread(fixed)}."
    if (unbought := figure(document, "consensus", "unbought_accuracy")) is not None:
        yield f"Measured only against judgments that were never bought, the agreement is {spread(unbought)}."
    claimed, realised = look(document, "consensus", "certainty", "claimed"), figure(document, "consensus", "certainty", "realised")
    if claimed is not None and realised is not None:
        honest = "the claim holds" if realised.low <= claimed <= realised.high else "the claim lies outside that interval"
        yield f"The consensus claims a certainty of {percent(claimed)}, and {spread(realised)} turned out right: {honest}."


def _judgment_pictures(document: Document) -> Iterator[Picture]:
    names = {
        "accuracy": "Asked until certain",
        "fixed_same_cost_accuracy": "Equally often, same cost",
        "unbought_accuracy": "Against unbought judgments",
    }
    known = ((key, label, figure(document, "consensus", key)) for key, label in names.items())
    if rows := [Row(label, estimate, strong=key == "accuracy") for key, label, estimate in known if estimate is not None]:
        caption = "Each dot is a measured share, the bar around it the range in which the true one plausibly lies."
        yield picture(caption, interval_plot, "Agreement of the consensus", rows, show=percent, limits=SHARE)
    if series := _curves(look(document, "consensus") or {}):
        yield picture(
            "Further left is cheaper, further up is closer to what all judgments together say.",
            line_chart,
            "Agreement by judgments used",
            series,
            labels=("share of judgments used", "agreement with all judgments"),
            show_x=whole_percent,
            show_y=percent,
            limits=SHARE,
        )
    if counts := look(document, "judgments", "per_item_histogram"):
        bars = [(str(k), number) for k, number in counts]
        caption = "Clear items need few judgments; the contested ones get many."
        yield picture(caption, histogram, "Judgments per item", bars, x_label="judgments asked for", y_label="items")


def _curves(consensus: Document) -> list[Series]:
    kinds = (("curve", "asked until certain", "a"), ("fixed_curve", "equally often about every item", "b"))
    return [_curve(label, points, style) for key, label, style in kinds if (points := consensus.get(key))]


def _curve(label: str, points: Sequence[Document], style: str) -> Series:
    ranges = [(at["low"], at["high"]) for at in points if at.get("low") is not None and at.get("high") is not None]
    return Series(label, [(at["fraction"], at["accuracy"]) for at in points], ranges if len(ranges) == len(points) else (), style)


def _split_table(summary: Document) -> Table:
    rows, groups, answers = (summary.get(key) or {} for key in ("rows", "groups", "answers"))
    splits = [split for split in _SPLITS if split in rows or split in answers]
    kinds = list(dict.fromkeys(answer for split in splits for answer in answers.get(split, {})))
    body = [[name, *(_number(found.get(split)) for split in splits)] for name, found in (("rows", rows), ("groups", groups)) if found]
    body += [[f"answered {answer}", *(_number(answers.get(split, {}).get(answer, 0)) for split in splits)] for answer in kinds]
    return Table("Rows of the snapshot by split", ["", *(_SPLITS[split] for split in splits)], body)


def _check_table(summary: Document) -> Table:
    checks = summary.get("checks") or ()
    rows = [[str(check.get("check", "")), _number(check.get("found")), str(check.get("words", ""))] for check in checks]
    return Table("What was checked before the snapshot was made", ["check", "found", "in words"], rows, numeric=False)


def _number(value: Any) -> str:
    return count(value) if isinstance(value, int | float) else "–" if value is None else str(value)


def _skipped(skip: Any) -> str:
    if not isinstance(skip, dict):
        return str(skip)
    return str(skip.get("reason") or ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in skip.items()))
