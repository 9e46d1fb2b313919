"""What a base knows in general, as data: texts to measure it by and to train on again, and suites of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with its options, of which `answer` (a position) is right."""

    id: str
    question: str
    options: tuple[str, ...]
    answer: int

    @property
    def chance(self) -> float:
        """How often guessing is right."""
        return 1 / len(self.options)


@dataclass(frozen=True)
class General:
    """General texts as conversations that end with an answer (dicts of role and content), by id, and suites of questions.

    replay: may be trained on. texts: are measured only, and `origin` says what they are. suites: name -> questions.
    digest: of all that was named, evaluation's part too.
    """

    replay: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    texts: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    suites: Mapping[str, Sequence[Choice]] = field(default_factory=dict)
    origin: str = "general texts"
    digest: str = ""
