"""Seeded simulations: the weighted estimate is unbiased where the plain mean is far off."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.planning import SelectionMix, lure_weights, select_queries

N = 60


@pytest.fixture
def losses():
    """What a model would lose on each of N items, and a score that tells of it, as uncertainty does."""
    random = np.random.default_rng(7)
    score = random.random(N)
    return np.square(score) + 0.1 * random.random(N), score


def bias_in_errors(estimates, truth):
    """The bias in units of its own standard error over the simulations."""
    return (np.mean(estimates) - truth) / (np.std(estimates, ddof=1) / np.sqrt(len(estimates)))


def test_sequential_sampling_by_score(losses):
    loss, score = losses
    plain, weighted = [], []
    for seed in range(4000):
        random = np.random.default_rng(seed)
        left, chosen, draws = np.ones(N, dtype=bool), [], []
        for _ in range(15):
            q = np.where(left, score + 0.1, 0)
            q /= q.sum()
            row = random.choice(N, p=q)
            chosen.append(row)
            draws.append(q[row])
            left[row] = False
        plain.append(loss[chosen].mean())
        weighted.append((lure_weights(draws, N) * loss[chosen]).mean())
    assert abs(bias_in_errors(weighted, loss.mean())) < 3
    assert bias_in_errors(plain, loss.mean()) > 30


def test_batch_after_batch_with_a_model_that_learns_from_the_answers(losses):
    """Items picked by rule, a second batch that rests on the first one's answers: unbiased, by the noted draws alone."""
    loss, score = losses
    plain, weighted, naive = [], [], []
    for seed in range(1500):
        left, chosen, draws, drawn, belief = np.arange(N), [], [], [], score
        for turn in range(2):
            sure = np.clip(0.5 + 0.5 * (1 - belief[left]), 0, 1)
            batch = select_queries(
                probabilities=np.column_stack([sure, 1 - sure]),
                vectors=np.eye(N)[left],
                size=12,
                seed=2 * seed + turn,
                mix=SelectionMix(0.4, 0.6, 0),
            )
            rows = left[batch.rows]
            chosen.extend(rows)
            draws.extend(batch.draws)
            drawn += [row for row, stream in zip(rows, batch.streams, strict=True) if stream == "random"]
            left = np.setdiff1d(left, rows)
            belief = score * loss[rows].mean()  # what it learns depends on what was asked
        plain.append(loss[chosen].mean())
        weighted.append((lure_weights(draws, N) * loss[chosen]).mean())
        naive.append(loss[drawn].mean())
    assert abs(bias_in_errors(weighted, loss.mean())) < 3
    assert bias_in_errors(plain, loss.mean()) > 30
    assert bias_in_errors(naive, loss.mean()) < -5  # a later batch's random items come from what the first one left


def test_equals_the_papers_formula():
    random = np.random.default_rng(3)
    m, q = np.arange(1, 11), random.random(10) * 0.5 + 0.01
    paper = 1 + (N - 10) / (N - m) * (1 / ((N - m + 1) * q) - 1)
    assert np.allclose(lure_weights(q, N), paper)
    assert np.allclose(lure_weights(1 / (N - m + 1), N), 1)


def test_one_batch_is_the_mean_of_its_random_items():
    draws = [1 / 10, 1 / 9, 1, 1]
    assert np.allclose(lure_weights(draws, 10), [2, 2, 0, 0])
    assert (lure_weights([0.5, 1, 1], 3) == 1).all()  # all are known


@pytest.mark.parametrize(
    ("draws", "population", "message"),
    [([], 5, "must be"), ([0.0], 5, "must be"), ([1.5], 5, "must be"), ([0.5] * 6, 5, "must be"), ([1.0, 1.0], 5, "drawn at random")],
)
def test_draws_that_cannot_be(draws, population, message):
    with pytest.raises(UserError, match=message):
        lure_weights(draws, population)
