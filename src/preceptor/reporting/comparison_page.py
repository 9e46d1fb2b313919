"""Render a pairwise comparison of models as one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.evaluation.number_format import capitalize_first, format_count, format_estimate, format_percent, format_signed_decimal
from preceptor.reporting.charts import IntervalRow, interval_plot
from preceptor.reporting.html_page import render_page
from preceptor.reporting.page_elements import PagePicture, PageSection, PageTable, PageVerdict, draw_picture, is_estimate
from preceptor.reporting.suite_sections import slice_table
from preceptor.types import Estimate

ComparisonDocument = Mapping[str, Any]
_EXCERPT_CHARS = 400  # characters shown of a text
_UNIT_LIMITS, _NO_LIMITS = (0.0, 1.0), (-math.inf, math.inf)
_WIN_RATE_CAPTION = (
    "Each prompt comes to one number, the mean of its people's votes, a tie being half. The interval holds at every look at once, so "
    "that asking may end as soon as it lies on one side of one half."
)


def comparison_page(document: ComparisonDocument) -> str:
    """Render the page of a comparison's document, as `Report.from_document` makes it plain."""
    names = " and ".join(document["models"])
    sections = [
        _wins_section(document), _strengths_section(document), _bias_section(document), _judge_section(document),
        _slices_section(document), _examples_section(document),
        _annotators_section(document),
    ]  # fmt: skip
    return render_page(
        f"{names}, side by side",
        _comparison_verdict(document),
        [section for section in sections if not section.is_empty],
        _comparison_facts(document),
    )


def _comparison_verdict(document: ComparisonDocument) -> PageVerdict:
    better = [match["better"] for match in document["matches"]]
    if all(better):
        headline = f"{document['ranking'][0]} is better" if len(better) == 1 else f"{document['ranking'][0]} leads"
        return PageVerdict("met", headline, list(document["summary"]))
    return PageVerdict("undecided", "Not decided yet" if not any(better) else "Decided in part", list(document["summary"]))


def _wins_section(document: ComparisonDocument) -> PageSection:
    drawn = [
        IntervalRow(f"{match['first']} against {match['second']}", Estimate.from_dict(match["win_rate"]), strong=bool(match["better"]))
        for match in document["matches"]
        if is_estimate(match["win_rate"])
    ]
    pictures = (
        [
            draw_picture(
                _WIN_RATE_CAPTION,
                interval_plot,
                "How often the first wins",
                drawn,
                show=format_percent,
                limits=_UNIT_LIMITS,
                mark=(0.5, "even"),
            )
        ]
        if drawn
        else []
    )
    rows = [
        [
            f"{each['first']} against {each['second']}",
            *(format_count(each[name]) for name in ("finished", "won", "tied", "lost", "same")),
            each["better"] or "open",
        ]
        for each in document["matches"]
    ]
    table = PageTable("Prompts", ["", "finished", "won", "tied", "lost", "same answer", "better"], rows)
    return PageSection("wins", "Who wins", [], pictures, [table])


def _strengths_section(document: ComparisonDocument) -> PageSection:
    if "strengths" not in document:
        return PageSection("strengths", "")
    rows = [IntervalRow(name, Estimate.from_dict(document["strengths"][name])) for name in document["ranking"]]
    caption = "Log-odds, around their mean, from one model of all votes with ties and the order on the page."
    return PageSection(
        "strengths",
        "How strong",
        [],
        [draw_picture(caption, interval_plot, "Strength", rows, show=format_signed_decimal, limits=_NO_LIMITS)],
    )


def _bias_section(document: ComparisonDocument) -> PageSection:
    """Build the section about what might decide instead of the answers: the position on the page, the length."""
    pictures = []
    if is_estimate(document.get("order_bias")):
        row = [IntervalRow("standing left adds", Estimate.from_dict(document["order_bias"]))]
        caption = "Log-odds. The order is drawn anew for each person, so that a liking for a side cancels out."
        pictures.append(
            draw_picture(
                caption, interval_plot, "The place on the page", row, show=format_signed_decimal, limits=_NO_LIMITS, mark=(0.0, "nothing")
            )
        )
    rows = [*_length_rows(document)]
    if rows:
        caption = "How often the longer answer wins, and how often the first model would if both answers were of one length."
        pictures.append(draw_picture(caption, interval_plot, "Length", rows, show=format_percent, limits=_UNIT_LIMITS, mark=(0.5, "even")))
    return PageSection("misleading", "What could mislead", [], pictures)


def _length_rows(document: ComparisonDocument) -> Iterator[IntervalRow]:
    for match in document["matches"]:
        found, two = match.get("length") or {}, f"{match['first']} against {match['second']}"
        for name, words in (("longer_wins", "the longer one wins"), ("at_equal_length", f"{match['first']} wins at equal length")):
            if is_estimate(found.get(name)):
                yield IntervalRow(words if len(document["matches"]) == 1 else f"{two}: {words}", Estimate.from_dict(found[name]))


