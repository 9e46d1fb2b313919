"""An answer that a policy wrote, and the contract of what rewards it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from preceptor.domain.results import FloatArray

Check = Callable[[Sequence["Sampled"]], FloatArray]
MakeCheck = Callable[[str], Check]
"""From what a spec says behind the part's name to the function that scores answers in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One answer to a row's prompt.

    id, content, target: the row's. text: what was written, without special tokens. ended: whether the policy ended it itself.
    """

    id: str
    content: Mapping[str, Any]
    text: str
    ended: bool = True
    target: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> int:
        """How many words the answer has, as space separates them."""
        return len(self.text.split())

    @property
    def shown(self) -> str:
        """The answer as messages name it: its row, and how it begins."""
        return f"row {self.id!r}, answer {self.text[:60]!r}"


class Reward(Protocol):
    """Scores answers; equal answers get equal scores, and higher is better."""

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        """(n,), every number finite."""
        ...
