"""A language model in a folder of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.domain.results import FloatArray
from preceptor.providers.provider import Message


class LocalProvider:
    """Loads the folder's model once; see `Provider` for the calls."""

    def __init__(self, folder: Path) -> None:
        from preceptor.models import load_causal, load_tokenizer

        self.name = folder.name
        self._model, self._tokenizer = load_causal(folder), load_tokenizer(folder)
        self.parameters = sum(weights.numel() for weights in self._model.parameters())

    def render(self, messages: Sequence[Message]) -> str | None:
        if self._tokenizer.chat_template is None:
            return None
        return str(self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))

    def option_log_probabilities(self, prefix: str, texts: Sequence[str], suffix: str, options: Sequence[str]) -> FloatArray:
        from preceptor.models.scoring import continuation_log_probabilities

        # Whole prompts are cut into tokens: cut at the joints, " good" would become other tokens than the model knows.
        prompts = self._tokens([f"{prefix}{text}{suffix}" for text in texts])
        return continuation_log_probabilities(self._model, prompts, self._tokens(options))

    def _tokens(self, texts: Sequence[str]) -> list[Any]:
        encoded = self._tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return list(encoded)
