"""Build the report's sections about slices, the previous release and evaluation suites."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.evaluation.number_format import (
    capitalize_first,
    figure_name,
    format_count,
    format_estimate,
    format_interval,
    format_percent,
    format_points,
    format_timestamp,
)
from preceptor.reporting.charts import IntervalRow, interval_plot, risk_coverage_chart
from preceptor.reporting.page_elements import (
    EvidenceExample,
    PagePicture,
    PageSection,
    PageTable,
    ReportDocument,
    draw_picture,
    is_estimate,
    look_up,
    metric_display,
)
from preceptor.types import Estimate, render_source

_MAX_DRAWN_SLICES = 8  # slices in a picture, the worst first; the table holds all of them


def slices_section(document: ReportDocument) -> PageSection:
    """Build the section about slices of the test rows that are worse than the rest, corrected for their number."""
    section = look_up(document, "slices") or {}
    found: Sequence[ReportDocument] = section.get("found") or ()
    if not found:
        return PageSection("slices", "")
    figure = figure_name(str(section.get("figure", "accuracy")))
    worse = [_slice_name(each) for each in found if each.get("worse")]
    if worse:
        verdict = f"Worse than the rest of the rows: {', '.join(worse)}."
    else:
        verdict = f"Of {format_count(len(found))} slices none is shown to be worse than the rest of the rows."
    return PageSection(
        "slices",
        "Is it worse for some?",
        [f"{verdict} {' '.join(_correction_sentences(section, len(found), 'the rest'))}"],
        [_slices_picture(f"Difference in {figure} from the rest, in points", found, "like the rest")],
        [slice_table(f"{figure.capitalize()} of each slice", section)],
    )


def previous_section(document: ReportDocument) -> PageSection:
    """Build the section about what became better and worse since the last released model."""
    previous = look_up(document, "previous") or {}
    if not previous.get("model"):
        return PageSection("previous", "")
    differences = {name: Estimate.from_dict(each["difference"]) for name, each in (previous.get("figures") or {}).items()}
    found: Sequence[ReportDocument] = look_up(previous, "slices", "found") or ()
    pictures = []
    if differences:
        rows = [IntervalRow(figure_name(name), estimate, strong=True) for name, estimate in differences.items()]
        pictures.append(_differences_picture("Change since the last release, in points", rows, "as before"))
    if found:
        pictures.append(_slices_picture("Change of each slice, in points", found, "as before"))
    tables = [table for table in (_previous_figures_table(previous), _previous_suites_table(previous, document)) if table.rows]
    return PageSection(
        "previous", "Beside the last release", [" ".join(_previous_sentences(previous, differences, found))], pictures, tables
    )


def slice_table(caption: str, section: ReportDocument) -> PageTable:
    """Build the table of all slices that were tested.

    The last column is the probability of a difference so large where there is none, for all of them together.
    """
    rows = [
        [
            _slice_name(each),
            format_count(each["rows"]),
            format_estimate(Estimate.from_dict(each["estimate"])),
            _difference_points(each["difference"]),
            _format_p_value(each["adjusted"]),
        ]
        for each in section.get("found") or ()
        if is_estimate(each.get("estimate")) and is_estimate(each.get("difference"))
    ]
    return PageTable(caption, ["slice", "rows", "figure", "difference, points", "by chance"], rows)


def _previous_sentences(previous: ReportDocument, differences: Mapping[str, Estimate], found: Sequence[ReportDocument]) -> Iterator[str]:
    by = f", by {previous['by']}" if previous.get("by") else ""
    decision = f" ({previous['decision']})" if previous.get("decision") else ""
    yield f"The last model that was let out is {previous['model']}{by}{decision}."
    if previous.get("why") or not differences:
        why = str(previous.get("why") or "no test row was measured by both")
        yield f"The two can't be compared row by row: {why}."
        return
    left_out = previous.get("left_out") or 0
    without = f"; {format_count(left_out)} rows that only this one was measured on, or whose true answer has changed since, are left out"
    yield f"Both were measured on {format_count(previous.get('rows', 0))} same test rows{without if left_out else ''}."
    for name, difference in differences.items():
        yield _change_sentence(figure_name(name), difference)
    worse = [_slice_name(each) for each in found if each.get("worse")]
    if worse:
        yield (
            f"Worse than before: {', '.join(worse)}. "
            f"{' '.join(_correction_sentences(look_up(previous, 'slices'), len(found), 'what they were'))}"
        )
    elif found:
        yield f"Of {format_count(len(found))} slices none is shown to have become worse."


def _change_sentence(name: str, difference: Estimate) -> str:
    found = format_interval(difference, format_points)
    ends = found if found.startswith("interval") else f"plausibly {found}"
    if difference.low > 0:
        return f"{name.capitalize()} has risen by {format_points(difference.value).lstrip('+')} points ({ends})."
    if difference.high < 0:
        return f"{name.capitalize()} has fallen by {format_points(-difference.value).lstrip('+')} points ({ends})."
    return f"No change in {name} is shown: {format_points(difference.value)} points, {ends}."


def _correction_sentences(section: ReportDocument, tested: int, against: str) -> Iterator[str]:
    yield (
        f"{format_count(tested)} slices were held against {against}, and among so many one looks bad by chance alone: "
        "“worse” is said only where the chance of saying it of any wrongly stays below 5 % (Holm's correction)."
    )
    if left_out := section.get("left_out"):
        least = section.get("least") or (30, 10)
        yield f"{format_count(left_out)} more have fewer than {least[0]} rows or {least[1]} groups, too few to tell."


def _slices_picture(title: str, found: Sequence[ReportDocument], word: str) -> PagePicture:
    shown = found[:_MAX_DRAWN_SLICES]
    rows = [IntervalRow(_slice_name(each), Estimate.from_dict(each["difference"]), strong=bool(each.get("worse"))) for each in shown]
    more = f" The {format_count(_MAX_DRAWN_SLICES)} lowest of {format_count(len(found))}." if len(found) > _MAX_DRAWN_SLICES else ""
    return _differences_picture(title, rows, word, f"Strong where it is worse beyond chance.{more}")


def _differences_picture(title: str, rows: Sequence[IntervalRow], word: str, caption: str = "Right of the line is better.") -> PagePicture:
    return draw_picture(caption, interval_plot, title, rows, show=format_points, limits=(-1.0, 1.0), mark=(0.0, word))


def _previous_figures_table(previous: ReportDocument) -> PageTable:
    rows = [
        [
            figure_name(name),
            format_estimate(Estimate.from_dict(each["was"])),
            format_estimate(Estimate.from_dict(each["now"])),
            _difference_points(each["difference"]),
        ]
        for name, each in (previous.get("figures") or {}).items()
    ]
    return PageTable("On the same rows", ["figure", "last release", "this model", "difference, points"], rows)


def _previous_suites_table(previous: ReportDocument, document: ReportDocument) -> PageTable:
    rows = []
    for name, suite in (look_up(document, "suites") or {}).items():
        for key, value in (suite.get("figures") or {}).items():
            was = look_up(previous, "suites", name, key)
            if is_estimate(value) and is_estimate(was):
                show = metric_display(key, Estimate.from_dict(value)).number_format
                rows.append([f"{name}: {figure_name(key)}", *(format_estimate(Estimate.from_dict(each), show) for each in (was, value))])
    return PageTable("Suites, each as it was measured then", ["figure", "last release", "this model"], rows)


def _slice_name(each: ReportDocument) -> str:
    return f"{str(each.get('by', '')).replace('_', ' ')}: {each.get('slice')}"


def _difference_points(difference: ReportDocument) -> str:
    found = Estimate.from_dict(difference)
    return format_estimate(found, format_points)


def _format_p_value(adjusted: float) -> str:
    return format_percent(adjusted) if adjusted >= 0.001 else f"< {format_percent(0.001)}"


def decisions_table(document: ReportDocument) -> PageTable:
    """Build the table of everything that was decided about the model, the newest last."""
    rows = [
        [format_timestamp(each.get("created", "")), str(each.get("by", "")), str(each.get("decision", "")), str(each.get("note") or "–")]
        for each in look_up(document, "decisions") or ()
    ]
    return PageTable("What was decided about this model", ["when", "who", "decision", "note"], rows, numeric=False)


_MAX_PARAGRAPH_SENTENCES = 2  # the most sentences of a paragraph; more are easier to read as points
_MAX_EXAMPLES = 12
_HEAD_CHARS, _TAIL_CHARS = 900, 500  # characters that an example keeps of a text's beginning and end
_TEXTS = (  # keys of an example, and the name under which its text is shown
    ("prompt", "asked"),
    ("response", "answered"),
    ("answer", "answered"),
    ("text", "answered"),
    ("claim", "claim"),
    ("evidence", "the sources say"),
    ("reference", "reference"),
    ("rule", "rule"),
)
_MARKED = ("response", "answer", "text")
_PASSAGES = ("claim", "passage", "match", "quote")
_VERDICTS = {"contradicted": "people found it contradicted", "not_found": "people didn't find it in the sources", "supported": "supported"}


def suite_sections(document: ReportDocument) -> Iterator[PageSection]:
    """Yield a section for each suite, in the report's order."""
    for number, (name, suite) in enumerate((look_up(document, "suites") or {}).items()):
        if isinstance(suite, Mapping):
            yield _suite_section(f"suite-{number}-{re.sub(r'[^a-z0-9]+', '-', str(name).lower()).strip('-')}", str(name), suite, document)


