"""Rows that can't teach: without a text, without a decided answer; and which answers and groups have too few or too many."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from preceptor.evaluation.plots import histogram
from preceptor.project.checking.findings import Drawing, Finding, Suspect, rows_in_words
from preceptor.project.checking.subject import Subject

RARE = 0.2  # of an even share, below which an answer is rare
LARGE = 0.05  # of all rows, above which one group is much of them
LEAST = 20  # rows below which a share says little


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


def balance(subject: Subject) -> Finding:
    """Rows of answers that are rare beside an even share, and of groups that make up much of the set."""
    rows, answers = subject.rows, subject.snapshot.answers
    of_answer, of_group = defaultdict(list), defaultdict(list)
    for at, row in enumerate(rows):
        of_group[row.group].append(at)
        for answer in subject.snapshot.said(row):
            of_answer[answer].append(at)
    even = len(rows) / max(len(answers), 1)
    rare = {answer: of_answer[answer] for answer in answers if len(of_answer[answer]) < max(RARE * even, 1)}
    large = {group: places for group, places in of_group.items() if len(places) > max(LARGE * len(rows), LEAST)}
    found = [
        Suspect(rows[at].id, f"one of {len(places):,} rows answered {answer!r}, of {even:,.0f} that an even share would be", 1.0)
        for answer, places in rare.items()
        for at in places
    ]
    found += [
        Suspect(rows[at].id, f"one of {len(places):,} rows of group {group}, {len(places) / len(rows):.0%} of all", 0.5)
        for group, places in large.items()
        for at in places
    ]
    told = [f"{len(rare):,} of {len(answers):,} answers have less than a fifth of an even share"] if answers else []
    without = [answer for answer in answers if not of_answer[answer]]
    told += [f"no row is answered {', '.join(map(repr, without[:10]))}{' …' if len(without) > 10 else ''}"] if without else []
    told += [f"{len(large):,} of {len(of_group):,} groups have more than {LARGE:.0%} of the rows each"]
    return Finding(
        "balance",
        "Balance",
        "; ".join(told),
        len(found),
        found,
        "none",
        _shares(answers, Counter({k: len(v) for k, v in of_answer.items()})),
    )


def _shares(answers: tuple[str, ...], counts: Counter[str]) -> list[Drawing]:
    if len(answers) < 2:
        return []
    title = "Rows of each answer"
    bars = [(answer[:10], float(counts[answer])) for answer in sorted(answers, key=lambda answer: -counts[answer])]
    return [Drawing(title, str(histogram(title, bars, x_label="answer, the most frequent first", y_label="rows")))]
