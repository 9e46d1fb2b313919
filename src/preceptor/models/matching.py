"""What an encoder knows in general: which answer belongs to which question, by the nearness of their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from preceptor.domain.general import Choice
from preceptor.domain.results import FloatArray
from preceptor.models.adapters import inner
from preceptor.models.embedding import token_means
from preceptor.models.template import Turn
from preceptor.models.tokens import encode

SCALE = 20.0  # of the cosine, as sentence encoders are trained (Reimers & Gurevych 2019, MultipleNegativesRankingLoss)
PAIRS = 128  # that are told apart from each other


def matching_log_probabilities(model: Any, tokenizer: Any, texts: Mapping[str, Sequence[Turn]], *, max_tokens: int) -> FloatArray:
    """The log-probability of each text's answer among all their answers, given what was asked, (texts,) nats: log softmax of cosines."""
    asked, said = [], []
    for id_ in sorted(texts)[:PAIRS]:
        *before, answer = texts[id_]
        asked.append("\n".join(str(turn["content"]) for turn in before))
        said.append(str(answer["content"]))
    if len(asked) < 2:
        return np.zeros(0)
    near = SCALE * _directions(model, tokenizer, asked, max_tokens) @ _directions(model, tokenizer, said, max_tokens).T
    return np.diag(near - np.logaddexp.reduce(near, axis=1, keepdims=True)).copy()


def nearest_options(model: Any, tokenizer: Any, questions: Sequence[Choice], *, max_tokens: int) -> FloatArray:
    """1 where the right option's vector is the nearest to the question's, else 0, (questions,)."""
    asked = _directions(model, tokenizer, [each.question for each in questions], max_tokens)
    options = _directions(model, tokenizer, [option for each in questions for option in each.options], max_tokens)
    ends = np.cumsum([len(each.options) for each in questions])
    nearest = [int((part @ one).argmax()) for one, part in zip(asked, np.split(options, ends[:-1]), strict=True)]
    return np.array([float(at == each.answer) for at, each in zip(nearest, questions, strict=True)])


def _directions(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> FloatArray:
    """Vectors of length 1 from a classifier's body; leaves the model in the mode it was in."""
    training, whole = model.training, inner(model)
    body = getattr(whole, whole.base_model_prefix)
    model.eval()
    encoded = [ids or [tokenizer.pad_token_id] for ids in encode(tokenizer, texts, max_tokens)]
    with torch.inference_mode():
        vectors = token_means(body, encoded, tokenizer.pad_token_id)
    model.train(training)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12))
