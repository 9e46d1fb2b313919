"""What a written answer is like, whether it is right or not: whether it has the form that references have, and whether it refuses.

format     1 where an answer has the references' form, where they share one: one of their labels, or JSON with their fields
refusals   1 where an answer declines to answer what its reference answers; known by how English refusals begin
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.domain.results import Estimate, FloatArray
from preceptor.evaluation.texts import labels_of, same
from preceptor.statistics import compare_paired, mean

_APOLOGY = r"(i['’]?m|i am|we['’]?re|we are) (very |really |so )?sorry"
_CANNOT = r"(i|we) (can['’]?t|cannot|can not|won['’]?t|will not|am unable|am not able|['’]?m unable|['’]?m not able)"
_REFUSAL = re.compile(rf"\W*+(({_APOLOGY}|sorry|unfortunately|apologies)\W+(but )?)?({_CANNOT}|as an ai\b|i must decline)", re.IGNORECASE)
_ONLY_SORRY = re.compile(rf"\W*+{_APOLOGY}\W+but\b", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """A form that references share, in words, and whether a text has it."""

    words: str
    has: Callable[[str], bool]


def form_of(references: Sequence[str]) -> Form | None:
    """The form that all references share: labels, or JSON objects with the same fields; None where they have none in common."""
    if labels := set(labels_of(references)):
        return Form(f"one of {len(labels)} labels", lambda text: same(text) in labels)
    objects = [_object(text) for text in references]
    if not objects or None in objects:
        return None
    fields = set.intersection(*[set(each or ()) for each in objects])
    words = f"a JSON object with {', '.join(sorted(fields))}" if fields else "a JSON object"
    return Form(words, lambda text: (found := _object(text)) is not None and fields <= found.keys())


def refuses(text: str) -> bool:
    """Whether an answer declines, by how it begins."""
    return bool(_REFUSAL.match(text) or _ONLY_SORRY.match(text))


def manner_columns(answers: Sequence[str], references: Sequence[str], form: Form | None, refused: Sequence[bool]) -> dict[str, FloatArray]:
    """0 or 1 for each answer. refused: what is known of each beside its words, as when a service says so itself."""
    declined = [
        (known or refuses(answer)) and not refuses(wanted) for answer, wanted, known in zip(answers, references, refused, strict=True)
    ]
    found = {"refusals": np.array(declined, dtype=np.float64)}
    return found if form is None else {"format": np.array([float(form.has(answer)) for answer in answers]), **found}


def manner_estimates(columns: dict[str, FloatArray], groups: Any) -> dict[str, Estimate]:
    """The share of each."""
    return {name: mean(values, clusters=groups) for name, values in columns.items()}


def paired_manners(first: dict[str, FloatArray], second: dict[str, FloatArray], groups: Any) -> dict[str, Estimate]:
    """Differences first − second on the same rows."""
    return {name: compare_paired(first[name], second[name], clusters=groups) for name in first}


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
