"""Rows with one answer, and the probability that people call it good: which of a question's answers mean that, and where the answer is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from preceptor.errors import UserError
from preceptor.models.forked import Fork
from preceptor.models.template import REASONS as UNFIT
from preceptor.models.template import Rendered, Unfit, render, turns_of
from preceptor.recipes.examples import Examples
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.recipe import Row, TrainingData

_CALLED_GOOD = (
    "good", "yes", "up", "true", "right", "correct", "ok", "okay", "positive", "like", "liked", "helpful", "useful", "acceptable",
    "accept", "accepted", "approved", "pass", "better", "desirable", "satisfied", "thumbs up", "1", "+", "👍", "✓",
)  # fmt: skip
FEWEST = 8  # rows from which the model's distance from its base is estimated at once: fewer tell nothing
REASONS = {
    **UNFIT,
    "no response": "the row has no response that was judged: neither a completion nor one response nor a last turn of the assistant",
    "too long": "prompt and response are longer than max_tokens: the response would be cut",
}


@dataclass(frozen=True, slots=True)
class Thumb:
    """What is learnt of a row. fork: its prompt, with its own answer and with the answer to another one; chance: that people call its
    answer good; reference: log-probability of both answers under the base, in nats; supervised: its learnt tokens.
    """

    fork: Fork
    chance: float
    supervised: Sequence[bool]
    reference: tuple[float, float] = (0.0, 0.0)


def goodness(snapshot: TrainingData, named: str | None) -> dict[str, float]:
    """How good each answer says that a response is: 1, or 0; ½ for the middle of a rating.

    named: the good ones, with commas between; None: of two answers the one that is called so, of a rating those above its middle.
    UserError where that can't be told, or where no answer is called so.
    """
    answers = snapshot.answers
    if named is not None:
        wanted = {part.strip() for part in named.split(",")}
        if unknown := sorted(wanted - set(answers)):
            raise UserError(f"no answer of the snapshot is called {unknown[0]!r}", f"good: one or more of {', '.join(answers)}")
        if wanted == set(answers):
            raise UserError("every answer is named as a good one: there is nothing to hold against", "name fewer: -o good=…")
        return {answer: float(answer in wanted) for answer in answers}
    if not answers or snapshot.target_kind == "multilabel":
        raise UserError(
            "the targets of this snapshot don't say of a response whether it is good", "freeze a question of kind choice or rating"
        )
    called = [answer for answer in answers if " ".join(re.split(r"[\s_-]+", answer.strip().lower())) in _CALLED_GOOD]
    if len(answers) == 2 and len(called) == 1:
        return {answer: float(answer in called) for answer in answers}
    if snapshot.target_kind == "ordinal":
        middle = (len(answers) - 1) / 2
        return {answer: 0.5 + 0.5 * float(np.sign(place - middle)) for place, answer in enumerate(answers)}
    raise UserError(f"which of {', '.join(map(repr, answers))} means that a response is good can't be told", "say it: -o good=…")


def response_of(content: Mapping[str, Any]) -> str | None:
    """The one response that people judged, or None."""
    responses = content.get("responses", ())
    if len(responses) == 1:
        return str(responses[0])
    if content.get("completion"):
        return str(content["completion"])
    turns = content.get("messages", ())
    said = turns[-1].get("content") if turns and turns[-1]["role"] == "assistant" else None
    return said if isinstance(said, str) and not responses else None


@dataclass(frozen=True)
class Judged:
    """A split's rows whose response can be read, with how good it is, and those that are left out, with their reasons."""

    rows: Sequence[tuple[Row, Rendered, float]]
    left_out: Sequence[tuple[str, str]]

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(reason for _, reason in self.left_out))


def judged(rows: Sequence[Row], good: Mapping[str, float], tokenizer: Any, max_tokens: int, targets: Literal["soft", "hard"]) -> Judged:
    """The rows as tokens. hard: whether the response is more probably good, as if people were sure."""
    found: list[tuple[Row, Rendered, float]] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        response = response_of(row.content)
        if response is None or row.weight <= 0:
            left_out.append((row.id, "no response" if response is None else "weight"))
            continue
        try:
            cut = render(tokenizer, turns_of(row.content, response), max_tokens)
        except Unfit as refused:
            left_out.append((row.id, refused.reason))
            continue
        chance = sum(share * good.get(answer, 0.0) for answer, share in row.target.items())
        found.append((row, cut, chance if targets == "soft" else 0.5 + 0.5 * float(np.sign(chance - 0.5))))
    return Judged(found, left_out)


def to_thumbs(found: Judged, split: str, max_tokens: int, seed: int) -> Examples:
    """The rows as examples, each prompt also with another row's answer; UserError when there are too few, or all are called the same."""
    told = told_reasons(found.reasons, REASONS)
    fewest = FEWEST if split == "train" else 2
    if len(found.rows) < fewest:
        why = f": {told}" if told else ""
        raise UserError(
            f"the {split} split has {len(found.rows)} responses that can be trained on, and kto needs {fewest} or more{why}",
            "judge more of them; preceptor train … --dry-run shows the rows",
        )
    chances = np.array([chance for _, _, chance in found.rows])
    if split == "train" and (chances.min() >= 0.5 or chances.max() <= 0.5):
        word = "half good" if chances.min() == chances.max() == 0.5 else "good" if chances.min() >= 0.5 else "bad"
        raise UserError(f"people call every training response {word}: there is nothing to hold against", "judge responses of both kinds")
    rows, cuts = [row for row, _, _ in found.rows], [cut for _, cut, _ in found.rows]
    thumbs = [
        Thumb(_fork(own, cuts[other], max_tokens), float(chance), own.supervised)
        for own, other, chance in zip(cuts, partners(cuts, seed), chances, strict=True)
    ]
    return Examples(
        tokens=[cut.tokens for cut in cuts], targets=thumbs, weights=np.array([row.weight for row in rows], dtype=np.float64),
        learnt=np.ones(len(rows), dtype=np.int64), ids=[row.id for row in rows], groups=[row.group for row in rows], left_out=found.reasons,
    )  # fmt: skip


def partners(cuts: Sequence[Rendered], seed: int) -> list[int]:
    """For each row another one, by seed: the next in a random order whose prompt is another, or the next where all prompts are one."""
    order = np.random.default_rng(seed).permutation(len(cuts)).tolist()
    prompts = [tuple(cut.tokens[: cut.prompt]) for cut in cuts]
    found = [0] * len(cuts)
    for at, row in enumerate(order):
        following = [order[(at + step) % len(order)] for step in range(1, len(order))]
        found[row] = next((other for other in following if prompts[other] != prompts[row]), following[0])
    return found


def shares(examples: Examples) -> tuple[float, float]:
    """How much of the rows' weight is good and how much is bad."""
    chances = np.array([thumb.chance for thumb in examples.targets])
    return float(chances @ examples.weights), float((1 - chances) @ examples.weights)


def _fork(own: Rendered, other: Rendered, max_tokens: int) -> Fork:
    """A prompt with its answer and with the beginning of another's that fits."""
    prompt, room = own.tokens[: own.prompt], max_tokens - own.prompt
    answers = own.tokens[own.prompt :], other.tokens[other.prompt :][:room]
    return Fork(prompt, answers, (own.supervised[own.prompt :], other.supervised[other.prompt :][:room]))
