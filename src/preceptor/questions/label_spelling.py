"""Find labels that differ only in capitals or spaces: group their spellings, merge them, and match answers to options."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from preceptor.types import Question

LABEL_KINDS = ("choice", "multilabel")  # whose answers are options, by their text


def normalize_label(label: str) -> str:
    """Return the common form of a label's spellings: NFKC, casefolded, runs of white space as one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def group_spellings(labels: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Group labels that are written in several ways, from how often each spelling occurs.

    Returns the most frequent spelling of each (of equally frequent ones the first), without outer spaces -> all its spellings with their
    counts.
    """
    groups: dict[str, dict[str, int]] = {}
    for label, count in labels.items():
        groups.setdefault(normalize_label(label), {})[label] = count
    several = [group for group in groups.values() if len(group) > 1]
    return {" ".join(max(group, key=lambda label: group[label]).split()): group for group in several}


def describe_spellings(groups: Mapping[str, Mapping[str, int]]) -> str:
    """Describe groups of spellings in one line: `bearish ('bearish' 120, 'Bearish' 80); …`."""
    return "; ".join(f"{label} ({', '.join(f'{each!r} {count:,}' for each, count in group.items())})" for label, group in groups.items())


def merge_spellings(labels: Mapping[str, int]) -> list[str]:
    """Return each label once, in the order of its first spelling, by its most frequent spelling without outer spaces."""
    chosen = {normalize_label(label): label for label in group_spellings(labels)}
    return list(dict.fromkeys(chosen.get(normalize_label(label), " ".join(label.split())) for label in labels))


def match_answer_to_options(question: Question, answer: Any) -> Any:
    """Replace labels by the option that each spells in other capitals or spaces; one that matches none or several stays as it is."""
    if question.kind not in LABEL_KINDS:
        return answer
    if isinstance(answer, str):
        return _match_label_to_options(answer, question.options)
    if isinstance(answer, list | tuple):
        return [_match_label_to_options(label, question.options) if isinstance(label, str) else label for label in answer]
    return answer


def _match_label_to_options(label: str, options: Iterable[Any]) -> str:
    texts = [option for option in options if isinstance(option, str)]
    alike = [option for option in texts if normalize_label(option) == normalize_label(label)]
    return label if label in texts or len(alike) != 1 else alike[0]
