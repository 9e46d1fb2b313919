"""Consensus on free texts: of each item's texts, the one that is most similar to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field
from scipy import sparse

from preceptor.consensus.aggregators import aggregators, score_annotators
from preceptor.consensus.distances import cosine_similarities, trigram_profiles
from preceptor.consensus.judgments import GOLD_DOUBT, Floats, GoldAnswers, Integers, Judgments
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import ComposedConsensus

TRUST_ROUNDS = 5  # most rounds of weighting annotators by how similar their texts are to the chosen ones


@aggregators.register("similar")
@dataclass(frozen=True)
class SimilarTextAggregator:
    """Each item's text with the greatest mean similarity to those of others, weighted by how similar their texts are to chosen ones.

    After RASA (Li and Fukumoto 2019), with the similarity of `distances.trigram_profiles` and never a text's similarity to itself or
    to another text of its author. The certainty is the expected similarity of a further annotator's text to the chosen one: the mean
    similarity of the others' texts to it, with pseudo-texts at the crowd's mean. It is not a probability of being right; for that,
    have annotators choose among the texts.
    """

    class Options(OptionsBase):
        pseudo: float = Field(1.0, ge=0, description="texts at the crowd's mean similarity that each item's certainty starts from")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> ComposedConsensus:
        """Choose a text for each item; answers are texts, and an item without any has an empty one.

        gold: item -> the text, or {"text": …}.
        """
        j = judgments
        texts = [_answer_text(answer) for answer in j.answers]
        pairs = TextPairs.from_judgments(j, trigram_profiles(texts))
        chosen, score = _choose_texts(j, pairs)
        crowd = (pairs.weight @ pairs.alike + 0.5) / (pairs.weight.sum() + 1)  # one pseudo-pair of similarity 0.5
        likeness, others = pairs.similarity_to(chosen, j)
        certainty = (likeness + self.options.pseudo * crowd) / np.maximum(others + self.options.pseudo, 1e-12)
        certainty[chosen < 0] = 0.0
        composed = [texts[j.answer_code[row]] if row >= 0 else "" for row in chosen]
        authors = [j.annotators[j.annotator_code[row]] if row >= 0 else None for row in chosen]
        for item, key in (gold or {}).items():
            if item in j.item_index:
                code = j.item_index[item]
                composed[code], certainty[code], authors[code] = _answer_text(key), 1 - GOLD_DOUBT, None
        return ComposedConsensus.from_answers(
            j.items, [{"text": text, "from": None} for text in composed], certainty, j.counts, method="similar",
            annotators=score_annotators(j, score), parts=tuple({"author": author} for author in authors),
        )  # fmt: skip


class TextPairs(NamedTuple):
    """Pairs of rows about one item by two annotators, in both directions.

    first, second: row numbers. alike: their similarity, 0 to 1. weight: in pairs of votes. All of shape (pairs,).
    """

    first: Integers
    second: Integers
    alike: Floats
    weight: Floats

    @classmethod
    def from_judgments(cls, j: Judgments, profile: sparse.csr_array) -> TextPairs:
        """Build all pairs, with similarities from the texts' trigram profiles."""
        size = np.diff(j.item_start)
        first = np.repeat(np.arange(len(j)), size[j.item_code])
        second = np.arange(len(first)) - np.repeat(np.cumsum(size[j.item_code]) - size[j.item_code], size[j.item_code])
        second += j.item_start[j.item_code[first]]
        others = j.annotator_code[first] != j.annotator_code[second]
        first, second = first[others], second[others]
        alike = cosine_similarities(profile, j.answer_code[first].astype(np.int64), j.answer_code[second].astype(np.int64))
        return cls(first, second, alike, j.weight[first] * j.weight[second])

    def similarity_to(self, chosen: Integers, j: Judgments) -> tuple[Floats, Floats]:
        """Return the summed similarity of others' texts to each item's chosen row, and the votes of those texts; (items,) each."""
        is_chosen = np.zeros(len(j), dtype=bool)
        is_chosen[chosen[chosen >= 0]] = True
        here = is_chosen[self.first]
        item, weight = j.item_code[self.first[here]], j.weight[self.second[here]]
        shared, others = (np.bincount(item, values, j.n_items).astype(np.float64) for values in (weight * self.alike[here], weight))
        return shared, others


def _choose_texts(j: Judgments, pairs: TextPairs) -> tuple[Integers, Floats]:
    """Return the row chosen for each item (−1 where there is none), and each row's similarity to it (NaN for a lone row)."""
    trust = np.ones(j.n_annotators)
    chosen, likeness = np.full(j.n_items, -1), np.ones(len(j))
    for _ in range(TRUST_ROUNDS):
        weight = j.weight[pairs.second] * trust[j.annotator_code[pairs.second]]
        total = np.bincount(pairs.first, weight, len(j))
        score = np.bincount(pairs.first, weight * pairs.alike, len(j)) / np.maximum(total, 1e-12)
        before, chosen = chosen, _best_rows(j, score)
        likeness = _similarity_to_chosen(j, pairs, chosen)
        weight = np.where(np.isnan(likeness), 0.0, j.weight)
        alike = weight * np.nan_to_num(likeness)
        votes, crowd = np.bincount(j.annotator_code, weight, j.n_annotators), (alike.sum() + 0.5) / (weight.sum() + 1)
        trust = (np.bincount(j.annotator_code, alike, j.n_annotators) + crowd) / (votes + 1)
        if np.array_equal(before, chosen):
            break
    return chosen, likeness


def _best_rows(j: Judgments, score: Floats) -> Integers:
    """Return the row of the highest score of each item; the earlier of equal ones, so that the order of summation changes nothing."""
    order = np.lexsort((j.answer_code, -score.round(9), j.item_code))
    chosen = np.full(j.n_items, -1)
    chosen[j.item_code[order[::-1]]] = order[::-1]
    return chosen


def _similarity_to_chosen(j: Judgments, pairs: TextPairs, chosen: Integers) -> Floats:
    """Return the similarity of each row to its item's chosen text; the author's own row gets its mean similarity to the others."""
    target = chosen[j.item_code]
    found = np.zeros(len(j))
    to_chosen = pairs.first == target[pairs.second]
    found[pairs.second[to_chosen]] = pairs.alike[to_chosen]
    own = j.annotator_code == j.annotator_code[target]
    lone = np.bincount(pairs.first, minlength=len(j)) == 0
    mean = np.bincount(pairs.first, pairs.alike, len(j)) / np.maximum(np.bincount(pairs.first, minlength=len(j)), 1)
    return np.where(lone, np.nan, np.where(own, mean, found))


def _answer_text(answer: Any) -> str:
    text = answer.get("text") if isinstance(answer, Mapping) else answer
    if not isinstance(text, str):
        raise UserError(f"a text is expected, not {answer!r:.60}", "give texts as answers")
    return text
