"""What a model was asked, and what it said: the ground that suites stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Turn = Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """One prompt of a suite.

    turns: the conversation up to the answer (dicts of role and content). sources: texts that the answer may rest on.
    group: what answers depend on together (a document, a customer). metadata: slices, such as {"topic": "returns"}.
    """

    id: str
    group: str
    turns: tuple[Turn, ...]
    sources: tuple[str, ...] = ()
    reference: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The conversation as one text: its only turn, or all with their roles."""
        if len(self.turns) == 1:
            return self.turns[0]["content"]
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.turns)


@dataclass(frozen=True)
class Answers:
    """What a model, or a file of recorded answers, said to prompts: a text for each, in their order.

    sampling: how the texts were drawn, so that they can be drawn again. digest: of prompts, texts and sampling.
    """

    subject: str
    asked: Sequence[Asked]
    texts: Sequence[str]
    sampling: Mapping[str, Any]
    digest: str
