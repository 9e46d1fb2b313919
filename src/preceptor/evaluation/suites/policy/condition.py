"""When a rule applies: by a pattern of the prompt or of the answer, or by what is known of the prompt."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from pydantic import Field, field_validator

from preceptor.evaluation.suites.policy.said import Said
from preceptor.registry import OptionsBase


def check_pattern(pattern: str) -> str:
    """The pattern itself; ValueError, which becomes a user's error, where it isn't a regular expression or matches nothing at all."""
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if compiled.fullmatch(""):
        raise ValueError("matches the empty text, and so every text")
    return pattern


class Condition(OptionsBase):
    """All that is given must hold. Patterns are regular expressions, searched in the text made alike, in any case."""

    prompt: str | None = Field(None, description="a pattern of the prompt")
    answer: str | None = Field(None, description="a pattern of the answer")
    metadata: dict[str, Any] = Field({}, description='what is known of the prompt: { topic = "dosage" }, or a list of which one')

    @field_validator("prompt", "answer")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        return None if pattern is None else check_pattern(pattern)

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str] | None, ...]:
        return tuple(re.compile(pattern, re.IGNORECASE) if pattern else None for pattern in (self.prompt, self.answer))

    def holds(self, said: Said) -> bool:
        """Whether the rule applies to a prompt and its answer."""
        known = said.asked.metadata
        for name, wanted in self.metadata.items():
            if name not in known or known[name] not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        of_prompt, of_answer = self._compiled
        if of_prompt and not of_prompt.search(said.prompt):
            return False
        return not of_answer or of_answer.search(said.plain.text) is not None
