"""Answers of made-up models, and made-up people who compare them: who is better is in the words, and people err and like the left."""

from __future__ import annotations

import random
from typing import Any

from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt
from preceptor.types import json_digest

NAMES = ("falcon-secret", "otter-secret", "heron-secret")


def answers_of(name: str, count: int, quality: float, *, seed: int = 0, groups: int | None = None) -> ModelAnswers:
    """Each answer holds a word that says how good it is, from 0 to 99, drawn around `quality`."""
    rng = random.Random(f"{name}/{seed}")
    asked, texts = [], []
    for number in range(count):
        topic = ("returns", "payment")[number % 2]
        group = f"g-{number % groups}" if groups else f"q-{number}"
        asked.append(SuitePrompt(f"q-{number}", group, ({"role": "user", "content": f"Question {number}?"},), metadata={"topic": topic}))
        good = min(99, max(0, round(rng.gauss(quality, 15))))
        texts.append(f"answer worth {good} points" + " indeed" * rng.randrange(4))
    return ModelAnswers(name, asked, texts, {"temperature": 0.0}, json_digest([name, texts]))


def worth(text: str) -> int:
    return int(text.split()[2])


class Person:
    """Sees the better answer with some probability, likes what stands left by some points, calls a draw what is near."""

    def __init__(self, name: str, *, right: float = 0.9, left: float = 0.0, near: int = 2, seed: int = 0) -> None:
        self.name, self.right, self.left, self.near = name, right, left, near
        self.rng = random.Random(f"{name}/{seed}")

    def answer(self, content: dict[str, Any]) -> dict[str, Any]:
        order = [0, 1] if self.rng.random() < 0.5 else [1, 0]  # as the page draws it for each person and item
        left, right = (worth(content["responses"][place]) for place in order)
        gap = left - right + self.left
        if abs(gap) <= self.near:
            return {"winner": "tie", "order": order}
        sees = gap > 0 if self.rng.random() < self.right else gap <= 0
        return {"winner": order[0] if sees else order[1], "order": order}


def work(project: Any, people: list[Person], question: str, most: int | None = None) -> list[Any]:
    """People take turns until nothing is left, or so many votes are given; what was handed to them."""
    seen: list[Any] = []
    idle = 0
    while idle < len(people) and (most is None or len(seen) < most):
        person = people[len(seen) % len(people)] if not idle else people[(len(seen) + idle) % len(people)]
        project.add_annotator(person.name)
        found = project.next(person.name, question)
        if found is None:
            idle += 1
            continue
        idle = 0
        seen.append(found)
        project.submit(found.slot, person.name, person.answer(dict(found.content)), key=f"{person.name}/{found.slot}")
    return seen
