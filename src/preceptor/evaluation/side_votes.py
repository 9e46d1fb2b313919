"""People's votes about pairs, and the one number in [0, 1] that each prompt comes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.evaluation.side_pairs import Pair

TIE = "tie"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person about one pair. winner: a model, None for a tie; left, right: the models as they stood on the page."""

    pair: str
    annotator: str
    winner: str | None
    left: str
    right: str
    reasons: str = ""


@dataclass(frozen=True, eq=False)
class Match:
    """Two models on the prompts that people have finished with, in the order in which they did.

    pairs: (finished,). values: preference for `first`, (finished,) in [0, 1], the mean of each prompt's votes, a tie being half.
    same: prompts with one answer by both, which nobody is asked about. waiting: pairs without all their votes yet.
    """

    first: str
    second: str
    pairs: Sequence[Pair]
    values: FloatArray
    same: int
    waiting: int

    @property
    def groups(self) -> list[str]:
        """The group of each finished prompt."""
        return [pair.group for pair in self.pairs]


def votes_of(pairs: Iterable[Pair], items: Sequence[str], annotators: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> list[Vote]:
    """Votes from columns of judgments in the order of arrival; those about other items are left out.

    An answer that tells no order was given to the responses as the item holds them.
    """
    known = {pair.id: pair for pair in pairs}
    found = []
    for item, who, answer in zip(items, annotators, answers, strict=True):
        if (pair := known.get(item)) is not None:
            winner = None if answer["winner"] == TIE else pair.models[answer["winner"]]
            left, right = (pair.models[place] for place in answer.get("order") or (0, 1))
            found.append(Vote(item, who, winner, left, right, answer.get("reasons") or ""))
    return found


def match_of(first: str, second: str, pairs: Sequence[Pair], votes: Sequence[Vote], people: int) -> Match:
    """Two models' finished prompts: those with `people` votes; later votes about them change nothing, so that looking is allowed.

    A prompt's number is settled at its last planned vote and stands in the sequence from there.
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
    return Match(first, second, [own[id_] for id_ in finished], values, len(theirs) - len(own), len(own) - len(finished))


def by_group(match: Match, pairs: Sequence[Pair]) -> tuple[list[str], FloatArray]:
    """(groups, mean of each) of the groups all of whose asked prompts are finished, in the order in which they were.

    Groups are the units of a confidence sequence: prompts of one group hang together, and one value after the other has to be new.
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
