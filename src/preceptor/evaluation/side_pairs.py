"""Several models' answers to the same prompts as pairs that people can compare blind: who is who isn't shown, and the order is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers, Asked


@dataclass(frozen=True)
class Pair:
    """Two models' answers to one prompt. models, responses: in the order in which the item holds them, drawn by a seeded hash.

    prompt: its id; text: what is shown of it; group: what prompts depend on together; metadata: slices.
    """

    id: str
    prompt: str
    text: str
    group: str
    models: tuple[str, str]
    responses: tuple[str, str]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Whether both answers are one text, so that there is nothing to prefer."""
        return self.responses[0].split() == self.responses[1].split()

    def side(self, model: str) -> int:
        """Where a model's answer stands among the responses."""
        return self.models.index(model)


def pairs_of(answers: Sequence[Answers], *, seed: int = 0) -> list[Pair]:
    """Each two models' answers to each prompt, in the order of the prompts; of each two, either stands first at half of the prompts.

    UserError for fewer than two models, one model twice, no prompts, other prompts than the first model's, empty answers.
    """
    _check(answers)
    turned = {each: _turned(answers[0].asked, *each, seed=seed) for each in combinations(range(len(answers)), 2)}
    found = []
    for row, asked in enumerate(answers[0].asked):
        for pair in combinations(range(len(answers)), 2):
            first, second = (answers[at] for at in pair)
            texts, step = (first.texts[row], second.texts[row]), -1 if row in turned[pair] else 1
            id_ = f"pair-{digest_of([seed, asked.id, asked.prompt, first.subject, second.subject, *texts])[:16]}"
            models = (first.subject, second.subject)[::step]
            found.append(Pair(id_, asked.id, asked.prompt, asked.group, models, texts[::step], asked.metadata))  # type: ignore[arg-type]
    return found


def _turned(asked: Sequence[Asked], first: int, second: int, *, seed: int) -> set[int]:
    """The prompts at which the second of two models stands first: half of them, by a hash that nobody sees, so that a liking for one
    place favours neither."""
    order = sorted(range(len(asked)), key=lambda row: hashlib.sha256(f"{seed}\0{first}\0{second}\0{asked[row].id}".encode()).digest())
    return set(order[: len(asked) // 2])


def sampled(pairs: Sequence[Pair], prompts: int | None, *, seed: int = 0) -> list[Pair]:
    """The pairs of that many prompts, drawn by a hash of their ids; all of them when None."""
    taken = set(_drawn(pairs, seed)[:prompts])
    return [pair for pair in pairs if pair.prompt in taken]


def in_waves(pairs: Sequence[Pair], prompts: int, *, seed: int = 0) -> list[list[Pair]]:
    """The pairs in parts of so many prompts, drawn as `sampled` draws: asked part by part, prompts are finished early and at random."""
    drawn = _drawn(pairs, seed)
    wave = {prompt: at // prompts for at, prompt in enumerate(drawn)}
    found: list[list[Pair]] = [[] for _ in range(0, len(drawn), prompts)]
    for pair in pairs:
        found[wave[pair.prompt]].append(pair)
    return found


def matches(models: Iterable[str]) -> list[tuple[str, str]]:
    """Each two models, in the order given."""
    return list(combinations(models, 2))


def _drawn(pairs: Sequence[Pair], seed: int) -> list[str]:
    """The prompts in an order that has nothing to do with them."""
    return sorted({pair.prompt for pair in pairs}, key=lambda prompt: hashlib.sha256(f"{seed}\0{prompt}".encode()).digest())


def _check(answers: Sequence[Answers]) -> None:
    names = [each.subject for each in answers]
    if len(names) < 2:
        raise UserError("a comparison needs two models or more", "preceptor compare A B, each a model or a file of recorded answers")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name!r} is compared with itself", "name two different models")
    first = answers[0]
    if not first.asked:
        raise UserError("there are no prompts to compare answers to", "--rows FILE names a file of prompts", where=first.subject)
    for each in answers:
        _check_prompts(first, each)
        empty = [asked.id for asked, text in zip(each.asked, each.texts, strict=True) if not text.strip()]
        if empty:
            message = f"{len(empty)} answers are empty, the first to prompt {empty[0]!r}"
            raise UserError(message, "let the model answer again, or leave these prompts out for all models", where=each.subject)


def _check_prompts(first: Answers, other: Answers) -> None:
    if len(other.texts) != len(other.asked):
        raise UserError(f"{len(other.texts)} answers to {len(other.asked)} prompts", "one answer a prompt", where=other.subject)
    mine, theirs = ({asked.id: asked.prompt for asked in each.asked} for each in (first, other))
    if len(mine) < len(first.asked):
        raise UserError("two prompts have the same id", "give each prompt an id of its own", where=first.subject)
    differ = [id_ for id_ in dict.fromkeys([*mine, *theirs]) if mine.get(id_) != theirs.get(id_)]
    if differ:
        message = f"the models answered different prompts: {len(differ)} differ, the first is {differ[0]!r}"
        raise UserError(message, f"both need an answer to each of the same prompts ({first.subject} has {len(mine)})", where=other.subject)
    if [asked.id for asked in first.asked] != [asked.id for asked in other.asked]:
        raise UserError("the models answered the same prompts in different orders", "sort the rows by id", where=other.subject)
