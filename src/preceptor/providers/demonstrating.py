"""Few-shot answers: each text is shown to a language model after the examples that are most like it.

Which examples, and how many, decides more than anything else about a small model. Here they are the nearest by an encoder's
vectors (Liu et al. 2022, "What Makes Good In-Context Examples for GPT-3?"), picked one by one so that they aren't all the same
(maximal marginal relevance, Carbonell and Goldstein 1998) and no answer stands out, the most alike last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from preceptor.curation import exact_key
from preceptor.domain.results import FloatArray, IntArray
from preceptor.formats.checksums import read_json
from preceptor.providers.prompting import Labelled, Prompt, calibrated, chat_prompt, plain_prompt

if TYPE_CHECKING:
    from preceptor.models.parity import Said
    from preceptor.providers.local import LocalProvider

FILE, VECTORS = "demonstrations.json", "demonstrations.npy"


@dataclass(frozen=True, slots=True)
class Shown:
    """A row that may be shown: its text as it is shown, and its answer."""

    id: str
    text: str
    answer: str

    @property
    def target(self) -> Mapping[str, float]:
        return {self.answer: 1.0}


@dataclass(frozen=True)
class Manner:
    """How examples are chosen and shown.

    shots: of them for each text. diversity: 0 takes the most alike, towards 1 rather those unlike each other. balanced: about as many
    of each answer. max_tokens: longer texts are cut when asked about. question: with `name`, `instructions` and `answers`.
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


def choose(
    alike: FloatArray, vectors: FloatArray, answers: IntArray, *, shots: int, diversity: float, quota: int, barred: Sequence[int] = ()
) -> list[int]:
    """Rows to show, the most alike last. alike: cosine of each row with the text, (n,). vectors: of unit length, (n, d).

    Each next row maximises (1 − diversity) · its likeness to the text − diversity · its likeness to the nearest row chosen before;
    answers (n,) that have their quota stand back until no other row is left.
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


class FewShot:
    """Rows to show, and the two models that choose and answer; `reference`: scores of texts that calibrate, see `calibrated`."""

    def __init__(
        self, manner: Manner, rows: Sequence[Shown], vectors: FloatArray, provider: LocalProvider, encoder: Path, reference: FloatArray
    ) -> None:
        self.manner, self.rows, self.provider, self.encoder, self.reference = manner, rows, provider, encoder, reference
        self.answers = tuple(str(answer) for answer in manner.question["answers"])
        self.vectors = unit(vectors)
        self._codes = np.array([self.answers.index(row.answer) for row in rows], dtype=np.int64)
        self._keys: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            self._keys.setdefault(exact_key(row.text), []).append(number)

    def predict(self, texts: Sequence[str]) -> FloatArray:
        """Probability of each answer for each text: (texts, answers) float64, rows sum to 1."""
        return calibrated(self.scores(texts), self.reference)

    def scores(self, texts: Sequence[str]) -> FloatArray:
        """log P(answer) after the text and its examples, (texts, answers) float64."""
        if not texts:
            return np.zeros((0, len(self.answers)))
        cut = self.provider.clip(texts, self.manner.max_tokens)
        shown = [self.shown(text, row) for text, row in zip(texts, self._alike(texts), strict=True)]
        prompts = [prompt_of(self.manner, self.provider, rows) for rows in shown]
        whole = [prompt.prefix + text for prompt, text in zip(prompts, cut, strict=True)]
        return self.provider.option_log_probabilities("", whole, prompts[0].suffix, prompts[0].options)

    def shown(self, text: str, alike: FloatArray) -> list[Shown]:
        """The examples for a text; never the text itself."""
        manner = self.manner
        barred = self._keys.get(exact_key(text), [])
        rows = choose(
            alike, self.vectors, self._codes, shots=manner.shots, diversity=manner.diversity, quota=manner.quota, barred=barred
        )  # fmt: skip
        return [self.rows[row] for row in rows]

    def say(self, texts: Mapping[str, str]) -> Said:
        """Log-probabilities of the answers, by id, as parity compares them."""
        from preceptor.models.parity import Said

        return Said(dict(zip(texts, np.log(self.predict(list(texts.values()))), strict=True)), {})

    def save(self, folder: Path) -> None:
        """What isn't of the two models, into a folder: `load` with the same models gives the same answers."""
        document = {"manner": asdict(self.manner), "rows": [asdict(row) for row in self.rows], "reference": self.reference.tolist()}
        (folder / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        np.save(folder / VECTORS, self.vectors.astype(np.float32))

    @classmethod
    def load(cls, folder: Path, provider: LocalProvider, encoder: Path) -> Self:
        """What `save` left."""
        kept = read_json(folder / FILE)
        rows = [Shown(**row) for row in kept["rows"]]
        reference = np.array(kept["reference"]).reshape(-1, len(kept["manner"]["question"]["answers"]))
        return cls(Manner(**kept["manner"]), rows, np.load(folder / VECTORS).astype(np.float64), provider, encoder, reference)

    def _alike(self, texts: Sequence[str]) -> FloatArray:
        from preceptor.models import text_vectors

        return np.asarray(unit(text_vectors(self.encoder, texts)) @ self.vectors.T)


def prompt_of(manner: Manner, provider: LocalProvider, shown: Sequence[Labelled]) -> Prompt:
    """The question in words, with examples."""
    return chat_prompt(provider, manner.question, shown) if manner.form == "chat" else plain_prompt(manner.question, shown)


def tokens_around(manner: Manner, provider: LocalProvider) -> int:
    """Tokens of a prompt and an answer without any text, at most."""
    answers = [str(answer) for answer in manner.question["answers"]]
    longest = max(answers, key=lambda answer: provider.lengths([f" {answer}"])[0])
    prompt = prompt_of(manner, provider, [Shown("", "", longest)] * manner.shots)
    return provider.lengths([prompt.prefix + prompt.suffix])[0] + max(provider.lengths(prompt.options))


def unit(vectors: FloatArray) -> FloatArray:
    """Each row scaled to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
