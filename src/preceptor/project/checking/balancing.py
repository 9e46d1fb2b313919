"""Whether answers, groups and slices have rows enough, and none has too many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preceptor.curation.balance import Balance, balance
from preceptor.evaluation.plots import Row, histogram, interval_plot
from preceptor.evaluation.wording import percent
from preceptor.project.checking.findings import Drawing, Finding, Suspect, excerpt
from preceptor.project.checking.subject import Subject
from preceptor.store import items

FEW, NAMED = 12, 12  # values of a field that slices the rows; answers that a picture names


def balancing(subject: Subject) -> Finding:
    """Rows of answers that are rare, of groups that make up much of the set, and of slices that lack answers."""
    rows, answers = subject.rows, subject.snapshot.answers
    said = [", ".join(subject.snapshot.said(row)) or "none" for row in rows] if answers else [""] * len(rows)
    known = list(answers) if answers and subject.snapshot.target_kind != "multilabel" else None
    found = balance(said, answers=known, groups=[row.group for row in rows], slices=_slices(subject))
    suspects = [Suspect(rows[at].id, each.words, 1.0 / (1 + place)) for place, each in enumerate(found.findings) for at in each.rows]
    first: dict[str, Suspect] = {}
    for suspect in suspects:  # a row of several imbalances stands with the first
        first.setdefault(suspect.item, suspect)
    told = "; ".join([found.words, *(each.words for each in found.findings if not each.rows)])
    return Finding("balance", "Balance", told, len(found.findings), list(first.values()), "none", _drawn(found) if answers else [])


def _slices(subject: Subject) -> Mapping[str, Sequence[str]]:
    """Fields of the items' metadata that have few values and stand at nearly every row."""
    with subject.project.database.reading() as connection:
        found = items.metadata(connection, [row.id for row in subject.rows])
    fields = sorted({name for fields in found.values() for name in fields})
    slices: dict[str, Sequence[str]] = {}
    for name in fields:
        values = [found.get(row.id, {}).get(name) for row in subject.rows]
        plain = [value if isinstance(value, str) else f"{value}" for value in values if isinstance(value, str | int | bool)]
        if 2 <= len(set(plain)) <= FEW and len(plain) >= 0.9 * len(values):
            slices[name] = ["" if value is None else str(value) for value in values]
    return slices


def _drawn(found: Balance) -> list[Drawing]:
    """Each answer's share with its interval; of more answers than can be named, their rows from the most to the least frequent."""
    if len(found.answers) < 2:
        return []
    title = "Rows of each answer"
    caption = f"As even as {found.effective_answers:.1f} equally frequent answers would be; there are {len(found.answers)}."
    ordered = sorted(found.answers, key=lambda each: -each.rows)
    if len(ordered) <= NAMED:
        rows = [Row(excerpt(each.answer, 30), each.share, strong=True) for each in ordered]
        return [Drawing(title, str(interval_plot(title, rows, show=percent, limits=(0.0, 1.0))), caption)]
    bars = [(str(place), float(each.rows)) for place, each in enumerate(ordered, start=1)]
    return [Drawing(title, str(histogram(title, bars, x_label="answers, the most frequent first", y_label="rows")), caption)]
