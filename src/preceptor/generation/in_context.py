"""In-context learning: prompts for a choice question, contextual calibration, and few-shot examples chosen by similarity.

A choice question is answered zero-shot or with demonstrations, from the probabilities of its options. All prompts of one question share
their prefix, which a provider computes once. Two things help a small model most (measured in docs/experiments.md): it continues a plain
record better than it follows an instruction in a chat; and its bias towards some options, whatever the text, is removed (contextual
calibration), estimated on texts without their labels.

In few-shot classification each text follows the examples most similar to it: the choice and number of examples matter more than anything
else with a small model. They are the nearest by an encoder's embeddings (Liu et al. 2022, "What Makes Good In-Context Examples for
GPT-3?"), picked one by one so that they differ (maximal marginal relevance, Carbonell and Goldstein 1998) and no answer dominates, the most
similar last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

import numpy as np

from preceptor.formats.durable_files import read_json
from preceptor.generation.interface import OptionScorer
from preceptor.quality import exact_key
from preceptor.types import FloatArray, IntArray

if TYPE_CHECKING:
    from preceptor.generation.local import LocalProvider
    from preceptor.models.parity import ProbeScores


CALIBRATION_TEXTS = 64
_MAX_DEMONSTRATION_CHARACTERS = 200  # a long demonstration is read again with every text
_TEXT_MARK = "\u241f"  # stands for the text while a chat is rendered; no text has this character for a unit separator


class LabelledText(Protocol):
    """A training row: a text and the probability of each answer."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def target(self) -> Mapping[str, float]: ...


LabelledT = TypeVar("LabelledT", bound=LabelledText)


@dataclass(frozen=True, slots=True)
class OptionPrompt:
    """A prompt with its options.

    The model reads `prefix + text + suffix`; `options` are the continuations to score, in the order of the answers.
    """

    prefix: str
    suffix: str
    options: tuple[str, ...]


def classify_by_prompt(
    provider: OptionScorer,
    *,
    question: Mapping[str, Any],
    texts: Sequence[str],
    train: Sequence[LabelledText],
    shots: int = 0,
    form: Literal["plain", "chat"] = "plain",
) -> FloatArray:
    """Predict the probability of each answer for each text, (texts, answers) float64; rows sum to 1.

    question: with `name`, `answers` and, for the chat form, `instructions`. shots: demonstrations of each answer, taken from `train`; other
    training texts, without their labels, calibrate. Equal input gives equal output.
    """
    shown = select_demonstrations(train, question["answers"], shots)
    prompt = chat_prompt(provider, question, shown) if form == "chat" else plain_prompt(question, shown)
    used = {row.id for row in shown}
    others = [row.text for row in sort_by_hash(train) if row.id not in used][:CALIBRATION_TEXTS]
    scores = provider.option_log_probabilities(prompt.prefix, [*texts, *others], prompt.suffix, prompt.options)
    return calibrate_scores(scores[: len(texts)], scores[len(texts) :])


def plain_prompt(question: Mapping[str, Any], shown: Sequence[LabelledText] = ()) -> OptionPrompt:
    """Build a prompt that is a record of texts and answers to be continued."""
    label = str(question["name"]).replace("_", " ").capitalize()
    records = "".join(f"Text: {row.text}\n{label}: {get_top_answer(row)}\n\n" for row in shown)
    return OptionPrompt(f"{records}Text: ", f"\n{label}:", tuple(f" {answer}" for answer in question["answers"]))


def chat_prompt(provider: OptionScorer, question: Mapping[str, Any], shown: Sequence[LabelledText] = ()) -> OptionPrompt:
    """Build a chat prompt: instructions, then a turn for each demonstration. A model without a chat template gets the plain form."""
    answers = [str(answer) for answer in question["answers"]]
    asked = f"{question.get('instructions', '')}\nAnswer with one of: {', '.join(answers)}.".strip()
    turns = [{"role": "system", "content": asked}]
    for row in shown:
        turns += [{"role": "user", "content": row.text}, {"role": "assistant", "content": get_top_answer(row)}]
    rendered = provider.render([*turns, {"role": "user", "content": _TEXT_MARK}])
    if rendered is None:
        return plain_prompt(question, shown)
    prefix, _, suffix = rendered.rpartition(_TEXT_MARK)
    return OptionPrompt(prefix, suffix, tuple(answers))


