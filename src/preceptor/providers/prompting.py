"""A choice question put to a language model in words: zero-shot or with demonstrations, read off its option probabilities.

All prompts of one question share their beginning, which a provider computes once. Two things make the most of a small
model (figures in docs/experiments.md): it continues a plain record better than it follows an instruction in a chat,
and its liking for some options whatever the text is taken out, measured on texts without their labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.providers.provider import Provider

CALIBRATION_TEXTS = 64
_LONGEST_DEMONSTRATION = 200  # characters: a long one costs attention with every text
_MARK = "\u241f"  # stands for the text while a chat is rendered; no text has this character for a unit separator


class Labelled(Protocol):
    """A training row: a text and the probability of each answer."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def target(self) -> Mapping[str, float]: ...


AnyRow = TypeVar("AnyRow", bound=Labelled)


@dataclass(frozen=True, slots=True)
class Prompt:
    """`prefix + text + suffix` is what the model reads, `options` what it may go on with, in the order of the answers."""

    prefix: str
    suffix: str
    options: tuple[str, ...]


def classify_by_prompt(
    provider: Provider,
    *,
    question: Mapping[str, Any],
    texts: Sequence[str],
    train: Sequence[Labelled],
    shots: int = 0,
    form: Literal["plain", "chat"] = "plain",
) -> FloatArray:
    """Probability of each answer for each text, (texts, answers) float64, rows sum to 1.

    question: with `name`, `answers` and, for the chat form, `instructions`. shots: demonstrations of each answer, taken
    from `train`; other training texts, without their labels, calibrate. Equal input gives equal output.
    """
    shown = demonstrations(train, question["answers"], shots)
    prompt = chat_prompt(provider, question, shown) if form == "chat" else plain_prompt(question, shown)
    used = {row.id for row in shown}
    others = [row.text for row in by_hash(train) if row.id not in used][:CALIBRATION_TEXTS]
    scores = provider.option_log_probabilities(prompt.prefix, [*texts, *others], prompt.suffix, prompt.options)
    return calibrated(scores[: len(texts)], scores[len(texts) :])


def plain_prompt(question: Mapping[str, Any], shown: Sequence[Labelled] = ()) -> Prompt:
    """A record of texts and answers to be continued."""
    label = str(question["name"]).replace("_", " ").capitalize()
    records = "".join(f"Text: {row.text}\n{label}: {top_answer(row)}\n\n" for row in shown)
    return Prompt(f"{records}Text: ", f"\n{label}:", tuple(f" {answer}" for answer in question["answers"]))


def chat_prompt(provider: Provider, question: Mapping[str, Any], shown: Sequence[Labelled] = ()) -> Prompt:
    """Instructions, then a turn for each demonstration; the plain form for a model without a chat template."""
    answers = [str(answer) for answer in question["answers"]]
    asked = f"{question.get('instructions', '')}\nAnswer with one of: {', '.join(answers)}.".strip()
    turns = [{"role": "system", "content": asked}]
    for row in shown:
        turns += [{"role": "user", "content": row.text}, {"role": "assistant", "content": top_answer(row)}]
    rendered = provider.render([*turns, {"role": "user", "content": _MARK}])
    if rendered is None:
        return plain_prompt(question, shown)
    prefix, _, suffix = rendered.rpartition(_MARK)
    return Prompt(prefix, suffix, tuple(answers))


def demonstrations(rows: Sequence[Labelled], answers: Sequence[str], each: int) -> list[Labelled]:
    """`each` short and certain rows of every answer, in turns, the same for the same rows."""
    by_answer = {answer: [row for row in by_hash(rows) if top_answer(row) == answer] for answer in answers}
    best = [
        sorted(found, key=lambda row: (len(row.text) > _LONGEST_DEMONSTRATION, -row.target[top_answer(row)]))[:each]
        for found in by_answer.values()
    ]
    return [row for turn in _turns(best) for row in turn]


def _turns(lists: Sequence[Sequence[Labelled]]) -> Iterator[list[Labelled]]:
    for turn in range(max(map(len, lists), default=0)):
        yield [found[turn] for found in lists if turn < len(found)]


def by_hash(rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The rows in an order that has nothing to do with their content or place."""
    return sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())


def top_answer(row: Labelled) -> str:
    """The row's most probable answer."""
    return max(row.target, key=lambda answer: row.target[answer])


def calibrated(scores: FloatArray, reference: FloatArray) -> FloatArray:
    """Probabilities from option log-probabilities, each option's mean probability over `reference` divided out.

    scores: (n, k); reference: (m, k), scores of texts whose answers nobody looks at; none: no calibration. Contextual
    calibration (Zhao et al. 2021) with texts of the domain in place of content-free ones (Fei et al. 2023, "Mitigating
    Label Biases for In-context Learning").
    """
    liking = np.log(_softmax(reference).mean(axis=0)) if len(reference) else 0.0
    return _softmax(scores - liking)


def _softmax(scores: FloatArray) -> FloatArray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)
