"""A judge model beside people in a comparison: how far it agrees with them first, then what its votes add to theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.domain import Estimate
from preceptor.evaluation.judges import BothOrders, agreement_with_people, filled_in, labels_saved
from preceptor.evaluation.judges.agreement import FEWEST
from preceptor.evaluation.side_pairs import Pair
from preceptor.evaluation.side_votes import Match, by_group
from preceptor.statistics import mean, ppi_mean, ppi_sequence


def judged(
    match: Match, asked: Sequence[Pair], pairs: Sequence[Pair], verdicts: Mapping[str, tuple[float, float]], confidence: float
) -> dict[str, Any]:
    """What a judge says of two models, and what that is worth beside people's votes.

    pairs: all of the comparison, of which people are asked about `asked`. verdicts: by pair, how probable the judge holds it that
    the first of the item's responses is better, as the item holds them and exchanged.

    people, with_judge: the win rate from people's votes alone, and with the judge's on all prompts, each for one look after a
    planned number of votes. at_any_look: with the judge's, as a confidence sequence over groups.
    """
    own = [pair for pair in pairs if set(pair.models) == {match.first, match.second} and not pair.is_same]
    table = np.array([verdicts[pair.id] for pair in own], dtype=np.float64).reshape(-1, 2)
    orders, groups = BothOrders(table[:, 0], table[:, 1]), [pair.group for pair in own]
    found: dict[str, Any] = {"pairs": len(own), "missing": orders.missing}
    if orders.missing < len(own):
        found |= {"flip_rate": orders.flip_rate(groups), "first_place": orders.first_place(groups)}
    turned = np.array([pair.side(match.first) for pair in own]) == 1
    scores = np.where(turned, 1 - orders.scores(), orders.scores())
    of_pair = dict(zip((pair.id for pair in own), scores.tolist(), strict=True))
    if len(match.values) < FEWEST:
        return found
    agrees = agreement_with_people(match.values, [of_pair[pair.id] for pair in match.pairs], clusters=match.groups)
    of_pair = dict(zip(of_pair, filled_in(np.array(list(of_pair.values()))).tolist(), strict=True))
    return (
        found | {"agreement": agrees.figures()} | _at_one_look(match, own, of_pair) | _at_any_look(match, asked, own, of_pair, confidence)
    )


def _at_one_look(match: Match, own: Sequence[Pair], score: Mapping[str, float]) -> dict[str, Estimate | float]:
    """The win rate over prompts, and how many times the labels it is worth at most; nothing from a judge that says one thing."""
    finished = {pair.id for pair in match.pairs}
    rest = [pair for pair in own if pair.id not in finished]
    beside = [score[pair.id] for pair in match.pairs]
    others = [score[pair.id] for pair in rest]
    found: dict[str, Estimate | float] = {"people": mean(match.values, clusters=match.groups)}
    if not np.ptp([*beside, *others]):
        return found
    there = [pair.group for pair in rest]
    found["with_judge"] = ppi_mean(match.values, beside, others, clusters_on_human=match.groups, clusters_on_rest=there)
    if np.ptp(match.values) and np.ptp(beside):
        found["labels_saved"] = labels_saved(float(np.corrcoef(match.values, beside)[0, 1]), len(beside), len(others))
    return found


def _at_any_look(
    match: Match, asked: Sequence[Pair], own: Sequence[Pair], score: Mapping[str, float], confidence: float
) -> dict[str, Estimate]:
    """The win rate over groups, each new one a step of a sequence; nothing from a judge that says one thing."""
    names, human = by_group(match, asked)
    by_name = defaultdict[str, list[float]](list)
    for pair in own:
        by_name[pair.group].append(score[pair.id])
    begun = {pair.group for pair in match.pairs}
    beside = [float(np.mean(by_name[name])) for name in names]
    rest = [float(np.mean(values)) for name, values in by_name.items() if name not in begun]
    return {"at_any_look": ppi_sequence(human, beside, rest, confidence)} if len(human) and np.ptp([*beside, *rest]) else {}
