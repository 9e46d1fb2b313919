"""A GGUF file says what the folder says that it was packed from, to the reader of another library; what can't be packed is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from preceptor.errors import UserError
from preceptor.generation.option_scoring import continuation_log_probabilities
from preceptor.models.causal_lm import ChatTokenizer
from preceptor.models.gguf_export import CONTROL, NORMAL, UNUSED, build_gguf_tokenizer, check_gguf_exportable, export_gguf, unpack_gguf
from preceptor.models.loading import load_causal, load_tokenizer
from tiny_models import save_decoder

TEXT = "What comes after red? I'm sure: 1234 wörds\n\n<|im_start|>user"


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_decoder("llama", tmp_path_factory.mktemp("llama") / "base")


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 1e-6), ("bfloat16", 0.05)])
def test_another_reader_finds_the_same_model(llama, tmp_path, dtype, apart):
    again = unpack_gguf(export_gguf(llama, tmp_path / "m.gguf", name="tiny", dtype=dtype), tmp_path / "again")
    ours, theirs = load_tokenizer(llama), load_tokenizer(again)
    assert theirs(TEXT)["input_ids"] == ours(TEXT)["input_ids"]
    assert theirs.chat_template == ours.chat_template
    assert (theirs.eos_token, theirs.bos_token) == (ours.eos_token, ours.bos_token)
    ids = ours(TEXT)["input_ids"]
    said = [continuation_log_probabilities(load_causal(folder), [ids[:3]], [ids[3:]]) for folder in (llama, again)]
    assert np.abs(said[0] - said[1]).max() <= apart * len(ids)
    assert (said[0] == said[1]).all() == (dtype == "float32")


def test_llama_cpp_finds_ends_kinds_and_shape(llama, tmp_path):
    import gguf

    read = gguf.GGUFReader(export_gguf(llama, tmp_path / "m.gguf", name="tiny"))
    fields = {name: field.contents() for name, field in read.fields.items()}
    chat, config = ChatTokenizer(llama), load_causal(llama).config
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[fields["tokenizer.ggml.eot_token_id"]] == "<|im_end|>"
    assert fields["tokenizer.ggml.token_type"][fields["tokenizer.ggml.eot_token_id"]] == CONTROL
    assert fields["tokenizer.chat_template"] == chat.tokenizer.chat_template
    assert (fields["general.architecture"], fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) == ("llama", "gpt2", "gpt-2")
    assert fields["llama.attention.head_count_kv"] == config.num_key_value_heads
    assert fields["llama.rope.freq_base"] == config.rope_parameters["rope_theta"]
    assert len(tokens) == config.vocab_size


def test_rows_without_a_token_are_unused(llama):
    chat = ChatTokenizer(llama)
    words = build_gguf_tokenizer(chat, len(chat.tokenizer) + 2)
    assert words.token_types[-2:] == [UNUSED, UNUSED]
    assert words.token_types[chat.tokenizer.convert_tokens_to_ids("a")] == NORMAL
    assert len(set(words.tokens)) == len(words.tokens)


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "gemma"])
def test_other_families_are_refused_by_name(tmp_path, family):
    folder = save_decoder(family, tmp_path / "base")
    with pytest.raises(UserError, match=f"of the Llama family, and this is {family}"):
        export_gguf(folder, tmp_path / "m.gguf", name="x")
    assert not (tmp_path / "m.gguf").exists()


def test_what_llama_cpp_would_compute_otherwise_is_refused(llama):
    config = load_causal(llama).config
    config.rope_parameters = {**config.rope_parameters, "rope_type": "linear", "factor": 2.0}
    with pytest.raises(UserError, match="its positions are scaled"):
        check_gguf_exportable(config)


def test_a_split_without_a_name_is_refused(llama):
    chat = ChatTokenizer(llama)
    raw = Tokenizer.from_str(chat.tokenizer.backend_tokenizer.to_str())
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    chat.tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", chat_template=chat.tokenizer.chat_template)
    with pytest.raises(UserError, match=r"no name for \(Punctuation, ByteLevel\)"):
        build_gguf_tokenizer(chat, 400)


def test_pairs_are_turned_and_nothing_else():
    from preceptor.models.gguf_export import _interleave_rotary_pairs

    weight = torch.arange(8.0).reshape(8, 1)
    assert _interleave_rotary_pairs(weight, 2).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert _interleave_rotary_pairs(weight, 0) is weight
