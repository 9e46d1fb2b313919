"""BM25, fusion and measures against their equations, published figures, and SQLite's own BM25."""

from __future__ import annotations

import math
import random
import sqlite3
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.retrieval.bm25 import K1, B, InvertedIndex, bm25_scores
from preceptor.retrieval.index import fuse_rankings
from preceptor.retrieval.search import dcg, ndcg_at_k, recall_at_k, unjudged_share
from preceptor.retrieval.text_analysis import extract_terms

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def texts(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, range(10, 0, -1), k=rng.randint(1, 12))) for _ in range(count)]


def by_the_equation(collection: list[str], query: str) -> list[float]:
    counts = [Counter(extract_terms(text)) for text in collection]
    lengths = [count.total() for count in counts]
    average, scores = sum(lengths) / len(lengths), [0.0] * len(collection)
    for term in extract_terms(query):
        having = sum(term in count for count in counts)
        idf = math.log(1 + (len(collection) - having + 0.5) / (having + 0.5))
        for row, count in enumerate(counts):
            f = count[term]
            scores[row] += idf * f * (K1 + 1) / (f + K1 * (1 - B + B * lengths[row] / average))
    return scores


def test_scores_are_those_of_the_equation_over_all_parts_and_live_rows_only():
    collection = texts(60)
    live = [random.Random(1).random() < 0.7 for _ in collection]
    parts = [
        InvertedIndex.from_texts(collection[:20]),
        InvertedIndex.from_texts(collection[20:25]),
        InvertedIndex.from_texts(collection[25:]),
    ]
    rows = [np.array(live[:20]), np.array(live[20:25]), np.array(live[25:])]
    scores = np.concatenate(bm25_scores(parts, rows, "beta zeta beta unknown"))
    standing = [text for text, stands in zip(collection, live, strict=True) if stands]
    assert scores[live] == pytest.approx(by_the_equation(standing, "beta zeta beta unknown"))
    assert (scores[~np.array(live)] == 0).all()


def test_sqlite_ranks_alike_but_for_how_it_weighs_a_term():
    collection, query = texts(200, seed=3), "kappa"
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE found USING fts5(text)")
    connection.executemany("INSERT INTO found(text) VALUES (?)", [(text,) for text in collection])
    theirs = dict(connection.execute("SELECT rowid, -bm25(found) FROM found WHERE found MATCH ?", (query,)))
    ours = np.concatenate(bm25_scores([InvertedIndex.from_texts(collection)], [np.ones(200, dtype=bool)], query))
    having = len(theirs)
    as_theirs = math.log((200 - having + 0.5) / (having + 0.5)) / math.log1p((200 - having + 0.5) / (having + 0.5))
    assert {row + 1: ours[row] * as_theirs for row in np.flatnonzero(ours)} == pytest.approx(theirs)


@given(st.text(max_size=60))
def test_any_text_is_a_query(query: str):
    collection = ["what is it", "the price in EUR", "NEAR(a b) OR *"]
    scores = bm25_scores([InvertedIndex.from_texts(collection)], [np.ones(3, dtype=bool)], query)[0]
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


def test_words_are_searched_for_without_case_accents_and_endings():
    assert extract_terms("Refunded REFUNDS refunding") == ["refund"] * 3
    assert extract_terms("Café naïve STRASSE straße") == [
        extract_terms("cafe")[0],
        extract_terms("naive")[0],
        *[extract_terms("strasse")[0]] * 2,
    ]
    assert extract_terms("退款政策 v2") == ["退", "款", "政", "策", "v2"]
    assert extract_terms("!? … --") == []


def test_fusion_adds_reciprocal_ranks_and_ties_stand_by_id():
    fused = fuse_rankings([["a", "b", "c"], ["b", "d"]])
    assert fused == [("b", 1 / 62 + 1 / 61), ("a", 1 / 61), ("d", 1 / 62), ("c", 1 / 63)]
    assert [each for each, _ in fuse_rankings([["z", "a"], ["a", "z"]])] == ["a", "z"]
    assert fuse_rankings([[], []]) == []


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True))
def test_fusion_sees_ranks_only(scores: list[int]):
    def ranking(values: list[int]) -> list[int]:
        return sorted(range(len(values)), key=lambda row: -values[row])

    other = list(range(len(scores)))
    assert fuse_rankings([ranking(scores), other]) == fuse_rankings([ranking([10 * score + 3 for score in scores]), other])


def test_measures_of_a_known_ranking():
    # linear gains, as commonly shown: DCG 6.861, IDCG 7.141, nDCG 0.961
    relevance = dict(zip("abcdef", (3, 2, 3, 0, 1, 2), strict=True))
    assert dcg([3, 2, 3, 0, 1, 2]) == pytest.approx(6.861, abs=5e-4)
    assert dcg([3, 3, 2, 2, 1, 0]) == pytest.approx(7.141, abs=5e-4)
    assert ndcg_at_k("abcdef", relevance, 6, exponential=False) == pytest.approx(0.961, abs=5e-4)
    assert ndcg_at_k("acbfed", relevance, 6) == pytest.approx(1.0)
    assert ndcg_at_k("dxyz", relevance, 4) == 0
    assert recall_at_k("axd", relevance, 3) == pytest.approx(1 / 5)
    assert recall_at_k("abcef", relevance, 5) == 1
    assert math.isnan(recall_at_k("a", {"a": 0}, 1))
    assert math.isnan(ndcg_at_k("a", {"a": 0}, 1))
    assert unjudged_share("axyd", relevance, 4) == 0.5
    assert unjudged_share("", relevance, 4) == 0
