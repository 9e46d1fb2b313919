from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from preceptor.generation import chat_prompt, classify_by_prompt, plain_prompt
from preceptor.generation.in_context import calibrate_scores, select_demonstrations

QUESTION = {"name": "sentiment", "instructions": "How positive is it?", "answers": ["bad", "fair", "good"]}


@dataclass(frozen=True)
class MadeRow:
    id: str
    text: str
    target: dict[str, float]


def row(number: int, answer: str, certainty: float = 0.9, text: str = "") -> MadeRow:
    rest = (1 - certainty) / 2
    return MadeRow(f"r{number}", text or f"text {number}", {other: certainty if other == answer else rest for other in QUESTION["answers"]})


TRAIN = [row(number, QUESTION["answers"][number % 3]) for number in range(150)]


class Biased:
    """Knows every text's answer (its last word) but likes 'good' far too much; remembers what it was asked."""

    name, parameters = "biased", 1

    def __init__(self, template: bool = True) -> None:
        self.template, self.asked = template, []

    def render(self, messages):
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in messages) + "<assistant>" if self.template else None

    def option_log_probabilities(self, prefix, texts, suffix, options):
        self.asked.append((prefix, list(texts), suffix, options))
        told = [[1.0 * (text.split()[-1] == option.strip()) + 4.0 * (option.strip() == "good") for option in options] for text in texts]
        return np.log(np.exp(told) / np.exp(told).sum(1, keepdims=True)) - 5.0


def test_what_the_model_likes_whatever_the_text_is_taken_out():
    train = [row(number, "bad", text=f"it is {QUESTION['answers'][number % 3]}") for number in range(90)]
    texts = ["so bad", "so fair", "so good"]
    found = classify_by_prompt(Biased(), question=QUESTION, texts=texts, train=train)
    assert found.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    uncalibrated = classify_by_prompt(Biased(), question=QUESTION, texts=texts, train=[])
    assert uncalibrated.argmax(axis=1).tolist() == [2, 2, 2]


def test_calibration_leaves_an_unbiased_model_alone():
    scores = np.log(np.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]))
    even = np.log(np.array([[0.5, 0.3, 0.2], [0.3, 0.2, 0.5], [0.2, 0.5, 0.3]]))
    assert np.abs(calibrate_scores(scores, even) - np.exp(scores)).max() < 1e-12
    assert np.abs(calibrate_scores(scores, np.zeros((0, 3))) - np.exp(scores)).max() < 1e-12


def test_demonstrations_are_balanced_certain_short_and_the_same_in_any_order():
    rows = [*TRAIN, row(900, "bad", 0.99), row(901, "bad", 1.0, "long " * 100)]
    shown = select_demonstrations(rows, QUESTION["answers"], 2)
    assert [max(r.target, key=r.target.get) for r in shown] == ["bad", "fair", "good"] * 2
    assert shown[0].id == "r900"
    assert select_demonstrations(rows[::-1], QUESTION["answers"], 2) == shown
    assert select_demonstrations(rows, QUESTION["answers"], 0) == []
    assert len(select_demonstrations(TRAIN[:4], QUESTION["answers"], 3)) == 4


def test_plain_prompt_is_a_record_to_be_continued():
    prompt = plain_prompt(QUESTION, [TRAIN[0], TRAIN[1]])
    assert prompt.prefix == "Text: text 0\nSentiment: bad\n\nText: text 1\nSentiment: fair\n\nText: "
    assert (prompt.suffix, prompt.options) == ("\nSentiment:", (" bad", " fair", " good"))


def test_chat_prompt_uses_the_models_own_template_and_falls_back():
    prompt = chat_prompt(Biased(), QUESTION, [TRAIN[0]])
    assert prompt.prefix == "<system>How positive is it?\nAnswer with one of: bad, fair, good.<user>text 0<assistant>bad<user>"
    assert (prompt.suffix, prompt.options) == ("<assistant>", ("bad", "fair", "good"))
    assert chat_prompt(Biased(template=False), QUESTION) == plain_prompt(QUESTION)


@pytest.mark.parametrize("form", ["plain", "chat"])
def test_demonstrations_calibrate_nothing(form):
    provider = Biased()
    classify_by_prompt(provider, question=QUESTION, texts=["a bad", "a good"], train=TRAIN, shots=2, form=form)
    ((prefix, texts, _, _),) = provider.asked
    assert texts[:2] == ["a bad", "a good"]
    assert len(texts) == 2 + 64
    assert not [text for text in texts[2:] if f"{text}\n" in prefix or f"{text}<" in prefix]
