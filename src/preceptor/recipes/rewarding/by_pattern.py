"""`regex:PATTERN`: whether a pattern is found in the answer. `format:PATTERN`: whether all of the answer has a form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Run
from preceptor.recipes.rewarding.sampled import Sampled


class Found:
    """1 where a regular expression (Python's, capitals count) is found in the answer, else 0."""

    def __init__(self, pattern: str, run: Run) -> None:
        self._pattern = compiled(pattern, "regex")

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([float(self._pattern.search(sample.text) is not None) for sample in samples])


class Formed:
    """1 where an answer that was ended is, from end to end, JSON (`format:json`) or what a regular expression says; else 0."""

    def __init__(self, form: str, run: Run) -> None:
        self._pattern = None if form == "json" else compiled(form, "format")

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([float(sample.ended and self._fits(sample.text.strip())) for sample in samples])

    def _fits(self, text: str) -> bool:
        if self._pattern is not None:
            return self._pattern.fullmatch(text) is not None
        try:
            json.loads(text)
        except ValueError:
            return False
        return True


def compiled(pattern: str, part: str) -> re.Pattern[str]:
    """A pattern, its dot matching line ends too; UserError where it is none, or is found in every text."""
    try:
        found = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise UserError(f"reward {part}: {pattern!r} is no regular expression: {error}", "mend the pattern") from None
    if found.search("") if part == "regex" else found.fullmatch(""):
        raise UserError(f"reward {part}: {pattern!r} matches the empty answer, and so rewards nothing", f"{part}:'^Answer: '")
    return found