def _suite_section(key: str, name: str, suite: ReportDocument, document: ReportDocument) -> PageSection:
    title = capitalize_first(str(suite.get("title") or name))
    words = [str(each) for each in suite.get("summary") or ()]
    rows = suite.get("rows")
    resting = [f"Measured on {format_count(rows)} answers."] if isinstance(rows, int) and rows else []
    slices = [slice_table(f"Slices of {name}", suite["slices"])] if look_up(suite, "slices", "found") else []
    return PageSection(
        key,
        title,
        [" ".join([*resting, *words])] if len(words) <= _MAX_PARAGRAPH_SENTENCES and (resting or words) else resting,
        [*_grouped_pictures(name, suite), *_figure_pictures(name, suite, document), *_risk_picture(name, suite)],
        [*(table for table in (_rules_table(suite), _judge_table(suite)) if table.rows), *slices],
        points=words if len(words) > _MAX_PARAGRAPH_SENTENCES else (),
        evidence=[_suite_example(each) for each in (suite.get("examples") or ())[:_MAX_EXAMPLES] if isinstance(each, Mapping)],
    )


def _grouped_pictures(name: str, suite: ReportDocument) -> Iterator[PagePicture]:
    """Yield the pictures of figures to compare, each group on one scale: the suite's `beside` names them by the labels of their rows."""
    for key, rows in (suite.get("charts") or {}).items():
        figures = [(label, figure) for label, part in rows.items() if is_estimate(figure := look_up(suite, "figures", part))]
        if figures:
            kind = metric_display(key, Estimate.from_dict(figures[0][1]))
            shown = [
                IntervalRow(str(label), Estimate.from_dict(figure), strong=at == len(figures) - 1)
                for at, (label, figure) in enumerate(figures)
            ]
            drawn = interval_plot(f"{name}: {figure_name(key)}", shown, show=kind.number_format, limits=kind.limits)
            yield PagePicture(capitalize_first(figure_name(key)), drawn, kind.meaning)


