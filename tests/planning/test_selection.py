from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.planning import SelectionMix, select_queries
from preceptor.planning.query_selection import DUPLICATE_DISTANCE, margins


def pool(seed: int, n: int, *, d: int = 6, answers: int = 3):
    random = np.random.default_rng(seed)
    return random.dirichlet(np.full(answers, 0.4), n), random.normal(size=(n, d))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 80), size=st.integers(1, 90), model=st.booleans())
def test_any_batch(seed, n, size, model):
    """Sizes, streams and no row twice; in whatever order the rows come, the same ones are chosen."""
    chances, vectors = pool(seed, n, d=12)
    given_chances = chances if model else None
    found = select_queries(probabilities=given_chances, vectors=vectors, size=size, seed=seed)
    assert len(found.rows) == len(set(found.rows.tolist())) == len(found.streams) == len(found.inclusion) == min(n, size)
    assert found.population == n
    random, uncertain, diverse = (found.streams.count(stream) for stream in ("random", "uncertain", "diverse"))
    assert (random, uncertain, diverse) == SelectionMix().counts(min(n, size), model=model)
    assert set(found.inclusion[:random]) <= {random / n}
    assert (found.inclusion[random:] == 1).all()
    order = np.random.default_rng(seed).permutation(n)
    again = select_queries(probabilities=chances[order] if model else None, vectors=vectors[order], size=size, seed=seed)
    assert (order[again.rows] == found.rows).all()
    assert again.streams == found.streams


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(10, 60), size=st.integers(2, 40))
def test_nothing_picked_repeats_what_was_chosen_before(seed, n, size):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(8, 5))[random.integers(0, 8, n)] + random.normal(size=(n, 5)) * 1e-4
    chances = random.dirichlet(np.ones(2), n)
    found = select_queries(probabilities=chances, vectors=vectors, size=size, seed=seed)
    spread = np.sqrt(np.square(vectors - vectors.mean(axis=0)).sum(axis=1).mean())
    for place, (row, stream) in enumerate(zip(found.rows, found.streams, strict=True)):
        if stream != "random" and place:
            gaps = np.linalg.norm(vectors[found.rows[:place]] - vectors[row], axis=1)
            assert gaps.min() > DUPLICATE_DISTANCE * spread * (1 - 1e-9)
    assert len(found.rows) <= min(n, size)


def test_the_random_stream_is_uniform_whatever_the_model_says():
    """4,000 batches: each of 40 rows is drawn as often as the others, twins and outliers too."""
    chances, vectors = pool(5, 40)
    vectors[:10] = vectors[0]
    vectors[11] *= 50
    drawn = np.zeros(40)
    for seed in range(4000):
        found = select_queries(probabilities=chances, vectors=vectors, size=10, seed=seed, mix=SelectionMix(0.2, 0.8, 0))
        drawn[[row for row, stream in zip(found.rows, found.streams, strict=True) if stream == "random"]] += 1
    # Rows in one batch exclude each other, so that squares add up to 39 on average after this factor.
    statistic = np.square(drawn - 200).sum() / 200 / (1 - 2 / 40) * (39 / 40)
    assert 15 < statistic < 72  # chi-squared with 39 degrees of freedom: 0.05 % on either side


def test_the_uncertain_have_the_least_margins():
    chances, vectors = pool(1, 500, d=30)
    found = select_queries(probabilities=chances, vectors=vectors, size=50, seed=0, mix=SelectionMix(0, 1, 0))
    assert set(found.rows.tolist()) == set(margins(chances).argsort()[:50].tolist())
    assert margins(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])) == pytest.approx([0.2, 0.7])


def groups(seed: int):
    """Ten groups far apart, the largest 50 times the smallest, in random order; each one's number by row."""
    random = np.random.default_rng(seed)
    group = random.permutation(np.repeat(np.arange(10), [200, 100, 60, 40, 30, 20, 12, 8, 6, 4]))
    return group, 30 * random.normal(size=(10, 16))[group] + random.normal(size=(len(group), 16))


def test_the_diverse_cover_more_groups_than_chance_and_are_typical():
    covered, random_covered, apart = [], [], []
    for seed in range(20):
        group, vectors = groups(seed)
        found = select_queries(probabilities=None, vectors=vectors, size=10, seed=seed, mix=SelectionMix(0, 0.5, 0.5))
        covered.append(len(set(group[found.rows])))
        random_covered.append(len(set(group[np.random.default_rng(seed).permutation(len(group))[:10]])))
        centre = np.stack([vectors[group == number].mean(axis=0) for number in range(10)])
        gap = np.linalg.norm(vectors - centre[group], axis=1)
        apart.append(gap[found.rows].mean() / gap.mean())
    assert np.mean(covered) > 9
    assert np.mean(covered) > np.mean(random_covered) + 2
    assert np.mean(apart) < 1


def test_the_diverse_go_where_nothing_is_judged():
    group, vectors = groups(3)
    judged = vectors[group >= 5]
    found = select_queries(probabilities=None, vectors=vectors[group < 5], size=5, seed=0, mix=SelectionMix(0, 0, 1), judged=judged[:5])
    assert len(set(group[group < 5][found.rows])) == 5


def test_only_repetitions_left_makes_a_smaller_batch():
    found = select_queries(probabilities=None, vectors=np.ones((20, 3)), size=10, seed=0)
    assert found.streams == ("random", "random")
    assert len(select_queries(probabilities=None, vectors=np.ones((20, 3)), size=10, seed=0, mix=SelectionMix(0, 1, 0)).rows) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.zeros((0, 3))}, "at least one"),
        ({"vectors": np.zeros(3)}, "at least one"),
        ({"vectors": np.full((4, 2), np.nan)}, "finite"),
        ({"probabilities": np.ones((3, 2))}, "don't fit 4 vectors"),
        ({"judged": np.ones((3, 5))}, "don't fit vectors of 2"),
        ({"size": 0}, "size of 1 or more"),
    ],
)
def test_bad_input_is_told(change, message):
    fine = {"probabilities": None, "vectors": np.arange(8.0).reshape(4, 2), "size": 2, "seed": 0}
    with pytest.raises(UserError, match=message):
        select_queries(**{**fine, **change})
    with pytest.raises(UserError, match="add up to 1"):
        SelectionMix(0.5, 0.6, 0.2)
