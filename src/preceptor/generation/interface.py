"""Protocols of what generates text and what scores answer options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from preceptor.types import FloatArray

Message = Mapping[str, str]


class TextGenerator(Protocol):
    """Writes answers to conversations. Equal calls give equal answers."""

    name: str

    def write(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """An answer to each conversation, of so many tokens at most; temperature 0 takes the most probable tokens."""


class OptionScorer(Protocol):
    """Scores answers to prompts. Equal calls give equal results."""

    name: str
    parameters: int

    def render(self, messages: Sequence[Message]) -> str | None:
        """A conversation (dicts of role and content) as the text that the model was trained on, up to where its turn begins.

        None for a model that has no chat template.
        """

    def option_log_probabilities(self, prefix: str, texts: Sequence[str], suffix: str, options: Sequence[str]) -> FloatArray:
        """log P(option | prefix + text + suffix) in nats, summed over the option's tokens: (texts, options) float64."""
