"""Rows that say the same: duplicates, and what gives held-out rows away to training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.curation.leaks import GroupLeak, Leak, group_leaks, leaks
from preceptor.evaluation.plots import histogram
from preceptor.project.checking.findings import Drawing, Finding, Suspect, rows_in_words
from preceptor.project.checking.subject import Subject

if TYPE_CHECKING:
    from preceptor.curation.templates import TemplateLeak

OTHERS = 20  # items that a suspect names beside its own


def duplicates(subject: Subject) -> Finding:
    """Rows that are the same or nearly the same as another, verified; those that were answered otherwise come first."""
    rows, clusters = subject.rows, subject.clusters
    found = []
    for places in subject.copies:
        answers = Counter(rows[at].answer for at in places)
        apart = len(answers) > 1 and bool(subject.snapshot.answers)
        for at in places:
            partner = int(clusters.partner[at])
            how = "the same text as" if clusters.same[at] else f"nearly the same as ({clusters.overlap[at]:.2f})"
            otherwise = f"; answered {' and '.join(map(repr, answers))}" if apart else ""
            others = tuple(rows[other].id for other in places if other != at)[:OTHERS]
            more = {"cluster": rows[places[0]].id, "overlap": round(float(clusters.overlap[at]), 4)}
            found.append(Suspect(rows[at].id, f"{how} {rows[partner].id}{otherwise}", float(clusters.overlap[at]) + apart, others, more))
    same = sum(bool(clusters.same[at]) for places in subject.copies for at in places)
    words = (
        f"{rows_in_words(len(found), len(rows))} are the same ({same:,}) or nearly the same as another, in {len(subject.copies):,} clusters"
    )
    return Finding("duplicates", "Duplicates", words, len(found), _gravest(found), "merge" if found else "none", _sizes(subject.copies))


def leaking(subject: Subject) -> list[Finding]:
    """Held-out rows that are the same or nearly the same text as a training row, and those that share a long passage with one."""
    train, held = subject.sides["train"], subject.held_out
    found = leaks([subject.texts[at] for at in train], [subject.texts[at] for at in held])
    texts: list[Suspect] = []
    quotes: list[Suspect] = []
    for leak in found:
        how = {
            "exact": "the same text as",
            "near": f"nearly the same ({leak.overlap:.2f}) as",
            "quote": f"{leak.overlap:.0%} of it stand in",
        }
        other = subject.rows[train[leak.train_index]].id
        suspect = _given_away(subject, leak, f"{how[leak.kind]} training row {other}", leak.overlap)
        (quotes if leak.kind == "quote" else texts).append(suspect)
    words = f"{rows_in_words(len(texts), len(held))} that are held out are the same or nearly the same text as a training row"
    said = f"{rows_in_words(len(quotes), len(held))} that are held out share a passage of 13 words or more with a training row"
    return [
        Finding("leaks", "Leaks", words, len(texts), _gravest(texts), _drop(texts)),
        Finding("quotes", "Shared passages", said, len(quotes), _gravest(quotes), _drop(quotes)),
    ]


def groups(subject: Subject) -> Finding:
    """Held-out rows whose group stands in training as well."""
    train, held = subject.sides["train"], subject.held_out
    names = [row.group for row in subject.rows]
    found = [
        _given_away(subject, leak, f"group {leak.group} stands in training too", 1.0)
        for leak in group_leaks([names[at] for at in train], [names[at] for at in held])
    ]
    words = f"{rows_in_words(len(found), len(held))} that are held out are of a group that stands in training too"
    return Finding("groups", "Groups on two sides", words, len(found), found, _drop(found))


def templates(subject: Subject) -> Finding:
    """Held-out rows made from the same form as training rows: known to who has seen the form."""
    from preceptor.curation.templates import template_leaks

    train, held = subject.sides["train"], subject.held_out
    found = [
        _given_away(subject, leak, f"made from a form that training has seen: {leak.frame}", 0.5, frame=leak.frame)
        for leak in template_leaks([subject.texts[at] for at in train], [subject.texts[at] for at in held])
    ]
    words = f"{rows_in_words(len(found), len(held))} that are held out are made from a form that training rows are made from"
    return Finding("templates", "Forms on two sides", words, len(found), found, _drop(found))


def _given_away(subject: Subject, leak: Leak | GroupLeak | TemplateLeak, reason: str, score: float, **more: str) -> Suspect:
    """A held-out row beside the training row that gives it away."""
    row, other = subject.rows[subject.held_out[leak.test_index]], subject.rows[subject.sides["train"][leak.train_index]]
    return Suspect(row.id, reason, score, (other.id,), {"split": row.split, **more})


def _sizes(copies: Sequence[Sequence[int]]) -> list[Drawing]:
    if len(copies) < 2:
        return []
    sizes = Counter(min(len(places), 10) for places in copies)
    bars = [(f"{size}" if size < 10 else "10+", float(sizes[size])) for size in range(2, max(sizes) + 1)]
    title = "Clusters of duplicates by their size"
    return [Drawing(title, str(histogram(title, bars, x_label="rows of a cluster", y_label="clusters")))]


def _gravest(found: Sequence[Suspect]) -> list[Suspect]:
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.item))


def _drop(found: Sequence[Suspect]) -> str:
    return "drop" if found else "none"
