"""Simulated people: who answers what about which item, drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Crowd:
    """Columns of judgments, and what only the simulator knows.

    item, annotator, answer: ids, shape (rows,). truth: item id -> answer. confusion: (annotators, answers, answers), rows the truth.
    """

    item: list[str]
    annotator: list[str]
    answer: list[str]
    truth: dict[str, str]
    confusion: NDArray[np.float64]

    @property
    def columns(self) -> dict[str, Any]:
        """What `Judgments.from_columns` takes."""
        return {"item": self.item, "annotator": self.annotator, "answer": self.answer}


def simulate_crowd(
    *, items: int = 100, annotators: int = 12, answers: int = 3, per_item: int = 5, skill: tuple[float, float] = (8.0, 3.0), seed: int = 0
) -> Crowd:
    """People with tables of their own judge items whose answers are uniform.

    skill: Beta parameters of how often one is right beyond what their own pattern of guesses gives.
    """
    rng = np.random.default_rng(seed)
    able = rng.beta(*skill, size=(annotators, 1, 1))
    guesses = rng.dirichlet(np.ones(answers), size=(annotators, answers))
    confusion = able * np.eye(answers) + (1 - able) * guesses
    truth = rng.integers(answers, size=items)
    item = np.repeat(np.arange(items), per_item)
    annotator = np.concatenate([rng.permutation(annotators)[:per_item] for _ in range(items)])
    chances = confusion[annotator, truth[item]].cumsum(axis=1)
    answer = (chances > rng.random(len(item))[:, None]).argmax(axis=1)
    return Crowd(
        _named("item", item), _named("person", annotator), _named("answer", answer),
        dict(zip(_named("item", np.arange(items)), _named("answer", truth), strict=True)), confusion,
    )  # fmt: skip


def _named(kind: str, codes: NDArray[Any]) -> list[str]:
    return [f"{kind}-{code:05d}" for code in codes]
