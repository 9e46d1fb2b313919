"""What a model says to prompts when nobody helps it, how sure it is of that, and how alike prompts are."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy.sparse import csr_array

from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.generation import Request, answers
from preceptor.models.sampling import Sampling
from preceptor.models.template import turns_of


class Prompt(Protocol):
    """What the model is asked: a row, or an item that nobody has judged."""

    @property
    def id(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def group(self) -> str: ...


AnyPrompt = TypeVar("AnyPrompt", bound=Prompt)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model said, greedily. surprise: −log p of its tokens under the model, their mean in nats. disputed: share of draws at
    temperature 1 that say something else. value: what a correction is thought to be worth, see `choosing`."""

    id: str
    content: Mapping[str, Any]
    group: str
    text: str
    surprise: float
    disputed: float
    value: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def drafts(
    chat: ChatModel, prompts: Sequence[Prompt], *, max_tokens: int, samples: int, seed: int, progress: Callable[[int], None] | None = None
) -> list[Draft]:
    """The model's answer to each prompt that it can read with room for one, in their order."""
    asked: list[tuple[Prompt, list[int]]] = []
    for prompt in prompts:
        with suppress(UserError):  # marks of a template in the text, or no room: nothing that a correction could teach
            tokens = chat.prompt(turns_of(prompt.content, "")[:-1])
            chat.room(tokens, max_tokens, max_tokens)
            asked.append((prompt, tokens))
    sure = [Request(tokens, max_tokens, Sampling(temperature=0.0), top=0) for _, tokens in asked]
    unsure = [Request(tokens, max_tokens, Sampling(seed=seed), choices=samples) for _, tokens in asked if samples]
    found = answers(chat, [*sure, *unsure], progress=progress)
    said, drawn = [answer for (answer,) in found[: len(asked)]], found[len(asked) :] or [[] for _ in asked]
    return [
        Draft(
            prompt.id, prompt.content, prompt.group, answer.text.strip(),
            surprise=float(np.mean([-each.log_probability for each in answer.said] or [0.0])),
            disputed=float(np.mean([float(other.text.strip() != answer.text.strip()) for other in others] or [0.0])),
        )
        for (prompt, _), answer, others in zip(asked, said, drawn, strict=True)
    ]  # fmt: skip


def by_hash(prompts: Sequence[AnyPrompt], seed: int) -> list[AnyPrompt]:
    """The prompts in an order that their ids and the seed decide."""
    return sorted(prompts, key=lambda prompt: hashlib.sha256(f"{seed}:{prompt.id}".encode()).digest())


def word_vectors(texts: Sequence[str]) -> Any:
    """TF-IDF of each text's words, rows of length 1, sparse (texts, words): the product of two is how alike they are, 0 to 1."""
    counted = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    known = {word: number for number, word in enumerate(dict.fromkeys(word for words in counted for word in words))}
    spread = Counter(word for words in counted for word in words)
    rows = [row for row, words in enumerate(counted) for _ in words]
    columns = [known[word] for words in counted for word in words]
    values = np.array([count * np.log((1 + len(texts)) / spread[word]) for words in counted for word, count in words.items()])
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(texts))) if rows else np.ones(len(texts))
    return csr_array((values / lengths[rows], (rows, columns)), shape=(len(texts), max(1, len(known))))
