"""One coin: abilities are recovered, classes don't swallow each other, adversaries need gold."""

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.em import VoteCells, build_truths, vote_prior
from preceptor.consensus.one_coin import OneCoinEM
from preceptor.testing import simulate_crowd


@pytest.fixture(scope="module")
def coins():
    """Twenty people with one coin each, 2,000 items, four answers."""
    rng = np.random.default_rng(3)
    truth, able = rng.integers(4, size=2000), rng.uniform(0.3, 0.95, size=20)
    item = np.repeat(np.arange(2000), 5)
    annotator = np.concatenate([rng.permutation(20)[:5] for _ in range(2000)])
    right = rng.random(len(item)) < able[annotator]
    answer = np.where(right, truth[item], (truth[item] + rng.integers(1, 4, size=len(item))) % 4)
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer), truth, able


def test_abilities_are_recovered(coins):
    j, truth, able = coins
    c = aggregate(j, "one_coin")
    assert np.abs(c.annotators.model.right - able).mean() < 0.04  # 500 judgments each leave a standard error of 0.02 to 0.03
    assert (c.posterior.argmax(axis=1) == truth).mean() > (j.votes.argmax(axis=1) == truth).mean() + 0.01
    table = c.annotators[0].confusion
    assert table.sum(axis=1) == pytest.approx(1.0)
    assert table[0, 0] == pytest.approx(c.annotators.model.right[0])


@pytest.mark.parametrize("gold", [0, 10])
def test_every_step_climbs_by_what_it_promises(gold):
    crowd = simulate_crowd(items=60)
    j = Judgments.from_columns(**crowd.columns)
    truths = build_truths(j, dict(list(crowd.truth.items())[:gold]), class_prior=vote_prior(j))
    model = OneCoinEM(truths, VoteCells.from_judgments(j, by_answer=False), 4.0, 1.0)
    params = np.full(12, 0.6)
    for _ in range(10):
        found = model.step(params)
        params = found.next_params
        assert model.step(params).objective >= found.objective + found.expected_gain - 1e-9


def test_a_large_class_does_not_swallow_a_small_one():
    """Re-estimated, the class prior runs away where people are poor and one answer is common, as on TREC 2010."""
    rng = np.random.default_rng(0)
    truth = (rng.random(3000) < 0.35).astype(int)
    item = np.repeat(np.arange(3000), 4)
    answer = np.where(rng.random(len(item)) < 0.68, truth[item], 1 - truth[item])
    c = aggregate(Judgments.from_columns(item=item, annotator=rng.integers(400, size=len(item)), answer=answer), "one_coin")
    assert 0.2 < c.posterior[:, 1].mean() < 0.5


def test_below_chance_only_with_gold():
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=300)
    item, annotator = np.repeat(np.arange(300), 6), np.tile(np.arange(6), 300)
    right = rng.random(len(item)) < np.where(annotator == 0, 0.05, 0.8)
    j = Judgments.from_columns(item=item, annotator=annotator, answer=np.where(right, truth[item], 1 - truth[item]))
    assert aggregate(j, "one_coin").annotators.model.right[0] == pytest.approx(0.5)
    assert aggregate(j, "one_coin", dict(enumerate(truth[:50]))).annotators.model.right[0] < 0.15
