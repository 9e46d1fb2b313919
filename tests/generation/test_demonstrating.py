from __future__ import annotations

import numpy as np
import pytest

from preceptor.generation.in_context import normalize_rows, select_examples

UP, SIDE, OUT = np.eye(3)


def picked(vectors, text, answers, **settings):
    rows = normalize_rows(np.array(vectors, dtype=float))
    given = {"shots": 3, "diversity": 0.0, "quota": 3, **settings}
    return select_examples(rows @ normalize_rows(text[None])[0], rows, np.array(answers), **given)


def test_the_most_alike_are_shown_and_the_nearest_last():
    vectors = [UP + amount * SIDE for amount in (0.4, 0.1, 3.0, 0.2)]
    assert picked(vectors, UP, [0, 0, 0, 0]) == [0, 3, 1]


def test_no_answer_stands_out():
    """Of four near rows of one answer, two are shown, and the farther rows of another fill up."""
    vectors = [UP, UP + 0.1 * SIDE, UP + 0.2 * SIDE, UP + 0.3 * SIDE, UP + SIDE, UP + 2 * SIDE]
    assert picked(vectors, UP, [0, 0, 0, 0, 1, 1], shots=4, quota=2) == [5, 4, 1, 0]
    assert picked(vectors[:4], UP, [0, 0, 0, 0], shots=4, quota=2) == [3, 2, 1, 0]  # nothing else is left


def test_diversity_leaves_out_what_repeats():
    vectors = [UP + 0.1 * SIDE, UP + 0.11 * SIDE, UP + 0.5 * OUT]
    assert set(picked(vectors, UP, [0, 0, 0], shots=2)) == {0, 1}
    assert set(picked(vectors, UP, [0, 0, 0], shots=2, diversity=0.6)) == {0, 2}


def test_barred_rows_are_never_shown():
    vectors = [UP, UP + 0.1 * SIDE, UP + 0.2 * SIDE]
    assert picked(vectors, UP, [0, 0, 0], barred=[0]) == [2, 1]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_rows_the_rules_hold(seed):
    random = np.random.default_rng(seed)
    count, shots, classes = int(random.integers(1, 30)), int(random.integers(1, 9)), 3
    rows, answers = normalize_rows(random.normal(size=(count, 4))), random.integers(0, classes, count)
    alike, quota = rows @ normalize_rows(random.normal(size=(1, 4)))[0], -(-shots // classes)
    found = select_examples(alike, rows, answers, shots=shots, diversity=float(random.uniform(0, 0.9)), quota=quota)
    assert len(found) == len(set(found)) == min(shots, count)
    assert (np.diff(alike[found]) >= 0).all()
    shown, there = np.bincount(answers[found], minlength=classes), np.bincount(answers, minlength=classes)
    if (there >= quota).all():
        assert shown.max() <= quota
