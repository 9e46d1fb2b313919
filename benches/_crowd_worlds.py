"""Crowds with few judgments: real ones thinned, and simulated worlds that aren't what any of our models assumes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.consensus import Judgments

WORLDS = ("even", "skewed", "difficulty", "shared errors", "skewed, shared errors", "habits")
ITEMS, PEOPLE = 300, 30


def thinned(judgments: Judgments, per_item: int, seed: int) -> Judgments:
    """At most so many judgments an item, those that come first in an order drawn by seed."""
    order = np.lexsort((np.random.default_rng([seed, per_item]).random(len(judgments)), judgments.item_code))
    place = np.empty(len(judgments), dtype=np.int64)
    place[order] = np.arange(len(judgments)) - judgments.item_start[judgments.item_code[order]]
    return judgments.select_rows(place < per_item)


def simulated(world: str, answers: int, per_item: int, seed: int) -> tuple[Judgments, NDArray[Any]]:
    """A world's judgments, and the truth, (items,).

    skewed: each answer half as common as the one before. difficulty: right by a logistic of ability less difficulty. shared
    errors: on a third of the items people are 0.6 times as able, and four wrong answers in five are the item's own. habits:
    a fifth of the people always give one answer, and as many any.
    """
    rng = np.random.default_rng([seed, WORLDS.index(world), answers, per_item])
    common = 0.5 ** np.arange(answers) if "skewed" in world else np.ones(answers)
    truth = rng.choice(answers, size=ITEMS, p=common / common.sum())
    item = np.repeat(np.arange(ITEMS), per_item)
    person = np.concatenate([rng.permutation(PEOPLE)[:per_item] for _ in range(ITEMS)])
    right = rng.beta(6, 4, PEOPLE)[person]
    if world == "difficulty":
        logit = rng.normal(1, 0.8, PEOPLE)[person] - rng.normal(0, 1.2, ITEMS)[item]
        right = 1 / answers + (1 - 1 / answers) / (1 + np.exp(-logit))
    wrong = (truth[item] + rng.integers(1, answers, len(item))) % answers
    if "shared" in world:
        hard = rng.random(ITEMS) < 0.35
        own = (truth + rng.integers(1, answers, ITEMS)) % answers
        right = np.where(hard[item], 0.6 * right, right)
        wrong = np.where(hard[item] & (rng.random(len(item)) < 0.8), own[item], wrong)
    answer = np.where(rng.random(len(item)) < right, truth[item], wrong)
    if world == "habits":
        answer = np.where(person < PEOPLE // 5, person % answers, answer)
        any_answer = (person >= PEOPLE // 5) & (person < 2 * (PEOPLE // 5))
        answer = np.where(any_answer, rng.integers(answers, size=len(item)), answer)
    return Judgments.from_columns(item=item, annotator=person, answer=answer, answers=list(range(answers))), truth