def _judge_section(document: ComparisonDocument) -> PageSection:
    """Build the section about a judge compared with people: its agreement first."""
    judged = [match for match in document["matches"] if match.get("judge")]
    if not judged:
        return PageSection("judge", "")
    about = document.get("judge") or {}
    said = f"{about.get('name', 'The judge')} was asked “{about.get('question', '')}” about each pair in both orders."
    pictures = [each for match in judged for each in _judge_pictures(match)]
    drift = about.get("drift") or {}
    return PageSection("judge", "A judge beside people", [said, *([drift["summary"]] if drift else [])], pictures)


def _judge_pictures(match: ComparisonDocument) -> Iterator[PagePicture]:
    found, two = match["judge"], f"{match['first']} against {match['second']}"
    agrees = found.get("agreement") or {}
    names = (
        ("agrees with people", agrees.get("plain")), ("the same, balanced over whom people prefer", agrees.get("balanced")),
        ("takes what stands first", found.get("first_place")), ("turns with the order", found.get("flip_rate")),
    )  # fmt: skip
    rows = _interval_rows(names)
    if rows:
        yield draw_picture(
            "One half is what a coin would do.",
            interval_plot,
            f"{two}: the judge",
            rows,
            show=format_percent,
            limits=_UNIT_LIMITS,
            mark=(0.5, "coin"),
        )
    rates = (("people alone", found.get("people")), ("with the judge on all prompts", found.get("with_judge")))
    drawn = _interval_rows(rates)
    if len(drawn) == 2:
        caption = "For one look, after a planned number of votes. People alone decide."
        yield draw_picture(caption, interval_plot, f"{two}: win rate", drawn, show=format_percent, limits=_UNIT_LIMITS, mark=(0.5, "even"))


def _interval_rows(named: Sequence[tuple[str, Any]]) -> list[IntervalRow]:
    return [IntervalRow(words, Estimate.from_dict(value)) for words, value in named if is_estimate(value)]


def _slices_section(document: ComparisonDocument) -> PageSection:
    tables = [
        slice_table(f"How often {match['first']} wins against {match['second']}", match["slices"])
        for match in document["matches"]
        if (match.get("slices") or {}).get("found")
    ]
    said = "Each slice beside all other prompts; the last column is corrected for how many slices were looked at."
    return PageSection("slices", "Where it differs", [said] if tables else [], [], tables)


def _examples_section(document: ComparisonDocument) -> PageSection:
    tables = [
        PageTable(
            f"{match['first']} against {match['second']}", ["prompt", match["first"], match["second"], "people prefer"], rows, numeric=False
        )
        for match in document["matches"]
        if (rows := [_example_row(match, example) for example in match.get("examples") or ()])
    ]
    return PageSection("examples", "Where people were of one mind", tables=tables)


def _example_row(match: ComparisonDocument, example: ComparisonDocument) -> list[str]:
    value = example["value"]
    name, share = (match["first"], value) if value > 0.5 else (match["second"], 1 - value)
    texts = (example["prompt"], *(example["answers"][model] for model in (match["first"], match["second"])))
    return [
        *(text if len(text) <= _EXCERPT_CHARS else f"{text[:_EXCERPT_CHARS]} […]" for text in texts),
        f"{name}\n{format_percent(share)} of votes",
    ]


def _annotators_section(document: ComparisonDocument) -> PageSection:
    people: Sequence[ComparisonDocument] = document.get("annotators") or ()
    rows = [
        [
            str(each["annotator"]),
            format_count(each["votes"]),
            format_estimate(Estimate.from_dict(each["with_others"])) if is_estimate(each["with_others"]) else "–",
        ]
        for each in people
    ]
    caption = "How often a vote is that of most others on the same pair; 50 % is chance"
    table = PageTable(caption, ["person", "votes", "with others"], rows)
    said = [f"{each['winner'] or 'tie'}: {each['reasons']}" for each in document.get("reasons") or ()]
    return PageSection(
        "people",
        "Who judged",
        [capitalize_first(note) + "." for note in document.get("notes") or ()],
        [],
        [table] if rows else [],
        points=said,
    )


def _comparison_facts(document: ComparisonDocument) -> list[tuple[str, str]]:
    facts = [
        ("round", str(document.get("question", ""))),
        ("votes", format_count(document["votes"])),
        ("votes a pair", str(document["people"])),
    ]
    facts.append(("prompts", f"{format_count(document['prompts'])}, of which {format_count(document['asked'])} before people"))
    return facts + [(f"answers of {name}", str(about["digest"])[:12]) for name, about in (document.get("answers") or {}).items()]
