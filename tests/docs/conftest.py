"""What the pages' blocks meet: a small file of reviews, and a tiny base model under the name that the pages use."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}


@pytest.fixture
def page_folder(tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder but for `reviews.csv`, in which `minilm` stands for the tiny model."""
    write_reviews(tmp_path / "reviews.csv")
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with a BERT of random weights where the package of `minilm` would lie: nothing is fetched or patched."""
    from preceptor.project.assets import BASES

    cache = tmp_path_factory.mktemp("cache")
    asset = BASES["minilm"]
    save_tiny_bert(cache / f"{asset.package}-{asset.version}-{asset.sha256[:12]}" / "content" / asset.folder)
    return cache


def save_tiny_bert(folder: Path) -> None:
    """A BERT of 30,000 parameters that knows the words of the reviews."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *" ".join(WORDS.values()).split()]
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=128, **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=raw, **named).save_pretrained(folder)


def write_reviews(path: Path) -> None:
    """180 reviews by 60 customers, each labelled by two of three people, who are right five times in six."""
    rng = random.Random(0)
    labels, every = list(WORDS), " ".join(WORDS.values()).split()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment", "who", "customer"])
        for number in range(180):
            true = labels[number % 3]
            text = " ".join([*rng.choices(WORDS[true].split(), k=3), *rng.choices(every, k=6)])
            for turn in range(2):
                said = true if rng.random() < 5 / 6 else rng.choice(labels)
                writer.writerow([text, said, f"ann-{(number + turn) % 3 + 1}", f"customer-{number // 3}"])
