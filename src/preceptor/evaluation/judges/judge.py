"""The interface of a judge: scores of cases in [0, 1], from a prompt and a model that do not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from preceptor.types import FloatArray


@dataclass(frozen=True, slots=True)
class JudgeCase:
    """A case to judge: a text (a claim, an answer), the sources that may support it, and the context that precedes it."""

    text: str
    sources: tuple[str, ...] = ()
    context: str = ""


class CaseJudge(Protocol):
    """A judge that gives equal cases equal scores.

    digest: of its prompt and its model; another digest is another judge.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def scores(self, cases: Sequence[JudgeCase]) -> FloatArray:
        """Return how well each case meets the judge's question, (n,) in [0, 1].

        NaN where no verdict could be parsed.
        """
