from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.generation.offline import generate_conversations
from preceptor.models.capability_probes import (
    grade_multiple_choice,
    grade_nearest_options,
    render_general_texts,
    retrieval_log_probabilities,
    text_log_probabilities,
)
from preceptor.models.causal_lm import ChatModel, prepare_causal, prepare_tokenizer
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.models.loading import load_tokenizer, prepare_classifier
from preceptor.types import MultipleChoiceItem
from tiny_models import save_decoder, save_encoder

WORDS = ("red", "green", "blue", "cat", "dog", "moon")
TEXTS = {
    word: [{"role": "user", "content": f"What comes after {word}?"}, {"role": "assistant", "content": f"It is {word}."}] for word in WORDS
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_decoder("llama", tmp_path_factory.mktemp("knowledge") / "llama")


def test_texts_are_scored_by_their_answers_alone(llama):
    tokenizer = prepare_tokenizer(llama)
    model = prepare_causal(llama, tokenizer)
    found = render_general_texts(tokenizer, TEXTS, max_tokens=100)
    assert set(found) == set(TEXTS)
    assert list(render_general_texts(tokenizer, TEXTS, most=2, max_tokens=100)) == list(found)[:2], "which ones depends on their ids alone"
    assert not render_general_texts(tokenizer, TEXTS, max_tokens=5)
    sums = text_log_probabilities(model, tokenizer, list(found.values()))
    one = next(iter(found.values()))
    alone = completion_log_probabilities(model, [one.tokens], [one.supervised], tokenizer.pad_token_id)[0].sum()
    assert sums[0] == pytest.approx(alone, abs=1e-4)
    assert (sums < 0).all()
    assert model.training, "the model is left in the mode it was in"


def test_a_choice_goes_to_the_option_that_is_most_probable_a_character(llama):
    tokenizer = prepare_tokenizer(llama)
    model = prepare_causal(llama, tokenizer).eval()
    question = MultipleChoiceItem("q", "What comes after red?", ("green", "blue and one", "dog"), 1)
    scores = []
    for option in question.options:
        asked = tokenizer("Question: What comes after red?\nAnswer:", add_special_tokens=False)["input_ids"]
        said = tokenizer(f" {option}", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([[*asked, *said]])).logits[0].log_softmax(-1)
        scores.append(sum(float(logits[len(asked) - 1 + at, token]) for at, token in enumerate(said)) / len(option))
    best = int(np.argmax(scores))
    for answer in range(3):
        asked = MultipleChoiceItem("q", question.question, question.options, answer)
        assert grade_multiple_choice(model, tokenizer, [asked], max_tokens=100).tolist() == [float(answer == best)]
    assert grade_multiple_choice(model, tokenizer, [question], max_tokens=12).shape == (1,), (
        "a question that is too long loses its beginning"
    )


def test_an_encoder_tells_which_answer_belongs_to_which_question(tmp_path):
    folder = save_encoder("bert", tmp_path / "bert")
    tokenizer = load_tokenizer(folder)
    model = prepare_classifier(folder, ("a", "b"), tokenizer.pad_token_id)
    same = {word: [{"role": "user", "content": word}, {"role": "assistant", "content": word}] for word in WORDS}
    found = retrieval_log_probabilities(model, tokenizer, same, max_tokens=32)
    assert found.shape == (len(WORDS),)
    assert (found > np.log(1 / len(WORDS))).all(), "the same word is nearer to itself than the others are"
    questions = [MultipleChoiceItem(word, word, (*[other for other in WORDS if other != word], word), len(WORDS) - 1) for word in WORDS]
    assert grade_nearest_options(model, tokenizer, questions, max_tokens=32).all()
    assert not len(retrieval_log_probabilities(model, tokenizer, dict(list(same.items())[:1]), max_tokens=32))


@pytest.mark.parametrize("family", ["llama", "qwen3", "pythia, which families.py doesn't name"])
def test_a_base_writes_texts_of_itself_the_same_for_the_same_seed(family, tmp_path):
    chat = ChatModel(save_decoder(family, tmp_path / "base"))
    for layer in (chat.model.get_input_embeddings(), chat.model.get_output_embeddings()):
        layer.weight.data.mul_(0.05)  # else it says one token for ever
    written = generate_conversations(chat, 6, seed=3)
    assert written == generate_conversations(chat, 6, seed=3)
    assert written
    assert all([turn["role"] for turn in turns] == ["user", "assistant"] and turns[1]["content"] for turns in written)
    assert not {str(turns) for turns in written} & {str(turns) for turns in generate_conversations(chat, 6, seed=4)}
