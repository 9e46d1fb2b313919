from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, T5Config, T5ForConditionalGeneration

from preceptor.errors import UserError
from preceptor.models import embed_texts, load_tokenizer, prepare_classifier
from preceptor.models.base_models import find_base_folder

TEXTS = ["good great love", "bad", "", "box cable blue two page " * 80, "good great love", "poor worst"]


@pytest.fixture
def folder(tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    return find_base_folder("minilm")


def test_a_vector_is_the_mean_over_the_texts_own_tokens(folder):
    vectors = embed_texts(folder, TEXTS, batch_tokens=64)
    assert vectors.shape == (6, 32)
    tokenizer, model = load_tokenizer(folder), AutoModel.from_pretrained(folder).eval()
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            alone = model(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy()
        assert np.abs(alone - vector).max() < 1e-5
    assert np.abs(vectors[0] - vectors[4]).max() < 1e-6
    assert embed_texts(folder, []).shape == (0, 32)


def test_a_trained_classifiers_body_reads_as_its_base(folder, tmp_path):
    started = prepare_classifier(folder, ["no", "yes"], 0)
    started.save_pretrained(tmp_path)
    load_tokenizer(folder).save_pretrained(tmp_path)
    assert np.abs(embed_texts(tmp_path, TEXTS) - embed_texts(folder, TEXTS)).max() < 1e-6


def test_an_encoder_decoder_is_refused(folder, tmp_path):
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=20, **sizes)).save_pretrained(tmp_path)
    load_tokenizer(folder).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="encoder-decoder"):
        embed_texts(tmp_path, TEXTS)
