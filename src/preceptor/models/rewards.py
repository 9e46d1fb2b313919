"""A reward model: one number for an answer to a conversation, whose differences are log-odds that people like one answer better.

It is a transformers sequence classifier with a single output, over a model that writes (read at the last token that isn't padding,
which ends the answer) or over an encoder (read as the mean of its tokens). Both read the same from a saved folder as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.causal import PAD, start_tokenizer
from preceptor.models.classification import predict_logits
from preceptor.models.loading import MODEL_LOCK, is_encoder, load_classifier, load_tokenizer, quietly, reading_limit, start_classifier
from preceptor.models.template import Turn, Unfit, chat_text

REWARD = "reward"  # the single output's name, by which a folder is known


@dataclass(frozen=True)
class Reader:
    """Conversations as a reward model reads them. paired: by an encoder, as two texts, what was asked and what was answered."""

    tokenizer: Any
    paired: bool

    @classmethod
    def of(cls, base: Path) -> Reader:
        """For a base that is to become a reward model: a model that writes gets a pad token that no answer ends with."""
        if is_encoder(base):
            return cls(load_tokenizer(base), True)
        tokenizer = start_tokenizer(base)
        if tokenizer.pad_token_id == tokenizer.eos_token_id:  # transformers takes such an end for padding, and reads before it
            tokenizer.add_special_tokens({"pad_token": PAD})
        return cls(tokenizer, False)

    def read(self, turns: Sequence[Turn]) -> list[int]:
        """Tokens of a conversation that ends with the answer, its end-of-turn token last. Unfit where the template refuses it, or where
        nothing was asked."""
        if len(turns) < 2:
            raise Unfit("user last")
        if self.paired:
            asked = "\n".join(str(turn["content"]) for turn in turns[:-1])
            return list(self.tokenizer(asked, str(turns[-1]["content"]))["input_ids"])
        before, whole = chat_text(self.tokenizer, turns[:-1], answering=True), chat_text(self.tokenizer, turns, answering=False)
        if not whole.startswith(before):
            raise Unfit("template")
        parts = (before, whole[len(before) :].removesuffix("\n"))  # cut apart, as an answer is when it is sampled
        return [token for part in parts for token in self.tokenizer(part, add_special_tokens=False)["input_ids"]]


def start_reward(base: Path, tokenizer: Any) -> Any:
    """A model to train from a base: a single output, and a vector for each of the tokenizer's tokens."""
    known = 0  # any token that the base has a vector for: the pad token may be a new one
    model = start_classifier(base, (REWARD,), known)
    before = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > before:
        with MODEL_LOCK, quietly(), torch.no_grad():
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            vectors = model.get_input_embeddings().weight
            vectors[before:] = vectors[:before].mean(dim=0)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def scale_head(model: Any, factor: float) -> None:
    """Multiply the model's output by a factor, in its last layer."""
    last = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == 1]
    with torch.no_grad():
        for weights in {id(each): each for part in last for each in part.parameters()}.values():
            weights.mul_(factor)


class RewardModel:
    """A trained reward model, loaded once. UserError for a folder that holds something else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = load_tokenizer(folder)
        if not is_reward(folder):
            raise UserError(f"{folder.name} is not a reward model", "train one on comparisons: preceptor train reward", where=str(folder))
        self.model = load_classifier(folder)
        self.reader = Reader(self.tokenizer, is_encoder(folder))
        self.limit = reading_limit(folder, self.tokenizer)

    def score(self, prompts: Sequence[Sequence[Turn]], answers: Sequence[str]) -> FloatArray:
        """The reward of each answer to the conversation beside it, (n,) float64; it is held against others to the same conversation.

        Where people had to choose, the odds that they took one answer rather than another are e to the power of their difference.
        UserError for a conversation that the model can't read whole.
        """
        if not len(answers):
            return np.zeros(0)
        conversations = [[*turns, {"role": "assistant", "content": answer}] for turns, answer in zip(prompts, answers, strict=True)]
        return score_tokens(self.model, [self._tokens(turns, number) for number, turns in enumerate(conversations)], self.tokenizer)

    def room(self, turns: Sequence[Turn]) -> int:
        """How many tokens an answer to this conversation may have, so that the model reads it whole; below 0 where it can't read the rest.
        Unfit for a conversation that its template refuses."""
        return self.limit - len(self.reader.read([*turns, {"role": "assistant", "content": ""}]))

    def _tokens(self, turns: Sequence[Turn], number: int) -> list[int]:
        try:
            tokens = self.reader.read(turns)
        except Unfit as refused:
            raise UserError(f"the reward model can't read answer {number}: {refused}", "see what its base reads") from None
        if len(tokens) > self.limit:
            message = f"answer {number} with its prompt has {len(tokens):,} tokens, and the reward model reads {self.limit:,}"
            raise UserError(message, "shorten it, or take another base for the reward model")
        return tokens


def score_tokens(model: Any, tokens: Sequence[Sequence[int]], tokenizer: Any) -> FloatArray:
    """The model's output for each row of tokens, (rows,) float64; leaves the model in the mode it was in."""
    return predict_logits(model, tokens, tokenizer.pad_token_id)[:, 0]


def is_reward(folder: Path) -> bool:
    """Whether a model folder holds a reward model."""
    with quietly():
        return list(AutoConfig.from_pretrained(folder, local_files_only=True).id2label.values()) == [REWARD]