def _figure_pictures(name: str, suite: ReportDocument, document: ReportDocument) -> Iterator[PagePicture]:
    apart = {part for rows in (suite.get("charts") or {}).values() for part in rows.values()}
    thresholds = {bound.get("figure"): bound.get("needs") for bound in look_up(document, "release", "bounds") or ()}
    for key, value in (suite.get("figures") or {}).items():
        if not is_estimate(value) or key in apart:
            continue
        estimate = Estimate.from_dict(value)
        kind, needs = metric_display(key, estimate), thresholds.get(f"{name}.{key}", thresholds.get(key))
        mark = None if needs is None else (needs, f"bound {kind.number_format(needs)}")
        row = IntervalRow(f"{format_count(estimate.n)} units", estimate, strong=True)
        drawn = interval_plot(f"{name}: {figure_name(key)}", [row], show=kind.number_format, limits=kind.limits, mark=mark)
        yield PagePicture(capitalize_first(figure_name(key)), drawn, kind.meaning or f"As the suite {name} defines it.")


def _risk_picture(name: str, suite: ReportDocument) -> Iterator[PagePicture]:
    """Yield the risk–coverage curve, where a suite measured it."""
    points = [(at["coverage"], Estimate.from_dict(at["risk"])) for at in suite.get("curve") or () if is_estimate(at.get("risk"))]
    if len(points) > 1:
        words = "Fewer answers, the surest first, should have fewer errors among them."
        yield draw_picture(words, risk_coverage_chart, f"{name}: errors by share answered", points)


