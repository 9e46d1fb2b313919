"""Predict class probabilities of texts with a sequence classifier, and rewards of answers with one of a single output (a reward model).

A reward model gives one number for an answer to a conversation; the difference between two answers is the log-odds that people prefer one.
It is a transformers sequence classifier with a single output, over a causal model (read at the last token that isn't padding, which ends
the answer) or over an encoder (read as the mean of its tokens). Both read a saved folder exactly as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from preceptor.errors import UserError
from preceptor.models.batching import TokenIds, batches_by_length, encode_texts, get_max_input_tokens, pad_sequences, run_with_halving
from preceptor.models.causal_lm import PAD_TOKEN, prepare_tokenizer
from preceptor.models.chat_template import ChatMessage, RenderError, render_chat_text
from preceptor.models.loading import (
    MODEL_LOCK,
    get_context_length,
    is_encoder,
    is_multilabel,
    load_classifier,
    load_tokenizer,
    prepare_classifier,
    silence_transformers,
)
from preceptor.types import FloatArray

BATCH_TOKENS = 2048


class TextClassifier:
    """A trained classifier, loaded once.

    answers: in the order of the columns that `predict` returns. multilabel: whether each answer applies or not by itself.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_classifier(folder)
        labels = self.model.config.id2label
        self.answers = tuple(labels[number] for number in sorted(labels))
        self.multilabel = is_multilabel(self.model.config)

    def predict(self, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
        """Predict the probability of each answer for each text, (texts, answers) float64.

        Rows sum to 1, except for a multi-label model, which predicts for each label whether it applies. Raises UserError for a model with a
        single output, which has no classes.
        """
        if len(self.answers) == 1:
            raise UserError(
                "this model gives a number, and no answers", "a reward model is read by preceptor.models.classifier.RewardModel"
            )
        encoded = encode_texts(self.tokenizer, texts, get_max_input_tokens(self.tokenizer, self.model.config))
        log_probabilities = predict_log_probabilities(self.model, encoded, self.tokenizer.pad_token_id, batch_tokens=batch_tokens)
        return np.exp(log_probabilities)

    def count_tokens(self, texts: Sequence[str]) -> tuple[list[int], int]:
        """Return the number of tokens of each text, and how many the model reads; longer texts are truncated at their end."""
        limit = get_max_input_tokens(self.tokenizer, self.model.config)
        return [len(ids) for ids in encode_texts(self.tokenizer, texts, 2**30)], limit


def class_probabilities(model: TextClassifier | Path, texts: Sequence[str], *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """Call `TextClassifier.predict` for a classifier or for its folder."""
    classifier = model if isinstance(model, TextClassifier) else TextClassifier(model)
    return classifier.predict(texts, batch_tokens=batch_tokens)


def predict_log_probabilities(model: Any, encoded: Sequence[TokenIds], pad_id: int, *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """Return log-probabilities (rows, answers) float64 in the order of `encoded`; leaves the model in the mode it was in."""
    logits = torch.as_tensor(predict_logits(model, encoded, pad_id, batch_tokens=batch_tokens))
    found = torch.nn.functional.logsigmoid(logits) if is_multilabel(model.config) else torch.log_softmax(logits, dim=-1)
    return np.asarray(found.numpy())


def predict_logits(model: Any, encoded: Sequence[TokenIds], pad_id: int, *, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """Return the head's logits, (rows, answers) float64 in the order of `encoded`; leaves the model in the mode it was in."""
    result = np.zeros((len(encoded), model.config.num_labels))
    training = model.training
    model.eval()

    def predict(batch: list[int]) -> None:
        inputs = pad_sequences([encoded[row] for row in batch], pad_id)
        logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits
        result[batch] = logits.double().cpu().numpy()

    with torch.inference_mode():
        run_with_halving(batches_by_length([len(ids) for ids in encoded], batch_tokens), predict)
    model.train(training)
    return result


REWARD_LABEL = "reward"  # the single output's name, by which a reward model's folder is recognised


@dataclass(frozen=True)
class RewardTokenizer:
    """A tokenizer of conversations for a reward model.

    encodes_text_pair: whether the model is an encoder, which reads two texts, the question and the answer.
    """

    tokenizer: Any
    encodes_text_pair: bool

    @classmethod
    def from_base(cls, base: Path) -> RewardTokenizer:
        """Create the tokenizer for a base that is to become a reward model; a causal model gets a pad token that no answer ends with."""
        if is_encoder(base):
            return cls(load_tokenizer(base), True)
        tokenizer = prepare_tokenizer(base)
        if tokenizer.pad_token_id == tokenizer.eos_token_id:  # transformers would take the end for padding, and read before it
            tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
        return cls(tokenizer, False)

    def encode_conversation(self, turns: Sequence[ChatMessage]) -> list[int]:
        """Return the tokens of a conversation that ends with the answer, its end-of-turn token last.

        Raises RenderError where the template refuses it, or where there is no question.
        """
        if len(turns) < 2:
            raise RenderError("user last")
        if self.encodes_text_pair:
            asked = "\n".join(str(turn["content"]) for turn in turns[:-1])
            return list(self.tokenizer(asked, str(turns[-1]["content"]))["input_ids"])
        before, whole = (
            render_chat_text(self.tokenizer, turns[:-1], answering=True),
            render_chat_text(self.tokenizer, turns, answering=False),
        )
        if not whole.startswith(before):
            raise RenderError("template")
        parts = (before, whole[len(before) :].removesuffix("\n"))  # tokenized apart, as when the answer is generated
        return [token for part in parts for token in self.tokenizer(part, add_special_tokens=False)["input_ids"]]


def prepare_reward_model(base: Path, tokenizer: Any) -> Any:
    """Create a reward model to train from a base: a single output, and an embedding for each of the tokenizer's tokens."""
    known = 0  # any token that the base has an embedding for: the pad token may be a new one
    model = prepare_classifier(base, (REWARD_LABEL,), known)
    before = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > before:
        with MODEL_LOCK, silence_transformers(), torch.no_grad():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            vectors = model.get_input_embeddings().weight
            vectors[before:] = vectors[:before].mean(dim=0)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def scale_reward_head(model: Any, factor: float) -> None:
    """Multiply the model's output by a factor, in its last layer."""
    last = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == 1]
    with torch.no_grad():
        for weights in {id(each): each for part in last for each in part.parameters()}.values():
            weights.mul_(factor)


class RewardModel:
    """A trained reward model, loaded once. Raises UserError for a folder that holds something else.

    limit: how many tokens it reads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = load_tokenizer(folder)
        if not is_reward_model(folder):
            raise UserError(f"{folder.name} is not a reward model", "train one on comparisons: preceptor train reward", where=str(folder))
        self.model = load_classifier(folder)
        self.reader = RewardTokenizer(self.tokenizer, is_encoder(folder))
        self.limit = get_context_length(folder, self.tokenizer)

    def score(self, prompts: Sequence[Sequence[ChatMessage]], answers: Sequence[str]) -> FloatArray:
        """Return the reward of each answer to the conversation beside it, (n,) float64; comparable among answers to one conversation.

        The odds that people choose one answer over another are e to the power of the difference of their rewards. Raises UserError for a
        conversation that the model can't read whole.
        """
        if not len(answers):
            return np.zeros(0)
        conversations = [[*turns, {"role": "assistant", "content": answer}] for turns, answer in zip(prompts, answers, strict=True)]
        return score_tokens(self.model, [self._tokens(turns, number) for number, turns in enumerate(conversations)], self.tokenizer)

    def max_answer_tokens(self, turns: Sequence[ChatMessage]) -> int:
        """Return how many tokens an answer to this conversation may have so that the model reads it whole.

        Below 0 where it can't read the rest. Raises RenderError for a conversation that its template refuses.
        """
        return self.limit - len(self.reader.encode_conversation([*turns, {"role": "assistant", "content": ""}]))

    def _tokens(self, turns: Sequence[ChatMessage], number: int) -> list[int]:
        try:
            tokens = self.reader.encode_conversation(turns)
        except RenderError as refused:
            raise UserError(f"the reward model can't read answer {number}: {refused}", "see what its base reads") from None
        if len(tokens) > self.limit:
            message = f"answer {number} with its prompt has {len(tokens):,} tokens, and the reward model reads {self.limit:,}"
            raise UserError(message, "shorten it, or take another base for the reward model")
        return tokens


def score_tokens(model: Any, tokens: Sequence[Sequence[int]], tokenizer: Any) -> FloatArray:
    """Return the reward model's output for each row of tokens, (rows,) float64; leaves the model in the mode it was in."""
    return predict_logits(model, tokens, tokenizer.pad_token_id)[:, 0]


def is_reward_model(folder: Path) -> bool:
    """Return whether a model folder holds a reward model."""
    with silence_transformers():
        return list(AutoConfig.from_pretrained(folder, local_files_only=True).id2label.values()) == [REWARD_LABEL]
