"""A snapshot's rows as pairs of answers, each with the probability that the one is better than the other.

A comparison gives the posterior over which response is best; a correction says that what a person wrote is better than the
draft that they were shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.recipes.examples import top_answer
from preceptor.recipes.recipe import Row

TIE = "tie"
TIE_WEIGHT = 0.25  # of a pair that people call equal: it holds both answers together and teaches no order
LEAST = 0.02  # probability that either is best of several, below which people said nothing of a pair
REASONS = {
    "no pair": "the row holds no two answers to compare: neither two responses nor a draft and its correction",
    "the same twice": "both answers are the same text, or the correction changed nothing",
    "undecided": "people are as good as undecided, so that the pair says nothing",
    "tie": "people call both answers equal, which only loss=soft learns from",
    "too noisy": "the preference is less certain than 70 %, where loss=robust grows without bound",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one content (`prompt` or `messages`).

    id: the row's. probability: that `chosen` is better, from 0.5 to 1, half of `tied`, the probability that both are equal, in it.
    tie: people call them equal. corrected: `chosen` is what a person made of `rejected`, an answer to be learnt for its own sake.
    first: of the item's responses `chosen` stands first.
    """

    id: str
    content: Mapping[str, Any]
    chosen: str
    rejected: str
    probability: float
    weight: float
    group: str
    tie: bool = False
    corrected: bool = False
    first: bool = False
    tied: float = 0.0


def pairs_of(row: Row) -> list[Pair]:
    """The row's pairs, of several first those of the best answer; none where it holds no two answers.

    Of two responses, half of the tie's probability goes to each. Of more, p_i is the probability that i is best, and by Luce's
    choice axiom (1959) i is better than j with p_i / (p_i + p_j); the pair weighs (p_i + p_j) / (k − 1), so that all pairs of a row
    weigh what the row does.
    """
    responses = row.content.get("responses", ())
    if len(responses) > 1 and all(answer == TIE or answer.isdecimal() for answer in row.target):
        return _compared(row, [str(response) for response in responses])
    if (draft := draft_of(row.content)) is not None:
        return [Pair(row.id, row.content, top_answer(row), draft, 1.0, row.weight, row.group, corrected=True)]
    return []


def draft_of(content: Mapping[str, Any]) -> str | None:
    """The answer that a person was shown to correct: the item's only response, or what a snapshot kept of it."""
    responses = content.get("responses", ())
    return str(responses[0]) if len(responses) == 1 else content.get("draft")


def answers_of(row: Row) -> list[str]:
    """The answers that a row's pairs are made of, each once, in their order."""
    return list(dict.fromkeys(side for pair in pairs_of(row) for side in (pair.chosen, pair.rejected)))


def said_best(row: Row) -> str:
    """The row's best answer as a text: the response that people prefer, or else the answer itself."""
    pairs = pairs_of(row)
    return pairs[0].chosen if pairs else top_answer(row)


def _compared(row: Row, responses: Sequence[str]) -> list[Pair]:
    count, tie = len(responses), row.target.get(TIE, 0.0)
    shares = [row.target.get(str(place), 0.0) + tie / count for place in range(count)]
    if tie > 0 and top_answer(row) == TIE:
        shares = [1 / count] * count
    places = sorted(range(count), key=lambda place: -shares[place])  # of equals the earlier is called chosen
    pairs = []
    for at, better in enumerate(places):
        for worse in places[at + 1 :]:
            both = shares[better] + shares[worse]
            if both < LEAST:
                continue
            found = Pair(
                row.id, row.content, responses[better], responses[worse], shares[better] / both, row.weight * both / (count - 1), row.group,
                tie=top_answer(row) == TIE, first=better < worse, tied=2 * tie / count / both,
            )  # fmt: skip
            pairs.append(found)
    return pairs
