"""How a model is brought to choose: by the probabilities that it gives to the options, or by what it writes.

A chooser takes prompts and options, and gives a probability of each option. The first way needs a model whose probabilities can
be read (a local one), the second any model that writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.providers.provider import Provider, Writer

WORDS = 12  # tokens that a written verdict may take


class Chooser(Protocol):
    """Equal prompts get equal rows. digest: of the model, by its weights or by its name where it is hosted. how: in words."""

    name: str
    digest: str
    how: str

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """Probability of each option after each prompt, (prompts, options), rows sum to 1; a row of NaN where there is no verdict."""


class ByLikelihood:
    """The options' probabilities after the prompt, each divided by their sum; what all prompts begin with is read once.

    A prompt that the model can't read whole gets no verdict: half a text is another text.
    """

    how = "probabilities of the options"

    def __init__(self, provider: Provider, digest: str) -> None:
        self.name, self.digest, self._provider = provider.name, digest, provider

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """See `Chooser`."""
        rendered = [self._provider.render([{"role": "user", "content": prompt}]) for prompt in prompts]
        chat = all(text is not None for text in rendered)
        texts = [text if text is not None else f"{prompt}\nAnswer:" for prompt, text in zip(prompts, rendered, strict=True)]
        given = list(options) if chat else [f" {option}" for option in options]
        fits = self._fits(texts, given)
        found = np.full((len(prompts), len(options)), np.nan)
        if len(fits):
            scores = self._provider.option_log_probabilities("", [texts[row] for row in fits], "", given)
            raised = np.exp(scores - scores.max(axis=1, keepdims=True))
            found[fits] = raised / raised.sum(axis=1, keepdims=True)
        return found

    def _fits(self, texts: Sequence[str], options: Sequence[str]) -> list[int]:
        provider: Any = self._provider
        window = getattr(provider, "window", None)
        if window is None:
            return list(range(len(texts)))
        room = window - max(provider.lengths(options))
        return [row for row, length in enumerate(provider.lengths(texts)) if length <= room]


class ByWriting:
    """What the model writes, read as one of the options: certain, or no verdict. Answers of a hosted model are kept and paid once.

    again: another number asks anew, and pays anew, to see whether the model still says the same.
    """

    how = f"greedily, at most {WORDS} tokens"

    def __init__(self, writer: Writer, digest: str, *, again: int = 0) -> None:
        self.name, self.digest, self._writer, self._again = writer.name, digest, writer, again

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> FloatArray:
        """See `Chooser`."""
        conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
        said = self._writer.write(conversations, max_tokens=WORDS, seed=self._again)
        found = np.full((len(prompts), len(options)), np.nan)
        for row, text in enumerate(said):
            if (option := verdict(text, options)) is not None:
                found[row] = np.eye(len(options))[option]
        return found


def verdict(text: str, options: Sequence[str]) -> int | None:
    """Which option a text names: the one that it begins with, else the only one that is in it; None where that can't be told."""
    bare = text.strip().lstrip("*_#\"'`([").casefold()
    words = [re.compile(rf"(?<!\w){re.escape(option.casefold())}(?!\w)") for option in options]
    begins = [number for number, word in enumerate(words) if word.match(bare)]
    if begins:
        return begins[0]
    named = [number for number, word in enumerate(words) if word.search(bare)]
    return named[0] if len(named) == 1 else None