def _rules_table(suite: ReportDocument) -> PageTable:
    """Build the table of a policy's rules, the most often broken first."""
    rules = sorted((suite.get("rules") or {}).items(), key=lambda each: -(each[1].get("broken") or 0))
    rows = [
        [
            str(rule.get("title") or name),
            str(rule.get("severity") or "–"),
            f"{format_count(rule.get('broken') or 0)} of {format_count(rule.get('applies') or 0)}",
            format_estimate(Estimate.from_dict(rule["violations"])) if is_estimate(rule.get("violations")) else "–",
        ]
        for name, rule in rules
    ]
    return PageTable("Its rules, and how often each was broken", ["rule", "gravity", "broken", "share"], rows)


def _judge_table(suite: ReportDocument) -> PageTable:
    judge = suite.get("judge")
    known = judge.items() if isinstance(judge, Mapping) else ()
    rows = [[str(key).replace("_", " "), str(value)[:12] if key == "digest" else str(value)] for key, value in known]
    return PageTable("The judge", ["", "which"], [row for row in rows if row[1] not in ("None", "0")], numeric=False)


def _suite_example(example: ReportDocument) -> EvidenceExample:
    parts = []
    for key, name in _TEXTS:
        for text in _example_texts(example.get(key)):
            pieces = _mark_passages(text, example) if key in _MARKED else [(_shorten_text(text), False)]
            if key != "claim" or not _is_quoted(example):
                parts.append((name, pieces))
    return EvidenceExample(parts, _example_reason(example))


def _example_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else ["(nothing)"]
    if isinstance(value, Mapping):
        return [render_source(value)]
    return [text for each in value for text in _example_texts(each)] if isinstance(value, Sequence) else []


def _example_reason(example: ReportDocument) -> str:
    """Say why an example is shown: its own summary, people's verdict, the judge's score, its values."""
    told = [str(example[key]) for key in ("summary", "why") if isinstance(example.get(key), str)]
    if verdict := example.get("verdict"):
        told.append(_VERDICTS.get(str(verdict), str(verdict).replace("_", " ")))
    for key, name in (("judge", "the judge gives it"), ("confidence", "the model's certainty was")):
        if isinstance(example.get(key), int | float):
            told.append(f"{name} {example[key]:.2f}")
    told += [
        f"{figure_name(str(key))} {value:.2f}" for key, value in (example.get("values") or {}).items() if isinstance(value, int | float)
    ]
    if example.get("answerable") is False:
        told.append("nobody can answer this")
    return capitalize_first(f"{'; '.join(each.rstrip('.') for each in told)}.") if told else ""


def _is_quoted(example: ReportDocument) -> bool:
    claim = example.get("claim")
    return isinstance(claim, str) and any(claim and claim in str(example.get(key) or "") for key in _MARKED)


def _mark_passages(text: str, example: ReportDocument) -> list[tuple[str, bool]]:
    """Split a text into pieces, its faulty passages marked: by their positions, else where the named passage occurs."""
    places = [(mark["start"], mark["end"]) for mark in example.get("marks") or () if _is_place(mark, text)]
    for key in _PASSAGES:
        passage = example.get(key)
        if not places and isinstance(passage, str) and passage and passage in text:
            places = [(text.index(passage), text.index(passage) + len(passage))]
    pieces, at = list[tuple[str, bool]](), 0
    for start, end in sorted(places):
        if start >= at:
            pieces += [(_shorten_text(text[at:start]), False), (text[start:end], True)]
            at = end
    return [piece for piece in [*pieces, (_shorten_text(text[at:]), False)] if piece[0]]


def _is_place(mark: Any, text: str) -> bool:
    ends = (mark.get("start"), mark.get("end")) if isinstance(mark, Mapping) else (None, None)
    return all(isinstance(end, int) for end in ends) and 0 <= ends[0] < ends[1] <= len(text)  # type: ignore[operator]


def _shorten_text(text: str) -> str:
    """Return a long text's beginning and end, without the runs of empty lines that a model may generate."""
    short = text if len(text) <= _HEAD_CHARS + _TAIL_CHARS else f"{text[:_HEAD_CHARS]} […] {text[-_TAIL_CHARS:]}"
    return re.sub(r"\n\s*\n\s*", "\n", short)
