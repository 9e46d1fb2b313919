"""One answer, and what all rules want to know of it once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from preceptor.evaluation.answers import Asked
from preceptor.evaluation.suites.policy.folding import Seen, folded, plain
from preceptor.evaluation.suites.refusals import Refusal, refusal


@dataclass(frozen=True)
class Said:
    """An answer to what was asked."""

    asked: Asked
    text: str

    @cached_property
    def prompt(self) -> str:
        """What was asked, made alike."""
        return plain(self.asked.prompt).text

    @cached_property
    def plain(self) -> Seen:
        """The answer, made alike."""
        return plain(self.text)

    @cached_property
    def folded(self) -> Seen:
        """The answer without capitals, accents and look-alikes."""
        return folded(self.plain)

    @cached_property
    def refusal(self) -> Refusal | None:
        """Where it refuses; None where it answers."""
        return refusal(self.plain.text)
