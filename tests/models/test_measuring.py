"""Answers as served, references rendered as in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.generation import LocalProvider
from preceptor.generation.offline import count_longest_reference, render_references, score_references
from preceptor.models.causal_lm import ChatModel
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
    fit, unfit = render_references(chat, ROWS)
    assert list(fit) == ["talk", "short"]
    assert unfit == {"marks": "marks"}


def test_only_the_last_answer_is_measured_and_token_by_token(chat):
    """An earlier answer that training learns as well is no part of the reference."""
    fit, _ = render_references(chat, ROWS)
    rows = list(fit.values())
    found = score_references(chat, rows, 5)
    for row, said in zip(rows, found.log_probabilities, strict=True):
        assert len(said) == len(row.tokens) - row.prompt_length
        with torch.inference_mode():
            logits = chat.model(torch.tensor([row.tokens])).logits[0].double().log_softmax(-1)
        wanted = [float(logits[at - 1, row.tokens[at]]) for at in range(row.prompt_length, len(row.tokens))]
        np.testing.assert_allclose(said, wanted, atol=1e-4)
    assert count_longest_reference(rows) == max(map(len, found.log_probabilities))


def test_answers_are_those_that_are_served(chat):
    fit, _ = render_references(chat, ROWS)
    found = score_references(chat, list(fit.values()), 5)
    assert found.answers == LocalProvider(chat.folder).write([TALK[:-1], ROWS["short"][:-1]], max_tokens=5)
    assert found.truncated_count == 2, "fresh weights don't stop by themselves"