def select_demonstrations(rows: Sequence[LabelledText], answers: Sequence[str], each: int) -> list[LabelledText]:
    """Select `each` rows of every answer, short and certain ones first, answers in turns; the same for the same rows."""
    by_answer = {answer: [row for row in sort_by_hash(rows) if get_top_answer(row) == answer] for answer in answers}
    best = [
        sorted(found, key=lambda row: (len(row.text) > _MAX_DEMONSTRATION_CHARACTERS, -row.target[get_top_answer(row)]))[:each]
        for found in by_answer.values()
    ]
    return [row for turn in _interleave_rows(best) for row in turn]


def _interleave_rows(lists: Sequence[Sequence[LabelledText]]) -> Iterator[list[LabelledText]]:
    for turn in range(max(map(len, lists), default=0)):
        yield [found[turn] for found in lists if turn < len(found)]


def sort_by_hash(rows: Sequence[LabelledT]) -> list[LabelledT]:
    """Return the rows in an order independent of their content and place."""
    return sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())


def get_top_answer(row: LabelledText) -> str:
    """Return the row's most probable answer."""
    return max(row.target, key=lambda answer: row.target[answer])


def calibrate_scores(scores: FloatArray, reference: FloatArray) -> FloatArray:
    """Return probabilities from option log-probabilities, each option's mean probability over `reference` divided out.

    scores: (n, k). reference: (m, k), scores of texts whose labels aren't used; m = 0: no calibration. Contextual calibration (Zhao et al.
    2021) with texts of the domain in place of content-free ones (Fei et al. 2023, "Mitigating Label Biases for In-context Learning").
    """
    liking = np.log(_softmax(reference).mean(axis=0)) if len(reference) else 0.0
    return _softmax(scores - liking)


def _softmax(scores: FloatArray) -> FloatArray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


EXAMPLES_FILE, VECTORS_FILE = "demonstrations.json", "demonstrations.npy"


@dataclass(frozen=True, slots=True)
class FewShotExample:
    """A row that may serve as an example: its text as it is shown, and its answer."""

    id: str
    text: str
    answer: str

    @property
    def target(self) -> Mapping[str, float]:
        return {self.answer: 1.0}


