"""GLAD: the gradient is that of the loss, abilities and difficulties are recovered in order."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import check_grad

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.em import VoteCells, build_truths
from preceptor.consensus.glad import GladMarginal
from preceptor.testing import simulate_crowd


@pytest.mark.parametrize("gold", [0, 5])
def test_the_gradient_is_that_of_the_loss(gold):
    crowd = simulate_crowd(items=20, annotators=6, per_item=4)
    j = Judgments.from_columns(**crowd.columns)
    marginal = GladMarginal(
        build_truths(j, dict(list(crowd.truth.items())[:gold]), class_prior=dict.fromkeys(j.answers, 1.0)),
        VoteCells.from_judgments(j, by_answer=False),
    )
    params = np.random.default_rng(0).normal(1, 0.5, size=26)
    assert check_grad(lambda x: marginal.loss(x)[0], lambda x: marginal.loss(x)[1], params) < 1e-6


def test_ability_and_ease_are_recovered():
    rng = np.random.default_rng(0)
    alpha, beta = rng.normal(1, 0.5, size=30), np.exp(rng.normal(0.7, 0.7, size=500))
    truth = rng.integers(2, size=500)
    item = np.repeat(np.arange(500), 12)
    annotator = np.concatenate([rng.permutation(30)[:12] for _ in range(500)])
    right = rng.random(len(item)) < 1 / (1 + np.exp(-alpha[annotator] * beta[item]))
    c = aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=np.where(right, truth[item], 1 - truth[item])), "glad")
    assert (c.posterior.argmax(axis=1) == truth).mean() > 0.97
    ability = [c.annotators[w].accuracy.value for w in range(30)]
    assert stats.spearmanr(ability, alpha).statistic > 0.9
