"""Measure a model's general capabilities: the probability of general texts, multiple choice, and retrieval by an encoder's embeddings.

A causal model is measured by the log-probability of general texts and by the option it prefers; an encoder by which answer's embedding is
nearest to a question's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from preceptor.models.adapters import unwrap_model
from preceptor.models.batching import encode_texts
from preceptor.models.chat_template import ChatMessage, RenderedConversation, RenderError, render_conversation
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.models.embeddings import mean_token_vectors
from preceptor.types import FloatArray, MultipleChoiceItem

MAX_TEXTS = 48
MAX_TEXT_TOKENS = 192  # longer texts are left out


def render_general_texts(
    tokenizer: Any, texts: Mapping[str, Sequence[ChatMessage]], *, most: int | None = MAX_TEXTS, max_tokens: int = MAX_TEXT_TOKENS
) -> dict[str, RenderedConversation]:
    """Render the first `most` conversations, by a hash of their ids, that fit in `max_tokens` tokens."""
    found: dict[str, RenderedConversation] = {}
    for id_ in sorted(texts, key=lambda id_: hashlib.sha256(id_.encode()).digest()):
        if most is not None and len(found) == most:
            break
        with suppress(RenderError):
            found[id_] = render_conversation(tokenizer, texts[id_], max_tokens)
    return found


def text_log_probabilities(model: Any, tokenizer: Any, texts: Sequence[RenderedConversation]) -> FloatArray:
    """Return the log-probability of each text's answer, (texts,) nats."""
    tokens, masks = [each.tokens for each in texts], [each.supervised for each in texts]
    rows = completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id)
    return np.array([float(row.sum()) for row in rows])


def grade_multiple_choice(model: Any, tokenizer: Any, questions: Sequence[MultipleChoiceItem], *, max_tokens: int) -> FloatArray:
    """Return 1 where the model gives the right option the highest log-probability per character, else 0, (questions,).

    Read as plain text, `Question: … Answer: …`, so that the result doesn't depend on a chat template that training may change. A question
    longer than `max_tokens` loses its beginning.
    """
    tokens: list[list[int]] = []
    masks: list[list[bool]] = []
    for each in questions:
        asked = tokenizer(f"Question: {each.question}\nAnswer:", add_special_tokens=False)["input_ids"]
        for option in each.options:
            said = tokenizer(f" {option}", add_special_tokens=False)["input_ids"][: max_tokens // 2]
            before = asked[-(max_tokens - len(said)) :]
            tokens.append([*before, *said])
            masks.append([False] * len(before) + [True] * len(said))
    scores = iter(float(each.sum()) for each in completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id))
    picked = [int(np.argmax([next(scores) / max(1, len(option)) for option in each.options])) for each in questions]
    return np.array([float(at == each.answer) for at, each in zip(picked, questions, strict=True)])


COSINE_SCALE = 20.0  # as sentence encoders are trained (Reimers & Gurevych 2019, MultipleNegativesRankingLoss)
MAX_PAIRS = 128  # pairs among which each answer is to be retrieved


def retrieval_log_probabilities(model: Any, tokenizer: Any, texts: Mapping[str, Sequence[ChatMessage]], *, max_tokens: int) -> FloatArray:
    """Return the log-probability of each text's answer among all answers, given the question, (texts,) nats: log softmax of cosines.

    Empty for fewer than two texts.
    """
    asked, said = [], []
    for id_ in sorted(texts)[:MAX_PAIRS]:
        *before, answer = texts[id_]
        asked.append("\n".join(str(turn["content"]) for turn in before))
        said.append(str(answer["content"]))
    if len(asked) < 2:
        return np.zeros(0)
    near = COSINE_SCALE * _unit_vectors(model, tokenizer, asked, max_tokens) @ _unit_vectors(model, tokenizer, said, max_tokens).T
    return np.diag(near - np.logaddexp.reduce(near, axis=1, keepdims=True)).copy()


def grade_nearest_options(model: Any, tokenizer: Any, questions: Sequence[MultipleChoiceItem], *, max_tokens: int) -> FloatArray:
    """Return 1 where the right option's embedding is the nearest to the question's, else 0, (questions,)."""
    asked = _unit_vectors(model, tokenizer, [each.question for each in questions], max_tokens)
    options = _unit_vectors(model, tokenizer, [option for each in questions for option in each.options], max_tokens)
    ends = np.cumsum([len(each.options) for each in questions])
    nearest = [int((part @ one).argmax()) for one, part in zip(asked, np.split(options, ends[:-1]), strict=True)]
    return np.array([float(at == each.answer) for at, each in zip(nearest, questions, strict=True)])


def _unit_vectors(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> FloatArray:
    """Return embeddings of length 1 from a classifier's body; leaves the model in the mode it was in."""
    training, whole = model.training, unwrap_model(model)
    body = getattr(whole, whole.base_model_prefix)
    model.eval()
    encoded = [ids or [tokenizer.pad_token_id] for ids in encode_texts(tokenizer, texts, max_tokens)]
    with torch.inference_mode():
        vectors = mean_token_vectors(body, encoded, tokenizer.pad_token_id)
    model.train(training)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12))
