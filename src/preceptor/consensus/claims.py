"""Consensus on the claims of a response and their verdicts.

Annotators either marked given claims or each split the response into claims of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from preceptor.consensus.aggregators import aggregate, aggregators, score_annotators
from preceptor.consensus.distances import trigram_profiles
from preceptor.consensus.judgments import GOLD_DOUBT, GoldAnswers, Judgments
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import ComposedConsensus

ClaimMarks = tuple[tuple[Any, Any], ...]

CLAIM_SIMILARITY = 0.5  # share of the united length, or similarity of texts, from which on two claims are the same


@aggregators.register("claims")
@dataclass(frozen=True)
class ClaimAggregator:
    """The posterior of each claim's verdict, by an aggregator of single choices; answers are tuples of (claim, verdict).

    A claim is a number where all annotators marked the same claims, else a passage (start, end) or a text. Passages that share half
    of their united length, and texts of similarity one half, are one claim, under its most frequent name; it is kept where at least
    half of the item's annotators marked it. The certainty is the probability that all verdicts are right, times the share of the
    annotators' marks that belong to kept claims.
    """

    class Options(OptionsBase):
        verdicts: tuple[Any, ...] = Field((), description="all verdicts, those that nobody gave too")
        method: str = Field("auto", description="the aggregator of a claim's verdicts")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> ComposedConsensus:
        """Fit the judgments and return the claims of each item with their verdicts.

        gold: item -> its claims with their verdicts. An item without judgments has no claims, at certainty 0.
        """
        j = judgments
        answers = [parse_claims(answer) for answer in j.answers]
        keys = {j.item_index[item]: parse_claims(key) for item, key in (gold or {}).items() if item in j.item_index}
        votes = _collect_votes(j, answers)
        posterior, verdicts = self._verdicts(votes, j)
        found: list[list[tuple[Any, int]]] = [[] for _ in j.items]
        for number, claim in enumerate(votes.claims):
            if 2 * claim.marked >= claim.people - 1e-9:
                found[claim.item].append((claim.name, number))
        composed, certainty, parts = [], [], []
        for code, kept in enumerate(found):
            kept.sort(key=lambda pair: (str(type(pair[0])), pair[0]))
            told = [posterior[number] for _, number in kept]
            marks = keys.get(code, tuple((name, verdicts[int(p.argmax())]) for (name, _), p in zip(kept, told, strict=True)))
            composed.append(marks)
            certainty.append(
                1 - GOLD_DOUBT
                if code in keys
                else votes.kept_share(code, kept, int(j.counts[code])) * float(np.prod([p.max() for p in told]))
            )
            parts.append({"verdicts": [dict(zip(map(str, verdicts), p.round(4).tolist(), strict=True)) for p in told]})
        score = [_verdict_agreement(answers[a], composed[i]) for a, i in zip(j.answer_code, j.item_code, strict=True)]
        return ComposedConsensus.from_answers(
            j.items, [claims_to_json(marks) for marks in composed], certainty, j.counts, method="claims", parts=tuple(parts),
            annotators=score_annotators(j, np.array(score, dtype=np.float64)),
        )  # fmt: skip

    def _verdicts(self, votes: ClaimVotes, j: Judgments) -> tuple[np.ndarray, Sequence[Any]]:
        """Return the posterior of each claim, (claims, verdicts), and the verdicts."""
        if not votes.claims:
            return np.zeros((0, 1)), ("",)
        seen = {verdict for *_, verdict in votes.rows} - set(self.options.verdicts)
        verdicts = (*self.options.verdicts, *sorted(seen, key=str))
        claim, annotator, verdict = zip(*votes.rows, strict=True)
        told = Judgments.from_columns(item=claim, annotator=annotator, answer=verdict, answers=verdicts, repeats=j.repeats)
        return aggregate(told, self.options.method).posterior, verdicts


class MarkedClaim(NamedTuple):
    """One claim of an item (by code) under its most frequent name.

    marked: the votes that marked it. people: all votes on the item.
    """

    item: int
    name: Any
    marked: float
    people: float


class ClaimVotes(NamedTuple):
    """All claims, and rows of (claim, annotator code, verdict)."""

    claims: list[MarkedClaim]
    rows: list[tuple[int, int, Any]]

    def kept_share(self, item: int, kept: Sequence[tuple[Any, int]], people: int) -> float:
        """Return the share of an item's marks that belong to the claims kept.

        Where nothing was marked it is people / (people + 1), since one more annotator may mark something.
        """
        here = [claim.marked for claim in self.claims if claim.item == item]
        return sum(self.claims[number].marked for _, number in kept) / sum(here) if here else people / (people + 1)


def _collect_votes(j: Judgments, answers: Sequence[ClaimMarks]) -> ClaimVotes:
    claims: list[MarkedClaim] = []
    rows: list[tuple[int, int, Any]] = []
    for code in range(j.n_items):
        here = range(int(j.item_start[code]), int(j.item_start[code + 1]))
        marks = [(row, name, verdict) for row in here for name, verdict in answers[j.answer_code[row]]]
        people = float(j.weight[here.start : here.stop].sum())
        for group in _group_claims([name for _, name, _ in marks]):
            names: Counter[Any] = Counter()
            for k in group:
                names[marks[k][1]] += j.weight[marks[k][0]]
            name = min(names, key=lambda name: (-round(names[name], 9), str(name)))
            owners = {marks[k][0] for k in group}
            rows += [(len(claims), int(j.annotator_code[marks[k][0]]), marks[k][2]) for k in group]
            claims.append(MarkedClaim(code, name, float(sum(j.weight[row] for row in owners)), people))
    return ClaimVotes(claims, rows)


def _group_claims(names: Sequence[Any]) -> list[list[int]]:
    """Return the positions of names that are the same claim: equal numbers, else passages or texts similar to the most frequent one."""
    count = Counter(names)
    order = sorted(count, key=lambda name: (-count[name], str(name)))
    alike = _claim_similarity(order)
    leader: dict[Hashable, int] = {}
    for k, name in enumerate(order):
        near = [lead for lead in sorted(set(leader.values())) if alike[k, lead] >= CLAIM_SIMILARITY]
        leader[name] = max(near, key=lambda lead: (alike[k, lead], -lead)) if near else k
    groups: dict[int, list[int]] = {}
    for place, name in enumerate(names):
        groups.setdefault(leader[name], []).append(place)
    return [groups[lead] for lead in sorted(groups)]


def _claim_similarity(names: Sequence[Any]) -> np.ndarray:
    if names and all(isinstance(name, str) for name in names):
        profile = trigram_profiles(names)
        return np.asarray((profile @ profile.T).toarray())
    if names and all(isinstance(name, tuple) for name in names):
        start, end = np.array(names, dtype=np.float64).T
        shared = np.maximum(np.minimum(end[:, None], end) - np.maximum(start[:, None], start), 0.0)
        return np.asarray(shared / (np.maximum(end[:, None], end) - np.minimum(start[:, None], start)))
    return np.eye(len(names))


def _verdict_agreement(given: ClaimMarks, composed: ClaimMarks) -> float:
    """Return the share of composed claims to which this answer gives the same verdict; NaN where nothing was composed."""
    if not composed:
        return float("nan")
    groups = _group_claims([name for name, _ in (*composed, *given)])
    verdicts = [verdict for _, verdict in (*composed, *given)]
    same = [any(k < len(composed) <= m and verdicts[k] == verdicts[m] for k in group for m in group) for group in groups]
    return sum(same) / len(composed)


def parse_claims(answer: Any) -> ClaimMarks:
    """Parse an answer into (claim, verdict) pairs, from such pairs or from stored dicts; raises UserError for anything else."""
    try:
        pairs = [_claim_verdict(mark) if isinstance(mark, Mapping) else tuple(mark) for mark in answer]
        return tuple((tuple(name) if isinstance(name, list) else name, verdict) for name, verdict in pairs)
    except (TypeError, ValueError, KeyError):
        raise UserError(f"claims are (claim, verdict), not {answer!r:.60}", "give a tuple of such tuples as answer") from None


def claims_to_json(marks: ClaimMarks) -> list[dict[str, Any]]:
    """Return claims in the form in which answers are stored."""
    named = [({"start": name[0], "end": name[1]} if isinstance(name, tuple) else {"claim": name}, verdict) for name, verdict in marks]
    return [{**name, "verdict": verdict, "source": None} for name, verdict in named]


def _claim_verdict(mark: Mapping[str, Any]) -> tuple[Any, Any]:
    return (mark["claim"] if "claim" in mark else (mark["start"], mark["end"])), mark["verdict"]
