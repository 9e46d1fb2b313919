"""Pair the answers of several models for blind comparison, and collect people's votes.

Pairs don't show which model wrote which answer, and their order is randomized. The votes about each pair are reduced to one number in [0,
1] a prompt.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt
from preceptor.types import FloatArray, json_digest


@dataclass(frozen=True)
class ComparisonPair:
    """Two models' answers to one prompt.

    prompt: its id; text: the prompt as it is shown; group: the cluster of prompts that depend on each other; metadata: slices. models,
    responses: in the order in which the item holds them, randomized by a seeded hash.
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
        """Return the position of a model's answer among the responses."""
        return self.models.index(model)


def pair_answers(answers: Sequence[ModelAnswers], *, seed: int = 0) -> list[ComparisonPair]:
    """Pair every two models' answers to each prompt, in the order of the prompts.

    Of each two models, either comes first at half of the prompts. Raises UserError for fewer than two models, one model twice, no prompts,
    prompts that differ from the first model's, and empty answers.
    """
    _check_answers(answers)
    turned = {each: _swapped_prompts(answers[0].prompts, *each, seed=seed) for each in combinations(range(len(answers)), 2)}
    found = []
    for row, asked in enumerate(answers[0].prompts):
        for pair in combinations(range(len(answers)), 2):
            first, second = (answers[at] for at in pair)
            texts, step = (first.texts[row], second.texts[row]), -1 if row in turned[pair] else 1
            id_ = f"pair-{json_digest([seed, asked.id, asked.prompt, first.subject, second.subject, *texts])[:16]}"
            models = (first.subject, second.subject)[::step]
            found.append(ComparisonPair(id_, asked.id, asked.prompt, asked.group, models, texts[::step], asked.metadata))  # type: ignore[arg-type]
    return found


