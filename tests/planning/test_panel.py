"""What is promised of stopping early, against what further answers would do."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.planning.information_gain import mutual_information
from preceptor.planning.panel_certainty import panel_certainty


def votes_of(items: int, each: int, shares: tuple[float, ...], seed: int) -> tuple[np.ndarray, Judgments]:
    """Anonymous people answer items whose leading answer has one of `shares` of the votes; all votes, and the first three an item."""
    draw = np.random.default_rng(seed)
    lead, share = draw.integers(2, size=items), draw.choice(shares, size=items)
    answers = np.where(draw.random((items, each)) < share[:, None], lead[:, None], 1 - lead[:, None])
    row, column = np.repeat(np.arange(items), 3), np.tile(np.arange(3), items)
    known = Judgments.from_columns(item=row, annotator=column, answer=answers[row, column], answers=(0, 1))
    return answers, known


@pytest.mark.parametrize("shares", [(0.95,), (0.6, 0.95), (0.55, 0.75)])
def test_the_claim_holds(shares):
    answers, known = votes_of(1500, 11, shares, seed=3)
    fitted = aggregate(known, "majority")
    claimed = panel_certainty(fitted, known, np.full(1500, 8))
    front = known.votes.argmax(axis=1)
    kept = (answers.mean(axis=1) > 0.5).astype(int) == front
    assert claimed.mean() == pytest.approx(kept.mean(), abs=0.03)


def test_with_nobody_left_to_ask_the_answer_stays():
    _, known = votes_of(20, 3, (0.8,), seed=0)
    assert panel_certainty(aggregate(known, "majority"), known, np.zeros(20, dtype=int)).tolist() == [1.0] * 20


def test_information_is_what_an_answer_tells():
    posterior = np.array([[0.5, 0.5], [0.5, 0.5], [0.999, 0.001]])
    perfect, guessing = np.eye(2), np.full((2, 2), 0.5)
    told = mutual_information(posterior, np.stack([perfect, guessing, perfect]))
    assert told[0] == pytest.approx(np.log(2), abs=1e-6)
    assert told[1] == pytest.approx(0.0, abs=1e-9)
    assert told[1] < told[2] < told[0]
