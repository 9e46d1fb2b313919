"""An answer that a policy wrote, and the contract of what rewards it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError

FUTILE = 3  # first answers that all take too long, after which no other is waited for

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


@dataclass
class Late:
    """How many answers a part took too long to score, each of which earned 0, and how many it scored in time."""

    part: str
    seconds: float
    count: int = 0
    scored: int = 0

    def add(self, sample: Sampled) -> float:
        """What an answer earns that took too long; UserError where none of the first ones was scored in time."""
        self.count += 1
        if self.count == FUTILE and not self.scored:
            raise UserError(
                f"reward {self.part} came to no end within {self.seconds:g} seconds with any of the first {FUTILE} answers",
                "mend it: it may take so long for a rare answer, not for all", where=sample.shown,
            )  # fmt: skip
        return 0.0
