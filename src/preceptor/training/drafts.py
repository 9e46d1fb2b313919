"""Generate drafts with a model, measure how uncertain it is of each, and select a diverse set to be corrected.

The drafts that experts are asked to correct are those of which the model is least certain, none much like another.
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
    """A model's answer, decoded greedily, and how uncertain the model is of it.

    id, content, group: of the prompt. surprise: −log p of its tokens under the model, their mean in nats. disputed: share of the samples at
    temperature 1 that differ from it. value: what a correction is estimated to be worth, see `select_drafts`.
    """

    id: str
    content: Mapping[str, Any]
    group: str
    text: str
    surprise: float
    disputed: float
    value: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the draft as a JSON object."""
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
    """Generate the model's answer to each prompt that leaves room for one in its context, in their order.

    samples: further answers to each prompt at temperature 1, for `disputed`; 0 for none. progress: called with the number of generated
    answers.
    """
    asked: list[tuple[PromptItem, list[int]]] = []
    for prompt in prompts:
        with suppress(UserError):  # control tokens of a template in the text, or no room: nothing that a correction could teach
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
    """Return the prompts in an order that depends on their ids and the seed alone."""
    return sorted(prompts, key=lambda prompt: hashlib.sha256(f"{seed}:{prompt.id}".encode()).digest())


def tfidf_vectors(texts: Sequence[str]) -> Any:
    """Return the TF-IDF vectors of the texts' words, of length 1, sparse (texts, words); their products are similarities, 0 to 1."""
    counted = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    known = {word: number for number, word in enumerate(dict.fromkeys(word for words in counted for word in words))}
    spread = Counter(word for words in counted for word in words)
    rows = [row for row, words in enumerate(counted) for _ in words]
    columns = [known[word] for words in counted for word in words]
    values = np.array([count * np.log((1 + len(texts)) / spread[word]) for words in counted for word, count in words.items()])
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(texts))) if rows else np.ones(len(texts))
    return csr_array((values / lengths[rows], (rows, columns)), shape=(len(texts), max(1, len(known))))


MIN_NOVELTY = 0.01  # novelty of a prompt that was asked before, so that uncertainty decides where all were


def select_drafts(drafts: Sequence[AnswerDraft], budget: int, known: Sequence[PromptItem] = ()) -> list[AnswerDraft]:
    """Select at most `budget` of the drafts, the most valuable first, each with its value, 0 to 1.

    Uncertainty is the mean rank of `surprise` and `disputed` among the drafts: the one measures how flat the model's distribution is, the
    other whether that changes the answer. Drafts are taken greedily, the one with the largest product of uncertainty and novelty next;
    novelty is 1 minus the similarity to the nearest of the `known` prompts, which experts answered, and of those taken.
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
    """Return how uncertain the model is of each draft relative to the others, above 0 to 1, (drafts,)."""
    columns = ([draft.surprise for draft in drafts], [draft.disputed for draft in drafts])
    return np.asarray(np.mean([rankdata(column) / len(drafts) for column in columns], axis=0))
