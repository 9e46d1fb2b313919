"""Generate drafts with a model, measure how uncertain it is of each, and select a diverse set to be corrected.

What a model says to prompts when nobody helps it, how sure it is of that, and how alike prompts are.

Which of a model's answers experts are asked about: those it is least sure of, none much like another.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import rankdata

from preceptor.errors import UserError
from preceptor.generation.offline import generate_answers
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models.causal_lm import ChatModel
from preceptor.models.chat_template import build_conversation
from preceptor.types import FloatArray, render_content


class PromptItem(Protocol):
    """What the model is asked: a row, or an item that nobody has judged."""

    @property
    def id(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def group(self) -> str: ...


AnyPromptItem = TypeVar("AnyPromptItem", bound=PromptItem)


@dataclass(frozen=True, slots=True)
class AnswerDraft:
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


def generate_drafts(
    chat: ChatModel,
    prompts: Sequence[PromptItem],
    *,
    max_tokens: int,
    samples: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[AnswerDraft]:
    """The model's answer to each prompt that it can read with room for one, in their order."""
    asked: list[tuple[PromptItem, list[int]]] = []
    for prompt in prompts:
        with suppress(UserError):  # marks of a template in the text, or no room: nothing that a correction could teach
            tokens = chat.encode_prompt(build_conversation(prompt.content, "")[:-1])
            chat.max_answer_tokens(tokens, max_tokens, max_tokens)
            asked.append((prompt, tokens))
    sure = [GenerationRequest(tokens, max_tokens, SamplingParams(temperature=0.0), top_logprobs=0) for _, tokens in asked]
    unsure = [GenerationRequest(tokens, max_tokens, SamplingParams(seed=seed), choices=samples) for _, tokens in asked if samples]
    found = generate_answers(chat, [*sure, *unsure], progress=progress)
    said, drawn = [answer for (answer,) in found[: len(asked)]], found[len(asked) :] or [[] for _ in asked]
    return [
        AnswerDraft(
            prompt.id, prompt.content, prompt.group, answer.text.strip(),
            surprise=float(np.mean([-each.log_probability for each in answer.logprobs] or [0.0])),
            disputed=float(np.mean([float(other.text.strip() != answer.text.strip()) for other in others] or [0.0])),
        )
        for (prompt, _), answer, others in zip(asked, said, drawn, strict=True)
    ]  # fmt: skip


def order_prompts_by_hash(prompts: Sequence[AnyPromptItem], seed: int) -> list[AnyPromptItem]:
    """The prompts in an order that their ids and the seed decide."""
    return sorted(prompts, key=lambda prompt: hashlib.sha256(f"{seed}:{prompt.id}".encode()).digest())


def tfidf_vectors(texts: Sequence[str]) -> Any:
    """TF-IDF of each text's words, rows of length 1, sparse (texts, words): the product of two is how alike they are, 0 to 1."""
    counted = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    known = {word: number for number, word in enumerate(dict.fromkeys(word for words in counted for word in words))}
    spread = Counter(word for words in counted for word in words)
    rows = [row for row, words in enumerate(counted) for _ in words]
    columns = [known[word] for words in counted for word in words]
    values = np.array([count * np.log((1 + len(texts)) / spread[word]) for words in counted for word, count in words.items()])
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(texts))) if rows else np.ones(len(texts))
    return csr_array((values / lengths[rows], (rows, columns)), shape=(len(texts), max(1, len(known))))


MIN_NOVELTY = 0.01  # novelty of a prompt that was asked before, so that doubt decides where all were


def select_drafts(drafts: Sequence[AnswerDraft], budget: int, known: Sequence[PromptItem] = ()) -> list[AnswerDraft]:
    """At most `budget` of the drafts, the most valuable first, each with its value, 0 to 1.

    Doubt is the mean rank of `surprise` and `disputed` among the drafts: the one knows how flat the model's distribution is, the
    other whether that changes what it says. One after the other the draft is taken whose doubt times novelty is largest;
    novelty is 1 minus the likeness to what is nearest among `known` prompts, which experts answered, and those taken.
    """
    if not drafts:
        return []
    doubt, vectors = draft_uncertainty(drafts), tfidf_vectors([render_content(each.content) for each in (*drafts, *known)])
    mine = vectors[: len(drafts)]
    nearest = (mine @ vectors[len(drafts) :].T).max(axis=1).toarray().ravel() if known else np.zeros(len(drafts))
    taken: list[AnswerDraft] = []
    open_ = np.ones(len(drafts), dtype=bool)
    while len(taken) < min(budget, len(drafts)):
        value = doubt * (1 - nearest).clip(MIN_NOVELTY, 1)
        best = int(np.where(open_, value, -1.0).argmax())
        taken.append(replace(drafts[best], value=round(float(value[best]), 6)))
        open_[best] = False
        nearest = np.maximum(nearest, (mine @ mine[[best]].T).toarray().ravel())
    return taken


def draft_uncertainty(drafts: Sequence[AnswerDraft]) -> FloatArray:
    """How unsure the model is of each draft beside the others, above 0 to 1, (drafts,)."""
    columns = ([draft.surprise for draft in drafts], [draft.disputed for draft in drafts])
    return np.asarray(np.mean([rankdata(column) / len(drafts) for column in columns], axis=0))
