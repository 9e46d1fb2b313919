"""`regex:PATTERN`: whether a pattern is found in the answer. `format:PATTERN`: whether all of the answer has a form."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import regex  # type: ignore[import-untyped]

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Run
from preceptor.recipes.rewarding.sampled import Late, Sampled

SECONDS = 1.0  # for one answer: what a pattern repeats within a repetition can be tried in more ways than there is time for


class Found:
    """1 where a regular expression (Python's, capitals count) is found in the answer, else 0. late: answers that it took too long for."""

    def __init__(self, pattern: str, run: Run) -> None:
        self._pattern, self.late = compiled(pattern, "regex"), Late(f"regex {pattern!r}", SECONDS)

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([_in_time(self._pattern.search, sample, sample.text, self.late) for sample in samples])


class Formed:
    """1 where an answer that was ended is, from end to end, JSON (`format:json`) or what a regular expression says; else 0."""

    def __init__(self, form: str, run: Run) -> None:
        self._pattern = None if form == "json" else compiled(form, "format")
        self.late = Late(f"format {form!r}", SECONDS)

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([self._fits(sample, sample.text.strip()) if sample.ended else 0.0 for sample in samples])

    def _fits(self, sample: Sampled, text: str) -> float:
        return float(_is_json(text)) if self._pattern is None else _in_time(self._pattern.fullmatch, sample, text, self.late)


def compiled(pattern: str, part: str) -> Any:
    """A pattern, its dot matching line ends too; UserError where it is none, or is found in every text."""
    try:
        found = regex.compile(pattern, regex.DOTALL)
    except regex.error as error:
        raise UserError(f"reward {part}: {pattern!r} is no regular expression: {error}", "mend the pattern") from None
    if found.search("") if part == "regex" else found.fullmatch(""):
        raise UserError(f"reward {part}: {pattern!r} matches the empty answer, and so rewards nothing", f"{part}:'^Answer: '")
    return found


def _in_time(match: Callable[..., Any], sample: Sampled, text: str, late: Late) -> float:
    """Whether it matches, 1 or 0. The package `regex` can be told how long it may take, and Python's own can't."""
    try:
        found = match(text, timeout=SECONDS)
    except TimeoutError:
        return late.add(sample)
    late.scored += 1
    return float(found is not None)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or lists in lists without end
        return False
    return True
