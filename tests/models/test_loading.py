from __future__ import annotations

import io
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from logging import StreamHandler

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)
from transformers.utils import logging

from preceptor.errors import UserError
from preceptor.generation import LocalProvider
from preceptor.models import (
    TextClassifier,
    convert_gguf,
    count_parameters,
    load_causal,
    load_classifier,
    load_tokenizer,
    prepare_classifier,
)
from preceptor.models.classifier import predict_log_probabilities
from preceptor.models.loading import silence_transformers

logging.disable_progress_bar()
ANSWERS = ("no", "maybe", "yes")
SIZES = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
ENCODERS = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=0)),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(vocab_size=40, dim=32, n_layers=2, n_heads=2, hidden_dim=64)),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(**SIZES, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    ),
}


def llama():
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def saved(model, folder, **tokens):
    raw = Tokenizer(models.WordLevel({f"w{number}": number for number in range(40)}, unk_token="w3"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=raw, **tokens).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_classifies_alike_after_saving_and_in_any_batch(name, tmp_path):
    torch.manual_seed(0)
    folder = saved(ENCODERS[name](), tmp_path / "base", pad_token="w0")
    model = prepare_classifier(folder, ANSWERS, pad_id=0).eval()
    random = np.random.default_rng(0)
    rows = [random.integers(4, 40, length).tolist() for length in random.integers(1, 20, 30)]
    assert np.abs(predict_log_probabilities(model, rows, 0) - np.log(1 / 3)).max() < 0.5  # a new head knows nothing
    torch.nn.init.normal_(model.head.weight)
    expected = predict_log_probabilities(model, rows, 0)
    model.save_pretrained(tmp_path / "trained")
    load_tokenizer(folder).save_pretrained(tmp_path / "trained")

    assert np.abs(predict_log_probabilities(load_classifier(tmp_path / "trained"), rows, 0, batch_tokens=1) - expected).max() < 1e-5
    auto = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained").eval()
    assert np.abs(predict_log_probabilities(auto, rows, 0) - expected).max() < 1e-5
    classifier = TextClassifier(tmp_path / "trained")
    assert classifier.answers == ANSWERS
    texts = [" ".join(f"w{token}" for token in row) for row in rows]
    assert np.abs(classifier.predict(texts) - np.exp(expected)).max() < 1e-5
    assert classifier.predict([]).shape == (0, 3)


def test_a_decoder_gets_its_familys_head(tmp_path):
    folder = saved(llama(), tmp_path / "base", eos_token="w2")
    tokenizer = load_tokenizer(folder)
    assert tokenizer.pad_token == "w2"
    model = prepare_classifier(folder, ANSWERS, tokenizer.pad_token_id)
    assert type(model).__name__ == "LlamaForSequenceClassification"
    assert list(model.config.id2label.values()) == list(ANSWERS)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no pad, end-of-text or unknown token"):
        load_tokenizer(saved(llama(), tmp_path / "base"))


def test_counted_parameters_are_the_models(tmp_path):
    folder = saved(llama(), tmp_path / "base", eos_token="w2")
    assert count_parameters(folder) == sum(weights.numel() for weights in load_causal(folder).parameters())
    assert LocalProvider(folder).parameters == count_parameters(folder)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no model folder nowhere"):
        load_causal(tmp_path / "nowhere")
    with pytest.raises(UserError, match="there is no GGUF file"):
        convert_gguf(tmp_path / "nowhere.gguf", tmp_path / "out")
    (tmp_path / "rubbish.gguf").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"rubbish\.gguf can't be loaded"):
        convert_gguf(tmp_path / "rubbish.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_local_provider_scores_whole_prompts(tmp_path):
    """Options after a shared beginning, against a full pass over each whole prompt."""
    torch.manual_seed(0)
    folder = saved(llama(), tmp_path / "base", eos_token="w2")
    model, tokenizer = load_causal(folder), load_tokenizer(folder)
    texts, options = ["w5 w6 w7", "w8", "w9 w10"], [" w11", " w12 w13"]
    scored = LocalProvider(folder).option_log_probabilities("w20 w21 ", texts, " w22", options)
    for row, text in enumerate(texts):
        for column, option in enumerate(options):
            before, after = tokenizer(f"w20 w21 {text} w22")["input_ids"], tokenizer(option)["input_ids"]
            with torch.inference_mode():
                logits = model(torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
            expected = sum(float(logits[len(before) - 1 + at, token]) for at, token in enumerate(after))
            assert scored[row, column] == pytest.approx(expected, abs=1e-4)
    assert LocalProvider(folder).render([{"role": "user", "content": "w5"}]) is None


def is_tied(model):
    return model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()


def test_models_that_threads_load_at_once_keep_the_head_that_they_share_with_their_embeddings(tmp_path):
    """31 of 32 had a head drawn at random, and every model that the process loaded afterwards."""
    folder = saved(LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)), tmp_path / "tied", pad_token="w0")
    with ThreadPoolExecutor(4) as threads:
        beside = list(threads.map(lambda _: is_tied(load_causal(folder)), range(12)))
    assert all(beside)
    assert is_tied(load_causal(folder))


def test_quiet_in_one_thread_changes_nothing_for_the_others(capsys):
    """Warnings were off for the whole process, for good once two threads had left in another order than they came."""
    transformers, heard = logging.get_logger("transformers"), io.StringIO()
    handler = next(each for each in transformers.handlers if isinstance(each, StreamHandler))
    inside, done = threading.Event(), threading.Event()

    def work():
        with silence_transformers():
            inside.set()
            done.wait()
            transformers.warning("in the quiet")
            assert list(logging.tqdm([1], file=heard)) == [1]

    state = list(warnings.filters), warnings.showwarning, sys.stderr, logging.get_verbosity(), logging.is_progress_bar_enabled()
    earlier = handler.setStream(heard)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        inside.wait()
        assert (
            list(warnings.filters),
            warnings.showwarning,
            sys.stderr,
            logging.get_verbosity(),
            logging.is_progress_bar_enabled(),
        ) == state
        transformers.warning("beside it")
    finally:
        done.set()
        thread.join()
        handler.setStream(earlier)
    assert "beside it" in heard.getvalue()
    assert "in the quiet" not in heard.getvalue()
    assert "it/s" not in heard.getvalue()


def test_loading_and_saving_draw_no_bar(tmp_path, capfd):
    logging.enable_progress_bar()
    try:
        folder = saved(llama(), tmp_path / "model", pad_token="w0")
        capfd.readouterr()
        load_causal(folder)
        with silence_transformers():
            llama().save_pretrained(tmp_path / "again")
    finally:
        logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")
