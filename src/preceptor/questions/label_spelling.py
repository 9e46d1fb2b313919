"""Labels that differ only in capitals or spaces: which spellings a file holds of one label, and answers taken for the option they spell."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from preceptor.domain import Question

KINDS = ("choice", "multilabel")  # whose answers are options, by their text


def spelling_key(label: str) -> str:
    """Return what a label's spellings have in common: NFKC, casefolded, its runs of white space one space, none at its ends."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def spelling_groups(labels: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Find labels that are written in several ways, from how often each spelling occurs.

    The most frequent spelling (of equals the first) of each, without outer spaces -> all its spellings with their counts.
    """
    groups: dict[str, dict[str, int]] = {}
    for label, count in labels.items():
        groups.setdefault(spelling_key(label), {})[label] = count
    several = [group for group in groups.values() if len(group) > 1]
    return {" ".join(max(group, key=lambda label: group[label]).split()): group for group in several}


def described_spellings(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Describe groups in one line: `bearish (bearish 120, Bearish 80), …`."""
    return "; ".join(f"{label} ({', '.join(f'{each!r} {count:,}' for each, count in group.items())})" for label, group in groups.items())


def folded_labels(labels: Mapping[str, int]) -> list[str]:
    """List each label once, in the order of their first spelling, by its most frequent spelling without outer spaces."""
    chosen = {spelling_key(label): label for label in spelling_groups(labels)}
    return list(dict.fromkeys(chosen.get(spelling_key(label), " ".join(label.split())) for label in labels))


def fold_answer(question: Question, answer: Any) -> Any:
    """Replace labels by the options that they spell in other capitals or spaces; what spells none, or several, stays as it is."""
    if question.kind not in KINDS:
        return answer
    if isinstance(answer, str):
        return _fold_label(answer, question.options)
    if isinstance(answer, list | tuple):
        return [_fold_label(label, question.options) if isinstance(label, str) else label for label in answer]
    return answer


def _fold_label(label: str, options: Iterable[Any]) -> str:
    texts = [option for option in options if isinstance(option, str)]
    alike = [option for option in texts if spelling_key(option) == spelling_key(label)]
    return label if label in texts or len(alike) != 1 else alike[0]
