"""Class probabilities of texts under a sequence classifier, batched by length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.loading import is_multilabel, load_classifier, load_tokenizer
from preceptor.models.memory import in_halves
from preceptor.models.tokens import TokenIds, batches_by_length, encode, most_tokens, pad

BATCH_TOKENS = 2048


class Classifier:
    """A trained classifier, loaded once: `answers` in the order of the columns that `predict` returns."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_classifier(folder)
        labels = self.model.config.id2label
        self.answers = tuple(labels[number] for number in sorted(labels))
        self.several = is_multilabel(self.model.config)

    def predict(self, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
        """Probability of each answer for each text: (texts, answers) float64; rows sum to 1, but for a model of several labels,
        which says of each label whether it applies. UserError for a model with a single output, which has nothing to choose among."""
        if len(self.answers) == 1:
            raise UserError("this model gives a number, and no answers", "a reward model is read by preceptor.models.rewards.RewardModel")
        encoded = encode(self.tokenizer, texts, most_tokens(self.tokenizer, self.model.config))
        log_probabilities = predict_tokens(self.model, encoded, self.tokenizer.pad_token_id, batch_tokens=batch_tokens)
        return np.exp(log_probabilities)

    def lengths(self, texts: Sequence[str]) -> tuple[list[int], int]:
        """How many tokens each text is, and how many the model reads: what is longer is cut at its end."""
        limit = most_tokens(self.tokenizer, self.model.config)
        return [len(ids) for ids in encode(self.tokenizer, texts, 2**30)], limit


def class_probabilities(model: Classifier | Path, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """`Classifier.predict` for a classifier or for its folder."""
    classifier = model if isinstance(model, Classifier) else Classifier(model)
    return classifier.predict(texts, batch_tokens=batch_tokens)


def predict_tokens(model: Any, encoded: Sequence[TokenIds], pad_id: int, *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """Log-probabilities (rows, answers) float64 in the order of `encoded`; leaves the model in the mode it was in."""
    logits = torch.as_tensor(predict_logits(model, encoded, pad_id, batch_tokens=batch_tokens))
    found = torch.nn.functional.logsigmoid(logits) if is_multilabel(model.config) else torch.log_softmax(logits, dim=-1)
    return np.asarray(found.numpy())


def predict_logits(model: Any, encoded: Sequence[TokenIds], pad_id: int, *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """What the head says, (rows, answers) float64 in the order of `encoded`; leaves the model in the mode it was in."""
    result = np.zeros((len(encoded), model.config.num_labels))
    training = model.training
    model.eval()

    def predict(batch: list[int]) -> None:
        inputs = pad([encoded[row] for row in batch], pad_id)
        logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits
        result[batch] = logits.double().cpu().numpy()

    with torch.inference_mode():
        in_halves(batches_by_length([len(ids) for ids in encoded], batch_tokens), predict)
    model.train(training)
    return result
