from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from preceptor.errors import UserError
from preceptor.models import class_probabilities
from preceptor.models.chat_template import RenderError
from preceptor.models.classifier import RewardModel, RewardTokenizer, is_reward_model, prepare_reward_model, scale_reward_head, score_tokens
from tiny_models import save_decoder, save_encoder

TURNS = [{"role": "user", "content": "What comes after red?"}]
ANSWERS = ["It is green.", "It is one, two and three, and so on.", ""]


def made(base: Path, folder: Path) -> tuple[Path, RewardTokenizer]:
    """A reward model with a head that was drawn, as a folder."""
    reader = RewardTokenizer.from_base(base)
    torch.manual_seed(1)
    model = prepare_reward_model(base, reader.tokenizer)
    model.save_pretrained(folder)
    reader.tokenizer.save_pretrained(folder)
    return folder, reader


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma"])
def test_a_decoder_is_read_at_the_end_of_the_answer_whatever_stands_beside_it(tmp_path, name):
    """Rows of one batch have other lengths: each score is that of the row alone, and that of the hidden state at its last token."""
    folder, reader = made(save_decoder(name, tmp_path / "base"), tmp_path / "reward")
    model = RewardModel(folder)
    together = model.score([TURNS] * 3, ANSWERS)
    alone = [model.score([TURNS], [answer])[0] for answer in ANSWERS]
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.ptp(together) > 1e-4
    tokens = reader.encode_conversation([*TURNS, {"role": "assistant", "content": ANSWERS[0]}])
    body = getattr(model.model, model.model.base_model_prefix)
    with torch.no_grad():
        last = model.model.score(body(input_ids=torch.tensor([tokens])).last_hidden_state[0, -1])
    assert together[0] == pytest.approx(float(last), abs=1e-5)


def test_a_pad_token_that_ends_answers_is_not_taken_for_padding(tiny_chat, tmp_path):
    """Its end-of-turn token is its pad token: read before the last token that isn't padding, the answer's end would be cut away."""
    folder, reader = made(tiny_chat, tmp_path / "reward")
    model = RewardModel(folder)
    assert model.tokenizer.pad_token_id != model.tokenizer.eos_token_id
    tokens = reader.encode_conversation([*TURNS, {"role": "assistant", "content": "fine"}])
    assert tokens[-1] == model.tokenizer.eos_token_id
    body = model.model.model
    with torch.no_grad():
        last = model.model.score(body(input_ids=torch.tensor([tokens])).last_hidden_state[0, -1])
    assert model.score([TURNS] * 2, ["fine", "fine, thanks, and you today"])[0] == pytest.approx(float(last), abs=1e-5)


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_an_encoder_reads_prompt_and_answer_as_two_texts(tmp_path, name):
    folder, reader = made(save_encoder(name, tmp_path / "base"), tmp_path / "reward")
    model = RewardModel(folder)
    together = model.score([TURNS] * 3, ANSWERS)
    assert together == pytest.approx([model.score([TURNS], [answer])[0] for answer in ANSWERS], abs=1e-5)
    asked, said = (reader.tokenizer(text)["input_ids"] for text in (TURNS[0]["content"], ANSWERS[0]))
    assert set(asked[1:-1]) | set(said[1:-1]) <= set(reader.encode_conversation([*TURNS, {"role": "assistant", "content": ANSWERS[0]}]))


def test_tokens_are_those_of_training_a_writer_on_the_answer(tmp_path):
    from preceptor.models.chat_template import render_conversation

    reader = RewardTokenizer.from_base(save_decoder("llama", tmp_path / "base"))
    turns = [*TURNS, {"role": "assistant", "content": ANSWERS[0]}]
    assert reader.encode_conversation(turns) == render_conversation(reader.tokenizer, turns, 999).tokens


def test_a_scaled_head_multiplies_every_difference(tmp_path):
    base = save_encoder("bert", tmp_path / "base")
    reader = RewardTokenizer.from_base(base)
    model = prepare_reward_model(base, reader.tokenizer).eval()
    tokens = [reader.encode_conversation([*TURNS, {"role": "assistant", "content": answer}]) for answer in ANSWERS]
    before = score_tokens(model, tokens, reader.tokenizer)
    scale_reward_head(model, 2.5)
    assert score_tokens(model, tokens, reader.tokenizer) == pytest.approx(2.5 * before, rel=1e-5)


def test_nothing_to_score_is_no_score(tmp_path):
    folder, _ = made(save_encoder("bert", tmp_path / "base"), tmp_path / "reward")
    assert RewardModel(folder).score([], []).shape == (0,)


def test_what_it_cannot_read_is_refused(tmp_path):
    folder, _ = made(save_encoder("bert", tmp_path / "base"), tmp_path / "reward")
    with pytest.raises(UserError, match=r"answer 1 with its prompt has [\d,]+ tokens, and the reward model reads 128"):
        RewardModel(folder).score([TURNS] * 2, ["It is green.", "green " * 200])


@pytest.mark.parametrize("made_of", [save_decoder, save_encoder])
def test_an_answer_to_nothing_is_not_read(tmp_path, made_of):
    reader = RewardTokenizer.from_base(made_of("llama" if made_of is save_decoder else "bert", tmp_path / "base"))
    with pytest.raises(RenderError):
        reader.encode_conversation([{"role": "assistant", "content": "red"}])


def test_it_is_no_classifier(tmp_path):
    folder, _ = made(save_encoder("bert", tmp_path / "base"), tmp_path / "reward")
    with pytest.raises(UserError, match="gives a number, and no answers"):
        class_probabilities(folder, ["It is green."])


def test_another_model_is_no_reward_model(tmp_path):
    base = save_encoder("bert", tmp_path / "base")
    assert not is_reward_model(base)
    with pytest.raises(UserError, match="base is not a reward model"):
        RewardModel(base)
