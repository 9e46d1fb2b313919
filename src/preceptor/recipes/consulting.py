"""What a run may ask for while it trains: texts that nobody has judged, people's word, a judge's measurement of what it writes.

The project gives these to a run as functions; a recipe knows nothing of slots, pages and people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from preceptor.domain.items import text_of
from preceptor.domain.results import Estimate
from preceptor.errors import UserError

Kind = Literal["label", "compare", "correct", "good"]
Answer = str | Mapping[str, float]


class Waiting(UserError):
    """The run can't go on before people have answered; the same run, started again, goes on from there."""


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """An item that nobody has judged for the run's question, and that isn't like any validation or test row."""

    id: str
    content: Mapping[str, Any]
    group: str

    @property
    def text(self) -> str:
        """The content as one plain text."""
        return text_of(self.content)


@dataclass(frozen=True, slots=True)
class Asked:
    """What people are asked about. id: the run's own, the same after a resume. priority: higher comes first."""

    id: str
    content: Mapping[str, Any]
    priority: float = 0.0


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote for a held-out prompt; content: the prompt's."""

    id: str
    content: Mapping[str, Any]
    text: str


class Unlabelleds(Protocol):
    """The project's items without a judgment; each call begins anew."""

    def __call__(self) -> Iterator[Unlabelled]: ...


class Ask(Protocol):
    """Puts things before people, and gives what has been answered by now, by id; who is absent waits. It never blocks.

    The same ids again change nothing. kind, and what an answer is:
    label    the snapshot's own question about an unlabelled item: answer -> probability
    compare  which of two `responses` is better: "0", "1", "tie" -> probability
    correct  what should have been said instead of one of `responses`: the text, equal to it where it is right
    good     whether one of `responses` is good: "good", "bad" -> probability
    """

    def __call__(self, kind: Kind, asked: Sequence[Asked]) -> Mapping[str, Answer]: ...


class Measure(Protocol):
    """What a judge of human preference, which the run doesn't train on, says of answers to held-out prompts; higher is better."""

    def __call__(self, written: Sequence[Written]) -> Mapping[str, Estimate]: ...
