"""When a rule applies: by a pattern of the prompt or of the answer, or by what is known of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import regex  # type: ignore[import-untyped]
from pydantic import Field, field_validator

from preceptor.evaluation.suites.policy.said import Said
from preceptor.registry import OptionsBase

SECONDS = 1.0  # for one text: a pattern that repeats within a repetition can be tried in more ways than there is time for


def check_pattern(pattern: str) -> str:
    """The pattern itself; ValueError, which becomes a user's error, where it isn't a regular expression or matches nothing at all."""
    try:
        compiled = regex.compile(pattern, regex.IGNORECASE)
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if compiled.fullmatch(""):
        raise ValueError("matches the empty text, and so every text")
    return pattern


def in_time(match: Callable[..., Any], text: str, otherwise: Any) -> Any:
    """What a compiled pattern's search finds in a text, or `otherwise` where it comes to no end. Python's own `re` knows no time limit."""
    try:
        return match(text, timeout=SECONDS)
    except TimeoutError:
        return otherwise


class Condition(OptionsBase):
    """All that is given must hold. Patterns are regular expressions, searched in the text made alike, in any case.

    One that comes to no end in time counts as found: a rule that may apply is rather held against the answer than not.
    """

    prompt: str | None = Field(None, description="a pattern of the prompt")
    answer: str | None = Field(None, description="a pattern of the answer")
    metadata: dict[str, Any] = Field({}, description='what is known of the prompt: { topic = "dosage" }, or a list of which one')

    @field_validator("prompt", "answer")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        return None if pattern is None else check_pattern(pattern)

    @cached_property
    def _compiled(self) -> tuple[Any, ...]:
        return tuple(regex.compile(pattern, regex.IGNORECASE) if pattern else None for pattern in (self.prompt, self.answer))

    def holds(self, said: Said) -> bool:
        """Whether the rule applies to a prompt and its answer."""
        known = said.asked.metadata
        for name, wanted in self.metadata.items():
            if name not in known or known[name] not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        of_prompt, of_answer = self._compiled
        if of_prompt and not in_time(of_prompt.search, said.prompt, True):
            return False
        return not of_answer or bool(in_time(of_answer.search, said.plain.text, True))
