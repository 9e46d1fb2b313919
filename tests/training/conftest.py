"""Tiny models, tokenizers and snapshots made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

logging.disable_progress_bar()

ANSWERS = ("negative", "neutral", "positive")
WORDS = [["bad", "awful", "broken", "poor"], ["box", "cable", "blue", "page"], ["good", "great", "love", "fine"]]
EVERY = [word for words in WORDS for word in words]


@dataclass(frozen=True)
class MadeRow:
    id: str
    text: str
    target: dict[str, float]
    weight: float
    group: str

    @property
    def content(self) -> dict[str, Any]:
        return {"text": self.text}


@dataclass(frozen=True)
class MadeSnapshot:
    """Sentences in which two words tell the answer and the others are noise."""

    train: list[MadeRow]
    validation: list[MadeRow]
    digest: str = "d" * 64
    answers: tuple[str, ...] = ANSWERS
    target_kind: str = "nominal"
    test: list[MadeRow] = field(default_factory=list)

    def rows(self, split: str) -> Iterator[MadeRow]:
        return iter(getattr(self, split))


def make_rows(count: int, seed: int, name: str) -> list[MadeRow]:
    random = np.random.default_rng(seed)
    return [_row(random, number, name) for number in range(count)]


def _row(random: np.random.Generator, number: int, name: str) -> MadeRow:
    answer = number % 3
    words = [*random.choice(WORDS[answer], 3), *random.choice(EVERY, random.integers(0, 12))]
    random.shuffle(words)
    shares = 0.3 * random.dirichlet([1, 1, 1]) + 0.7 * np.eye(3)[answer]
    target = {name: float(share) for name, share in zip(ANSWERS, shares, strict=True)}
    return MadeRow(f"{name}-{number}", " ".join(words), target, float(random.uniform(0.5, 2)), f"{name}-g{number // 4}")


def make_snapshot() -> MadeSnapshot:
    return MadeSnapshot(make_rows(90, 1, "t"), make_rows(48, 2, "v"))


@pytest.fixture
def snapshot() -> MadeSnapshot:
    return make_snapshot()


@pytest.fixture
def unjudged() -> list[MadeRow]:
    """More such sentences, of which nobody has said anything; their targets are what people would say."""
    return make_rows(90, 3, "u")


def make_tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.train_from_iterator(EVERY, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


SIZES = {"vocab_size": 32, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A small BERT with random weights."""
    folder = tmp_path / "tiny-bert"
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES, max_position_embeddings=64)).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    """A small Llama with random weights and a tokenizer without a pad token."""
    folder = tmp_path / "tiny-llama"
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SIZES, max_position_embeddings=64)).save_pretrained(folder)
    tokenizer = make_tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(folder)
    return folder