@dataclass(frozen=True)
class FewShotSettings:
    """How examples are chosen and shown.

    question: with `name`, `instructions` and `answers`. shots: examples for each text. diversity: 0 takes the most similar ones, values
    towards 1 prefer those unlike each other. balanced: about equally many of each answer. max_tokens: longer texts are truncated when they
    are classified. form: of the prompt.
    """

    question: Mapping[str, Any]
    shots: int
    diversity: float
    balanced: bool
    max_tokens: int
    form: Literal["plain", "chat"]

    @property
    def quota(self) -> int:
        """How many examples may have the same answer."""
        return -(-self.shots // len(self.question["answers"])) if self.balanced else self.shots


def select_examples(
    alike: FloatArray, vectors: FloatArray, answers: IntArray, *, shots: int, diversity: float, quota: int, barred: Sequence[int] = ()
) -> list[int]:
    """Select the rows to show, the most similar last.

    alike: cosine of each row with the text, (n,). vectors: of unit length, (n, d). answers: the code of each row's answer, (n,). barred:
    rows that may not be shown.

    Each next row maximises (1 − diversity) · its similarity to the text − diversity · its similarity to the nearest row chosen before; rows
    whose answer has reached its quota are only taken when no other is left.
    """
    chosen: list[int] = []
    nearest = np.zeros(len(alike))
    free, count = np.ones(len(alike), dtype=bool), np.zeros(int(answers.max()) + 1, dtype=np.int64)
    free[list(barred)] = False
    while len(chosen) < shots and free.any():
        worth = (1 - diversity) * alike - diversity * nearest
        within = free & (count[answers] < quota)
        row = int(np.where(within if within.any() else free, worth, -np.inf).argmax())
        chosen.append(row)
        free[row], count[answers[row]] = False, count[answers[row]] + 1
        likeness = vectors @ vectors[row]
        nearest = likeness if len(chosen) == 1 else np.maximum(nearest, likeness)
    return sorted(chosen, key=lambda row: (alike[row], row))


class FewShotClassifier:
    """A classifier of rows to show, an encoder that chooses among them, and a language model that answers.

    settings: how examples are chosen. rows, vectors: the examples and their embeddings, of unit length. provider: the language model.
    encoder: the encoder's folder. reference: scores of the texts that calibrate, see `calibrate_scores`. answers: the labels, in order.
    """

    def __init__(
        self,
        manner: FewShotSettings,
        rows: Sequence[FewShotExample],
        vectors: FloatArray,
        provider: LocalProvider,
        encoder: Path,
        reference: FloatArray,
    ) -> None:
        self.settings, self.rows, self.provider, self.encoder, self.reference = manner, rows, provider, encoder, reference
        self.answers = tuple(str(answer) for answer in manner.question["answers"])
        self.vectors = normalize_rows(vectors)
        self._codes = np.array([self.answers.index(row.answer) for row in rows], dtype=np.int64)
        self._keys: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            self._keys.setdefault(exact_key(row.text), []).append(number)

    def predict(self, texts: Sequence[str]) -> FloatArray:
        """Predict the probability of each answer for each text: (texts, answers) float64, rows sum to 1."""
        return calibrate_scores(self.scores(texts), self.reference)

    def scores(self, texts: Sequence[str]) -> FloatArray:
        """Return log P(answer) after the text and its examples, (texts, answers) float64."""
        if not texts:
            return np.zeros((0, len(self.answers)))
        cut = self.provider.truncate_texts(texts, self.settings.max_tokens)
        shown = [self.examples_for(text, row) for text, row in zip(texts, self._similarities(texts), strict=True)]
        prompts = [build_few_shot_prompt(self.settings, self.provider, rows) for rows in shown]
        whole = [prompt.prefix + text for prompt, text in zip(prompts, cut, strict=True)]
        return self.provider.option_log_probabilities("", whole, prompts[0].suffix, prompts[0].options)

    def examples_for(self, text: str, alike: FloatArray) -> list[FewShotExample]:
        """Return the examples for a text, never the text itself. alike: its cosine with each row, (rows,)."""
        manner = self.settings
        barred = self._keys.get(exact_key(text), [])
        rows = select_examples(
            alike, self.vectors, self._codes, shots=manner.shots, diversity=manner.diversity, quota=manner.quota, barred=barred
        )  # fmt: skip
        return [self.rows[row] for row in rows]

    def score_rows(self, texts: Mapping[str, str]) -> ProbeScores:
        """Return the log-probabilities of the answers to each text, by id, as parity compares them."""
        from preceptor.models.parity import ProbeScores

        return ProbeScores(dict(zip(texts, np.log(self.predict(list(texts.values()))), strict=True)), {})

    def save(self, folder: Path) -> None:
        """Save everything but the two models to a folder; `load` with the same models gives the same answers."""
        document = {"manner": asdict(self.settings), "rows": [asdict(row) for row in self.rows], "reference": self.reference.tolist()}
        (folder / EXAMPLES_FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        np.save(folder / VECTORS_FILE, self.vectors.astype(np.float32))

    @classmethod
    def load(cls, folder: Path, provider: LocalProvider, encoder: Path) -> Self:
        """Load what `save` wrote."""
        kept = read_json(folder / EXAMPLES_FILE)
        rows = [FewShotExample(**row) for row in kept["rows"]]
        reference = np.array(kept["reference"]).reshape(-1, len(kept["manner"]["question"]["answers"]))
        return cls(FewShotSettings(**kept["manner"]), rows, np.load(folder / VECTORS_FILE).astype(np.float64), provider, encoder, reference)

    def _similarities(self, texts: Sequence[str]) -> FloatArray:
        from preceptor.models import embed_texts

        return np.asarray(normalize_rows(embed_texts(self.encoder, texts)) @ self.vectors.T)


def build_few_shot_prompt(manner: FewShotSettings, provider: LocalProvider, shown: Sequence[LabelledText]) -> OptionPrompt:
    """Build the prompt of a question with these examples."""
    return chat_prompt(provider, manner.question, shown) if manner.form == "chat" else plain_prompt(manner.question, shown)


def count_prompt_tokens(manner: FewShotSettings, provider: LocalProvider) -> int:
    """Return the most tokens that a prompt without its text and an answer may have together."""
    answers = [str(answer) for answer in manner.question["answers"]]
    longest = max(answers, key=lambda answer: provider.count_tokens([f" {answer}"])[0])
    prompt = build_few_shot_prompt(manner, provider, [FewShotExample("", "", longest)] * manner.shots)
    return provider.count_tokens([prompt.prefix + prompt.suffix])[0] + max(provider.count_tokens(prompt.options))


def normalize_rows(vectors: FloatArray) -> FloatArray:
    """Scale each row to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
