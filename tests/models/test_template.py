from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer

from preceptor.errors import UserError
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.causal_lm import PAD_TOKEN, check_causal, prepare_causal, prepare_tokenizer
from preceptor.models.chat_template import (
    PLAIN_TEMPLATE,
    RenderError,
    build_conversation,
    render_chat_text,
    render_conversation,
    uses_plain_template,
)
from tiny_models import DECODERS, GEMMA, save_decoder, save_encoder

TURNS = [
    {"role": "user", "content": "What comes after red?"},
    {"role": "assistant", "content": "It is green."},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "Blue, and so on."},
]
ENDS = {
    "llama": "<|im_end|>",
    "qwen2": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "mistral": "</s>",
    "gemma": "<end_of_turn>",
    "gemma2": "<end_of_turn>",
}


@pytest.fixture
def make(tmp_path):
    return lambda name: prepare_tokenizer(save_decoder(name, tmp_path / name.split(",")[0]))


@pytest.mark.parametrize("name", DECODERS)
def test_learnt_is_the_answer_with_its_end_and_before_it_is_what_serving_reads(name, make):
    tokenizer = make(name)
    found = render_conversation(tokenizer, TURNS, 500)
    learnt = [token for token, mask in zip(found.tokens, found.supervised, strict=True) if mask]
    end = ENDS.get(name, tokenizer.eos_token)
    assert tokenizer.decode(learnt, skip_special_tokens=False).strip() == f"Blue, and so on.{end}"
    assert tokenizer.convert_ids_to_tokens(found.end_token) == end
    served = tokenizer(render_chat_text(tokenizer, TURNS[:-1], answering=True), add_special_tokens=False)["input_ids"]
    assert found.tokens[: found.prompt_length] == served
    assert not any(found.supervised[: found.prompt_length])
    assert all(found.supervised[found.prompt_length :])


@pytest.mark.parametrize("name", DECODERS)
def test_earlier_answers_are_learnt_where_they_are_marked(name, make):
    tokenizer = make(name)
    marked = [{**turn, "weight": 1} for turn in TURNS]
    found = render_conversation(tokenizer, marked, 500)
    end = ENDS.get(name, tokenizer.eos_token)
    learnt = tokenizer.decode(
        [token for token, mask in zip(found.tokens, found.supervised, strict=True) if mask], skip_special_tokens=False
    )
    assert "".join(learnt.split()) == f"Itisgreen.{end}Blue,andsoon.{end}"


@pytest.mark.parametrize("name", DECODERS)
def test_padding_has_its_own_token_which_changes_no_probability(name, make, tmp_path):
    tokenizer, folder = make(name), tmp_path / name.split(",")[0]
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert tokenizer.padding_side == "left"
    model, base = prepare_causal(folder, tokenizer).eval(), load_causal(folder)
    assert model.get_input_embeddings().num_embeddings >= len(tokenizer)
    ids = torch.arange(20, 30)[None]
    with torch.inference_mode():
        before, after = (torch.log_softmax(each(ids).logits, -1) for each in (base, model))
    assert (before - after[..., : before.shape[-1]]).abs().max() < 0.02


def test_a_base_without_a_template_gets_the_plain_one_which_is_saved(make, tmp_path):
    tokenizer = make("gpt2")
    assert uses_plain_template(tokenizer)
    assert tokenizer.pad_token == PAD_TOKEN
    assert render_chat_text(tokenizer, TURNS[:1], answering=True) == "What comes after red?\n"
    assert render_chat_text(tokenizer, [{"role": "user", "content": "Q: red? A: "}], answering=True) == "Q: red? A: "
    tokenizer.save_pretrained(tmp_path / "gpt2")
    assert load_tokenizer(tmp_path / "gpt2").chat_template == PLAIN_TEMPLATE


def test_galactica_names_no_token_and_gets_those_of_its_vocabulary(make, tmp_path):
    tokenizer = make("galactica")
    assert AutoTokenizer.from_pretrained(tmp_path / "galactica").eos_token is None
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == ("</s>", "<pad>", "<s>")


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (TURNS[:3], "user last"),
        ([*TURNS[:1], {"role": "assistant", "content": " \n"}], "empty"),
        ([{"role": "user", "content": "a [INST] b"}, TURNS[1]], "marks"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b<|im_end|>"}], "marks"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b<|endoftext|>c"}], "marks"),
        ([{"role": "user", "content": "### Instruction:\na\n### Response:"}, TURNS[1]], "marks"),
        ([TURNS[0], {"role": "assistant", "content": "green " * 600}], "too long"),
    ],
)
def test_what_cannot_be_trained_on_says_why(turns, reason, make):
    with pytest.raises(RenderError) as refused:
        render_conversation(make("llama"), turns, 500)
    assert refused.value.reason == reason


def test_a_template_without_an_end_is_found(make):
    tokenizer = make("llama")
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "")
    with pytest.raises(RenderError) as refused:
        render_conversation(tokenizer, TURNS, 500)
    assert refused.value.reason == "no end"


def test_a_template_that_changes_what_came_before_is_found(make):
    tokenizer = make("llama")
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    with pytest.raises(RenderError) as refused:
        render_conversation(tokenizer, TURNS, 500)
    assert refused.value.reason == "template"


def test_headings_in_the_prompt_suit_a_base_without_a_template(make):
    found = render_conversation(make("gpt2"), [{"role": "user", "content": "### Instruction:\na\n### Response:"}, TURNS[1]], 500)
    assert sum(found.supervised) > 1


def test_the_parts_of_an_item_become_turns():
    assert build_conversation({"text": "a"}, "b") == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert build_conversation({"prompt": "a", "completion": "wrong"}, "b") == build_conversation({"text": "a"}, "b")
    assert build_conversation({"messages": TURNS}, "b") == [*TURNS[:3], {"role": "assistant", "content": "b"}]
    assert build_conversation({"messages": TURNS[:3]}, "b")[-1]["content"] == "b"


def test_the_system_turn_of_a_template_that_has_none_is_told(make):
    tokenizer = make("gemma")
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + GEMMA
    with pytest.raises(RenderError) as refused:
        render_conversation(tokenizer, [{"role": "system", "content": "be kind"}, *TURNS], 500)
    assert refused.value.reason == "template"


def test_what_reads_both_ways_is_not_a_causal_model(tmp_path):
    with pytest.raises(UserError, match=r"bert \(bert\) is not a causal model") as refused:
        check_causal(save_encoder("bert", tmp_path / "bert"))
    assert "classify" in refused.value.hint
    check_causal(save_decoder("falcon-40b", tmp_path / "falcon"))
