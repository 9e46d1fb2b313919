"""Rows that can't teach: without a text, or without a decided answer."""

from __future__ import annotations

import math

from preceptor.project.checking.findings import Finding, Suspect, rows_in_words
from preceptor.project.checking.subject import Subject


def empty(subject: Subject) -> Finding:
    """Rows without any text, and texts of which nothing is left that can be read."""
    found = [
        Suspect(row.id, "it has no text" if not text.strip() else "it has no letter or number", 1.0)
        for row, text in zip(subject.rows, subject.texts, strict=True)
        if not any(letter.isalnum() for letter in text)
    ]
    words = f"{rows_in_words(len(found), len(subject.rows))} have no text, or none with a letter or a number in it"
    return Finding("empty", "Empty rows", words, len(found), found, "drop" if found else "none")


def undecided(subject: Subject) -> Finding:
    """Rows in which no answer (of several labels: no set of them) reaches a probability of one half; the least decided first."""
    several = subject.snapshot.target_kind == "multilabel"
    found = []
    for row in subject.rows:
        sure = math.prod(max(chance, 1 - chance) for chance in row.target.values()) if several else max(row.target.values())
        if sure < 0.5:
            told = sorted(row.target.items(), key=lambda pair: -pair[1])[:3]
            found.append(Suspect(row.id, ", ".join(f"{answer} {chance:.0%}" for answer, chance in told), 1 - sure))
    found.sort(key=lambda suspect: (-suspect.score, suspect.item))
    words = f"{rows_in_words(len(found), len(subject.rows))} have no answer of a probability of one half"
    return Finding("undecided", "Undecided rows", words, len(found), found, "experts" if found else "none")
