"""One answer, and what all rules want to know of it once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from preceptor.curation.folding import Seen, folded, plain
from preceptor.evaluation.answers import Asked
from preceptor.evaluation.suites.refusals import Refusal, refusal
from preceptor.evaluation.suites.withholding import given


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

    @cached_property
    def given(self) -> tuple[int, int] | None:
        """Where it says more than a refusal does: all of it where it doesn't refuse, None where it refuses and no more."""
        found = given(self.plain.text)
        return self.plain.span(*found) if found else None

    @property
    def withholds(self) -> bool:
        """Whether it refuses in so many words, and gives nothing beside."""
        return self.refusal is not None and self.given is None

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return not any(letter.isalnum() for letter in self.plain.text)
