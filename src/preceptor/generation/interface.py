"""Protocols of models that generate text and of models that score answer options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from preceptor.types import FloatArray

Message = Mapping[str, str]


class TextGenerator(Protocol):
    """A model that generates answers to conversations. Equal calls give equal answers."""

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
        """Generate an answer of at most `max_tokens` tokens to each conversation; temperature 0 takes the most probable tokens."""


class OptionScorer(Protocol):
    """A model that scores answers to prompts. Equal calls give equal results.

    parameters: how many weights it has.
    """

    name: str
    parameters: int

    def render(self, messages: Sequence[Message]) -> str | None:
        """Render a conversation (dicts of role and content) as the model was trained on it, up to where its own turn begins.

        None for a model that has no chat template.
        """

    def option_log_probabilities(self, prefix: str, texts: Sequence[str], suffix: str, options: Sequence[str]) -> FloatArray:
        """Return log P(option | prefix + text + suffix) in nats, summed over the option's tokens: (texts, options) float64."""