def _swapped_prompts(asked: Sequence[SuitePrompt], first: int, second: int, *, seed: int) -> set[int]:
    """Choose the prompts at which the second of two models comes first: half of them, by a hash.

    Nobody sees the hash, so a preference for one position favours neither model.
    """
    order = sorted(range(len(asked)), key=lambda row: hashlib.sha256(f"{seed}\0{first}\0{second}\0{asked[row].id}".encode()).digest())
    return set(order[: len(asked) // 2])


def sample_prompts(pairs: Sequence[ComparisonPair], prompts: int | None, *, seed: int = 0) -> list[ComparisonPair]:
    """Return the pairs of that many prompts, sampled by a hash of their ids; all of them when None."""
    taken = set(_shuffled_prompts(pairs, seed)[:prompts])
    return [pair for pair in pairs if pair.prompt in taken]


def split_into_waves(pairs: Sequence[ComparisonPair], prompts: int, *, seed: int = 0) -> list[list[ComparisonPair]]:
    """Split the pairs into waves of that many prompts, sampled as `sample_prompts` does.

    Asked wave by wave, prompts are finished early and in random order.
    """
    drawn = _shuffled_prompts(pairs, seed)
    wave = {prompt: at // prompts for at, prompt in enumerate(drawn)}
    found: list[list[ComparisonPair]] = [[] for _ in range(0, len(drawn), prompts)]
    for pair in pairs:
        found[wave[pair.prompt]].append(pair)
    return found


def model_matches(models: Iterable[str]) -> list[tuple[str, str]]:
    """Return every two models, in the order given."""
    return list(combinations(models, 2))


def _shuffled_prompts(pairs: Sequence[ComparisonPair], seed: int) -> list[str]:
    """Return the prompts in an order independent of their content."""
    return sorted({pair.prompt for pair in pairs}, key=lambda prompt: hashlib.sha256(f"{seed}\0{prompt}".encode()).digest())


def _check_answers(answers: Sequence[ModelAnswers]) -> None:
    names = [each.subject for each in answers]
    if len(names) < 2:
        raise UserError("a comparison needs two models or more", "preceptor compare A B, each a model or a file of recorded answers")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name!r} is compared with itself", "name two different models")
    first = answers[0]
    if not first.prompts:
        raise UserError("there are no prompts to compare answers to", "--rows FILE names a file of prompts", where=first.subject)
    for each in answers:
        _check_prompts(first, each)
        empty = [asked.id for asked, text in zip(each.prompts, each.texts, strict=True) if not text.strip()]
        if empty:
            message = f"{len(empty)} answers are empty, the first to prompt {empty[0]!r}"
            raise UserError(message, "let the model answer again, or leave these prompts out for all models", where=each.subject)


def _check_prompts(first: ModelAnswers, other: ModelAnswers) -> None:
    if len(other.texts) != len(other.prompts):
        raise UserError(f"{len(other.texts)} answers to {len(other.prompts)} prompts", "one answer a prompt", where=other.subject)
    mine, theirs = ({asked.id: asked.prompt for asked in each.prompts} for each in (first, other))
    if len(mine) < len(first.prompts):
        raise UserError("two prompts have the same id", "give each prompt an id of its own", where=first.subject)
    differ = [id_ for id_ in dict.fromkeys([*mine, *theirs]) if mine.get(id_) != theirs.get(id_)]
    if differ:
        message = f"the models answered different prompts: {len(differ)} differ, the first is {differ[0]!r}"
        raise UserError(message, f"both need an answer to each of the same prompts ({first.subject} has {len(mine)})", where=other.subject)
    if [asked.id for asked in first.prompts] != [asked.id for asked in other.prompts]:
        raise UserError("the models answered the same prompts in different orders", "sort the rows by id", where=other.subject)


TIE_ANSWER = "tie"


@dataclass(frozen=True, slots=True)
class PreferenceVote:
    """One person's vote about one pair.

    winner: a model, None for a tie; left, right: the models as they were shown on the page; reasons: what the person wrote, if anything.
    """

    pair: str
    annotator: str
    winner: str | None
    left: str
    right: str
    reasons: str = ""


@dataclass(frozen=True, eq=False)
class ModelMatch:
    """Two models on the prompts that people have finished, in the order in which they did.

    pairs: (finished,). values: preference for `first`, (finished,) in [0, 1], the mean of each prompt's votes, a tie being half. same:
    prompts with the same answer by both, about which nobody is asked. waiting: pairs still without all their votes.
    """

    first: str
    second: str
    pairs: Sequence[ComparisonPair]
    values: FloatArray
    same: int
    waiting: int

    @property
    def groups(self) -> list[str]:
        """The group of each finished prompt."""
        return [pair.group for pair in self.pairs]


def read_votes(
    pairs: Iterable[ComparisonPair], items: Sequence[str], annotators: Sequence[str], answers: Sequence[Mapping[str, Any]]
) -> list[PreferenceVote]:
    """Read votes from columns of judgments in the order of arrival; those about other items are left out.

    An answer that records no order was given to the responses as the item holds them.
    """
    known = {pair.id: pair for pair in pairs}
    found = []
    for item, who, answer in zip(items, annotators, answers, strict=True):
        if (pair := known.get(item)) is not None:
            winner = None if answer["winner"] == TIE_ANSWER else pair.models[answer["winner"]]
            left, right = (pair.models[place] for place in answer.get("order") or (0, 1))
            found.append(PreferenceVote(item, who, winner, left, right, answer.get("reasons") or ""))
    return found


def build_match(first: str, second: str, pairs: Sequence[ComparisonPair], votes: Sequence[PreferenceVote], people: int) -> ModelMatch:
    """Build the match of two models from their finished prompts: those with `people` votes.

    Later votes about them change nothing, so that interim looks are allowed. A prompt's value is fixed at its last planned vote, and its
    position in the sequence is that of this vote.
    """
    theirs = [pair for pair in pairs if set(pair.models) == {first, second}]
    own = {pair.id: pair for pair in theirs if not pair.is_same}
    said: dict[str, list[float]] = defaultdict(list)
    finished: list[str] = []
    for vote in votes:
        if vote.pair in own and len(said[vote.pair]) < people:
            said[vote.pair].append(0.5 if vote.winner is None else float(vote.winner == first))
            if len(said[vote.pair]) == people:
                finished.append(vote.pair)
    values = np.array([np.mean(said[id_]) for id_ in finished], dtype=np.float64)
    return ModelMatch(first, second, [own[id_] for id_ in finished], values, len(theirs) - len(own), len(own) - len(finished))


def group_means(match: ModelMatch, pairs: Sequence[ComparisonPair]) -> tuple[list[str], FloatArray]:
    """Return (groups, mean of each) for the groups all of whose queued prompts are finished, in the order in which they were.

    Groups are the units of a confidence sequence: prompts of one group depend on each other, and each value of the sequence must be new.
    """
    left: dict[str, int] = defaultdict(int)
    for pair in pairs:
        left[pair.group] += set(pair.models) == {match.first, match.second} and not pair.is_same
    sums: dict[str, list[float]] = defaultdict(list)
    names, means = [], []
    for pair, value in zip(match.pairs, match.values.tolist(), strict=True):
        sums[pair.group].append(value)
        if len(sums[pair.group]) == left[pair.group]:
            names.append(pair.group)
            means.append(float(np.mean(sums[pair.group])))
    return names, np.array(means, dtype=np.float64)
