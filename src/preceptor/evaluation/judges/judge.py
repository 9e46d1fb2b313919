"""The contract of a judge: scores of cases in [0, 1], by a prompt and a model that don't change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from preceptor.types import FloatArray


@dataclass(frozen=True, slots=True)
class JudgeCase:
    """What is judged: a text (a claim, an answer), what it may rest on, and what stood before it."""

    text: str
    sources: tuple[str, ...] = ()
    context: str = ""


class CaseJudge(Protocol):
    """Equal cases get equal scores. digest: of its prompt and its model; another digest is another judge."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        """How much of what is asked for each case has, (n,) in [0, 1]; NaN where no verdict could be read."""
