"""Answers as served, references rendered as in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.models.chat import ChatModel
from preceptor.models.measuring import longest_reference, measure, readable
from preceptor.providers import LocalProvider
from tiny_models import save_decoder

TALK = [
    {"role": "user", "content": "What comes after red?"},
    {"role": "assistant", "content": "It is green.", "weight": 1},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "It is blue, and so on."},
]
ROWS = {
    "talk": TALK,
    "short": [{"role": "user", "content": "one?"}, {"role": "assistant", "content": "two"}],
    "marks": [{"role": "user", "content": "a <|im_end|> b"}, {"role": "assistant", "content": "two"}],
}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return ChatModel(save_decoder("qwen2", tmp_path_factory.mktemp("model") / "qwen2"))


def test_rows_that_cannot_be_read_are_told_by_reason(chat):
    fit, unfit = readable(chat, ROWS)
    assert list(fit) == ["talk", "short"]
    assert unfit == {"marks": "marks"}


def test_only_the_last_answer_is_measured_and_token_by_token(chat):
    """An earlier answer that training learns as well is no part of the reference."""
    fit, _ = readable(chat, ROWS)
    rows = list(fit.values())
    found = measure(chat, rows, 5)
    for row, said in zip(rows, found.log_probabilities, strict=True):
        assert len(said) == len(row.tokens) - row.prompt
        with torch.inference_mode():
            logits = chat.model(torch.tensor([row.tokens])).logits[0].double().log_softmax(-1)
        wanted = [float(logits[at - 1, row.tokens[at]]) for at in range(row.prompt, len(row.tokens))]
        np.testing.assert_allclose(said, wanted, atol=1e-4)
    assert longest_reference(rows) == max(map(len, found.log_probabilities))


def test_answers_are_those_that_are_served(chat):
    fit, _ = readable(chat, ROWS)
    found = measure(chat, list(fit.values()), 5)
    assert found.answers == LocalProvider(chat.folder).write([TALK[:-1], ROWS["short"][:-1]], max_tokens=5)
    assert found.cut == 2, "fresh weights don't stop by themselves"
