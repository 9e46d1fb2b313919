"""A judge model beside people in a comparison: how far it agrees with them first, then what its votes add to theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.evaluation.judges import BothOrders, agreement_with_people, filled_in, labels_saved
from preceptor.evaluation.judges.agreement import FEWEST
from preceptor.evaluation.side_pairs import Pair
from preceptor.evaluation.side_votes import Match
from preceptor.statistics import mean, ppi_mean


def judged(match: Match, pairs: Sequence[Pair], verdicts: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """What a judge says of two models, and what that is worth beside people's votes.

    pairs: all of the comparison. verdicts: by pair, how probable the judge holds it that the first of the item's responses is
    better, as the item holds them and exchanged. People's interval alone stands beside the one with the judge: both are for one
    look, after as many votes as were planned; what decides a comparison is people's confidence sequence.
    """
    own = [pair for pair in pairs if set(pair.models) == {match.first, match.second} and not pair.is_same]
    orders = _orders([verdicts[pair.id] for pair in own])
    groups = [pair.group for pair in own]
    raw = orders.scores()
    turned = np.array([pair.side(match.first) for pair in own]) == 1
    scores = np.where(turned, 1 - raw, raw)
    found: dict[str, Any] = {"pairs": len(own), "missing": orders.missing}
    if orders.missing < len(own):
        found |= {"flip_rate": orders.flip_rate(groups), "first_place": orders.first_place(groups)}
    of_pair = dict(zip((pair.id for pair in own), scores.tolist(), strict=True))
    if len(match.values) >= FEWEST:
        agrees = agreement_with_people(match.values, [of_pair[pair.id] for pair in match.pairs], clusters=match.groups)
        found["agreement"] = agrees.figures()
    return found | _with_people(match, own, np.array([of_pair[pair.id] for pair in own]))


def _orders(verdicts: Sequence[tuple[float, float]]) -> BothOrders:
    table = np.array(verdicts, dtype=np.float64).reshape(-1, 2)
    return BothOrders(table[:, 0], table[:, 1])


def _with_people(match: Match, own: Sequence[Pair], scores: FloatArray) -> dict[str, Estimate | float]:
    """people: their win rate alone; with_judge: theirs and the judge's, over groups; labels_saved: what that is worth at most."""
    if len(match.values) < 2:
        return {}
    finished = {pair.id: value for pair, value in zip(match.pairs, match.values.tolist(), strict=True)}
    said, judge_of, rest = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    asked = {pair.group for pair in match.pairs}
    for pair, score in zip(own, filled_in(scores).tolist(), strict=True):
        if pair.id in finished:
            said[pair.group].append(finished[pair.id])
            judge_of[pair.group].append(score)
        elif pair.group not in asked:
            rest[pair.group].append(score)
    human, beside, others = ([float(np.mean(values)) for values in each.values()] for each in (said, judge_of, rest))
    found: dict[str, Estimate | float] = {"people": mean(human), "with_judge": ppi_mean(human, beside, others)}
    if np.ptp(human) and np.ptp(beside):
        found["labels_saved"] = labels_saved(float(np.corrcoef(human, beside)[0, 1]), len(human), len(others))
    return found
