"""Simulate annotators: who answers what about which item, reproducible by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SimulatedCrowd:
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
        """The columns that `Judgments.from_columns` takes."""
        return {"item": self.item, "annotator": self.annotator, "answer": self.answer}


def simulate_crowd(
    *, items: int = 100, annotators: int = 12, answers: int = 3, per_item: int = 5, skill: tuple[float, float] = (8.0, 3.0), seed: int = 0
) -> SimulatedCrowd:
    """Simulate annotators with individual confusion matrices who judge items whose true answers are uniform.

    skill: Beta parameters of how often one is right beyond what the individual pattern of guesses gives.
    """
    rng = np.random.default_rng(seed)
    able = rng.beta(*skill, size=(annotators, 1, 1))
    guesses = rng.dirichlet(np.ones(answers), size=(annotators, answers))
    confusion = able * np.eye(answers) + (1 - able) * guesses
    return _draw_judgments(rng.integers(answers, size=items), confusion, per_item, rng)


def simulate_misleading_crowd(*, items: int = 150, annotators: int = 60, per_item: int = 39, seed: int = 0) -> SimulatedCrowd:
    """Simulate annotators most of whom take one answer for another, so that the majority is wrong and only their confusion matrices help.

    There are four answers in two pairs. Where the first of a pair is right, 93 in 100 answer it; where the second is, 44 answer it and 50
    the first. Each annotator's rows are sampled around these (Dirichlet, worth 20 answers).
    """
    rng = np.random.default_rng(seed)
    common = np.full((4, 4), 0.02)
    for first, second in ((0, 1), (2, 3)):
        common[first, first], common[second, second], common[second, first] = 0.93, 0.44, 0.5
    common /= common.sum(axis=1, keepdims=True)
    confusion = np.stack([[rng.dirichlet(20 * row) for row in common] for _ in range(annotators)])
    return _draw_judgments(rng.integers(4, size=items), confusion, per_item, rng)


def simulate_answers(
    truth: NDArray[np.int64], answers: int, accuracy: float | NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Sample answers 0 … answers−1 of people who are right with probability `accuracy` and else give any of the wrong ones.

    truth: (people, items). accuracy: anything that broadcasts to it, so that people differ, or drift from item to item.
    """
    other = (truth + rng.integers(1, answers, truth.shape)) % answers
    return np.where(rng.random(truth.shape) < accuracy, truth, other)


def random_annotators(truth: NDArray[np.int64], answers: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sample the answers of careless people who answer at random."""
    return rng.integers(answers, size=truth.shape)


def constant_annotators(truth: NDArray[np.int64], answers: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sample the answers of careless people who each always give one answer."""
    return np.broadcast_to(rng.integers(answers, size=(len(truth), 1)), truth.shape)


def adversarial_annotators(truth: NDArray[np.int64], answers: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sample the answers of people who know the answer nine times in ten and give another."""
    return simulate_answers(truth, answers, 0.1, rng)


def drifting_annotators(
    truth: NDArray[np.int64],
    answers: int,
    rng: np.random.Generator,
    *,
    start: float = 0.9,
    end: float = 0.5,
    over: tuple[int, int] = (0, 100),
) -> NDArray[np.int64]:
    """Sample the answers of people whose accuracy changes linearly from `start` to `end` between two of their items (`over`)."""
    return simulate_answers(truth, answers, np.interp(np.arange(truth.shape[1]), over, (start, end)), rng)


def _draw_judgments(truth: NDArray[np.int64], confusion: NDArray[np.float64], per_item: int, rng: np.random.Generator) -> SimulatedCrowd:
    """Sample the answers of `per_item` of the people, chosen again for each item, by their confusion matrices."""
    item = np.repeat(np.arange(len(truth)), per_item)
    annotator = np.concatenate([rng.permutation(len(confusion))[:per_item] for _ in truth])
    chances = confusion[annotator, truth[item]].cumsum(axis=1)
    answer = (chances > rng.random(len(item))[:, None]).argmax(axis=1)
    return SimulatedCrowd(
        _format_ids("item", item), _format_ids("person", annotator), _format_ids("answer", answer),
        dict(zip(_format_ids("item", np.arange(len(truth))), _format_ids("answer", truth), strict=True)), confusion,
    )  # fmt: skip


def _format_ids(kind: str, codes: NDArray[Any]) -> list[str]:
    return [f"{kind}-{code:05d}" for code in codes]
