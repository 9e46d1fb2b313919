"""The page's sections about slices of the test rows, and about the last release on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from preceptor.domain import Estimate
from preceptor.evaluation.page.kinds import kind_of
from preceptor.evaluation.page.parts import Document, Picture, Section, Table, is_estimate, look, picture
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.wording import count, figure_name, interval, moment, percent, points, spread

DRAWN = 8  # slices in a picture, the worst first; the table has all


def slices_section(document: Document) -> Section:
    """Which parts of the test rows are worse than the rest, beyond what looking at many of them does by chance."""
    section = look(document, "slices") or {}
    found: Sequence[Document] = section.get("found") or ()
    if not found:
        return Section("slices", "")
    figure = figure_name(str(section.get("figure", "accuracy")))
    worse = [_name(each) for each in found if each.get("worse")]
    if worse:
        verdict = f"Worse than the rest of the rows: {', '.join(worse)}."
    else:
        verdict = f"Of {count(len(found))} slices none is shown to be worse than the rest of the rows."
    return Section(
        "slices",
        "Is it worse for some?",
        [f"{verdict} {' '.join(_how(section, len(found), 'the rest'))}"],
        [_picture(f"Difference in {figure} from the rest, in points", found, "like the rest")],
        [slice_table(f"{figure.capitalize()} of each slice", section)],
    )


def previous_section(document: Document) -> Section:
    """What became better and worse since the last model that was let out."""
    previous = look(document, "previous") or {}
    if not previous.get("model"):
        return Section("previous", "")
    differences = {name: Estimate.of(each["difference"]) for name, each in (previous.get("figures") or {}).items()}
    found: Sequence[Document] = look(previous, "slices", "found") or ()
    pictures = []
    if differences:
        rows = [Row(figure_name(name), estimate, strong=True) for name, estimate in differences.items()]
        pictures.append(_differences("Change since the last release, in points", rows, "as before"))
    if found:
        pictures.append(_picture("Change of each slice, in points", found, "as before"))
    tables = [table for table in (_was_table(previous), _suites_table(previous, document)) if table.rows]
    return Section("previous", "Beside the last release", [" ".join(_previous_sentences(previous, differences, found))], pictures, tables)


def slice_table(caption: str, section: Document) -> Table:
    """All slices that were tested; the last column is the chance of a difference so large where there is none, for all of them together."""
    rows = [
        [_name(each), count(each["rows"]), spread(Estimate.of(each["estimate"])), _points(each["difference"]), _chance(each["adjusted"])]
        for each in section.get("found") or ()
        if is_estimate(each.get("estimate")) and is_estimate(each.get("difference"))
    ]
    return Table(caption, ["slice", "rows", "figure", "difference, points", "by chance"], rows)


def _previous_sentences(previous: Document, differences: Mapping[str, Estimate], found: Sequence[Document]) -> Iterator[str]:
    by = f", by {previous['by']}" if previous.get("by") else ""
    decision = f" ({previous['decision']})" if previous.get("decision") else ""
    yield f"The last model that was let out is {previous['model']}{by}{decision}."
    if previous.get("why") or not differences:
        why = str(previous.get("why") or "no test row was measured by both")
        yield f"The two can't be compared row by row: {why}."
        return
    left_out = previous.get("left_out") or 0
    without = f"; {count(left_out)} rows that only this one was measured on, or whose true answer has changed since, are left out"
    yield f"Both were measured on {count(previous.get('rows', 0))} same test rows{without if left_out else ''}."
    for name, difference in differences.items():
        yield _change(figure_name(name), difference)
    worse = [_name(each) for each in found if each.get("worse")]
    if worse:
        yield f"Worse than before: {', '.join(worse)}. {' '.join(_how(look(previous, 'slices'), len(found), 'what they were'))}"
    elif found:
        yield f"Of {count(len(found))} slices none is shown to have become worse."


def _change(name: str, difference: Estimate) -> str:
    found = interval(difference, points)
    ends = found if found.startswith("interval") else f"plausibly {found}"
    if difference.low > 0:
        return f"{name.capitalize()} has risen by {points(difference.value).lstrip('+')} points ({ends})."
    if difference.high < 0:
        return f"{name.capitalize()} has fallen by {points(-difference.value).lstrip('+')} points ({ends})."
    return f"No change in {name} is shown: {points(difference.value)} points, {ends}."


def _how(section: Document, tested: int, against: str) -> Iterator[str]:
    yield (
        f"{count(tested)} slices were held against {against}, and among so many one looks bad by chance alone: "
        "“worse” is said only where the chance of saying it of any wrongly stays below 5 % (Holm's correction)."
    )
    if left_out := section.get("left_out"):
        least = section.get("least") or (30, 10)
        yield f"{count(left_out)} more have fewer than {least[0]} rows or {least[1]} groups, too few to tell."


def _picture(title: str, found: Sequence[Document], word: str) -> Picture:
    shown = found[:DRAWN]
    rows = [Row(_name(each), Estimate.of(each["difference"]), strong=bool(each.get("worse"))) for each in shown]
    more = f" The {count(DRAWN)} lowest of {count(len(found))}." if len(found) > DRAWN else ""
    return _differences(title, rows, word, f"Strong where it is worse beyond chance.{more}")


def _differences(title: str, rows: Sequence[Row], word: str, caption: str = "Right of the line is better.") -> Picture:
    return picture(caption, interval_plot, title, rows, show=points, limits=(-1.0, 1.0), mark=(0.0, word))


def _was_table(previous: Document) -> Table:
    rows = [
        [figure_name(name), spread(Estimate.of(each["was"])), spread(Estimate.of(each["now"])), _points(each["difference"])]
        for name, each in (previous.get("figures") or {}).items()
    ]
    return Table("On the same rows", ["figure", "last release", "this model", "difference, points"], rows)


def _suites_table(previous: Document, document: Document) -> Table:
    rows = []
    for name, suite in (look(document, "suites") or {}).items():
        for key, value in (suite.get("figures") or {}).items():
            was = look(previous, "suites", name, key)
            if is_estimate(value) and is_estimate(was):
                show = kind_of(key, Estimate.of(value)).show
                rows.append([f"{name}: {figure_name(key)}", *(spread(Estimate.of(each), show) for each in (was, value))])
    return Table("Suites, each as it was measured then", ["figure", "last release", "this model"], rows)


def _name(each: Document) -> str:
    return f"{str(each.get('by', '')).replace('_', ' ')}: {each.get('slice')}"


def _points(difference: Document) -> str:
    found = Estimate.of(difference)
    return spread(found, points)


def _chance(adjusted: float) -> str:
    return percent(adjusted) if adjusted >= 0.001 else f"< {percent(0.001)}"


def decisions_table(document: Document) -> Table:
    """Everything that was decided about the model, the newest last."""
    rows = [
        [moment(each.get("created", "")), str(each.get("by", "")), str(each.get("decision", "")), str(each.get("note") or "–")]
        for each in look(document, "decisions") or ()
    ]
    return Table("What was decided about this model", ["when", "who", "decision", "note"], rows, numeric=False)
