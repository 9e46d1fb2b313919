"""Generate, score and classify with a model in a folder of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.errors import UserError
from preceptor.generation.interface import Message
from preceptor.types import FloatArray

if TYPE_CHECKING:
    from preceptor.models.causal_lm import ChatModel
    from preceptor.models.parity import ProbeScores


class LocalProvider:
    """A `TextGenerator` and `OptionScorer` for the language model in a folder, which is loaded once."""

    def __init__(self, folder: Path, *, dtype: Literal["float32", "bfloat16"] = "float32") -> None:
        from preceptor.models import load_causal, load_tokenizer

        self.name = folder.name
        self._folder = folder
        self._model, self._tokenizer = load_causal(folder, dtype=dtype), load_tokenizer(folder)
        self.parameters = sum(weights.numel() for weights in self._model.parameters())

    def render(self, messages: Sequence[Message]) -> str | None:
        """Render a conversation up to the model's own turn; None without a chat template (see `OptionScorer.render`)."""
        if self._tokenizer.chat_template is None:
            return None
        return str(self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))

    def option_log_probabilities(self, prefix: str, texts: Sequence[str], suffix: str, options: Sequence[str]) -> FloatArray:
        """Return log P(option | prefix + text + suffix) in nats, (texts, options) float64 (see `OptionScorer`)."""
        from preceptor.generation.option_scoring import continuation_log_probabilities

        # Tokenize whole prompts: split at the joints, " good" would become tokens that the model doesn't know it by.
        prompts = self._tokens([f"{prefix}{text}{suffix}" for text in texts])
        return continuation_log_probabilities(self._model, prompts, self._tokens(options))

    @property
    def context_length(self) -> int:
        """How many tokens the model reads at once."""
        from preceptor.models.batching import get_max_input_tokens

        return get_max_input_tokens(self._tokenizer, self._model.config)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [len(ids) for ids in self._tokens(texts)]

    def truncate_texts(self, texts: Sequence[str], tokens: int) -> list[str]:
        """Truncate each text to at most `tokens` tokens."""
        ends = self._tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=tokens, return_offsets_mapping=True)
        return [text[: places[-1][1]] if places else "" for text, places in zip(texts, ends["offset_mapping"], strict=True)]

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
        """Generate an answer to each conversation, sampled as in serving (see `TextGenerator.write`).

        Raises UserError for a conversation that doesn't fit with its answer.
        """
        from preceptor.generation.offline import generate_answers
        from preceptor.generation.sampling import GenerationRequest, SamplingParams

        prompts = [self._chat.encode_prompt(turns) for turns in conversations]
        sampling = SamplingParams(temperature, top_p, seed)
        requests = [
            GenerationRequest(prompt, self._chat.max_answer_tokens(prompt, None, max_tokens), sampling, stop=tuple(stop))
            for prompt in prompts
        ]
        return [answer.text for (answer,) in generate_answers(self._chat, requests)]

    def fits(self, turns: Sequence[Message]) -> bool:
        """Return whether a conversation can be read with room for an answer."""
        try:
            self._chat.max_answer_tokens(self._chat.encode_prompt(turns), None, 1)
        except UserError:
            return False
        return True

    @cached_property
    def _chat(self) -> ChatModel:
        from preceptor.models.causal_lm import ChatModel

        return ChatModel(self._folder, self._model)

    def score_rows(self, conversations: Mapping[str, Sequence[Message]]) -> ProbeScores:
        """Return the log-probabilities of each conversation's last turn and of the tokens that end it, token by token.

        Rendered by the model's own template. Raises RenderError (see `preceptor.models.chat_template`) where a conversation can't be
        rendered.
        """
        from preceptor.models.parity import score_completions

        return score_completions(self._model, self._tokenizer, conversations)

    def _tokens(self, texts: Sequence[str]) -> list[Any]:
        encoded = self._tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return list(encoded)


class LocalClassifier:
    """The text classifier in a folder, which is loaded once. answers: its labels, in order."""

    def __init__(self, folder: Path) -> None:
        from preceptor.models import TextClassifier

        self.name = folder.name
        self._classifier = TextClassifier(folder)
        self.answers = self._classifier.answers

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """Return the probability of each answer for each text: (texts, answers) float64, rows sum to 1."""
        return self._classifier.predict(texts)

    def score_rows(self, texts: Mapping[str, str]) -> ProbeScores:
        """Return the log-probabilities of the answers to each text, by id."""
        import numpy as np

        from preceptor.models.parity import ProbeScores

        return ProbeScores(dict(zip(texts, np.log(self.probabilities(list(texts.values()))), strict=True)), {})
