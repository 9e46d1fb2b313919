from __future__ import annotations

import numpy as np
import pytest

from preceptor.training.logistic_regression import HEAD_PENALTIES, LogisticData, fit_logistic_head, select_logistic_head


def sample(rows: int, seed: int, *, scale: float = 1.0, shift: float = 0.0) -> LogisticData:
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 6))
    logits = features[:, :3] * 2
    targets = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return LogisticData(features * scale + shift, targets, random.uniform(0.5, 2, rows))


def test_it_finds_the_optimum():
    """No small step from the head makes the penalised loss smaller."""
    data = sample(200, 0)
    head = fit_logistic_head(data, 0.01)
    centred = data.features - np.average(data.features, axis=0, weights=data.weights)
    scale = np.sqrt(np.mean(centred**2))

    def objective(weight, bias):
        logits = data.features @ weight.T + bias
        said = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        loss = np.average(-(data.targets * said).sum(1), weights=data.weights)
        return loss + 0.01 / 2 * ((weight * scale) ** 2).sum()

    best, random = objective(head.weight, head.bias), np.random.default_rng(1)
    for _ in range(50):
        moved = objective(head.weight + 1e-3 * random.normal(size=head.weight.shape), head.bias + 1e-3 * random.normal(size=3))
        assert moved > best - 1e-9


def test_it_learns_a_posterior_and_not_its_top_answer():
    data = sample(3000, 0)
    head = fit_logistic_head(data, 1e-6)
    entropy = np.average(-(data.targets * np.log(data.targets)).sum(1), weights=data.weights)
    assert head.loss == pytest.approx(entropy, abs=1e-4)


def test_the_encoders_scale_and_place_change_nothing():
    near, far = fit_logistic_head(sample(100, 3), 0.1), fit_logistic_head(sample(100, 3, scale=50.0, shift=7.0), 0.1)
    assert near.losses(sample(40, 4)) == pytest.approx(far.losses(sample(40, 4, scale=50.0, shift=7.0)), abs=1e-4)


def test_the_penalty_that_validation_prefers_is_taken():
    train, validation = sample(12, 5), sample(500, 6)
    said = [np.random.default_rng(row).choice(3, p=target) for row, target in enumerate(train.targets)]
    train = LogisticData(train.features, np.eye(3)[said], train.weights)  # one person each: noise that a head shouldn't learn
    chosen = select_logistic_head(train, validation)
    losses = {penalty: fit_logistic_head(train, penalty).mean_loss(validation) for penalty in HEAD_PENALTIES}
    assert chosen.penalty == min(losses, key=losses.get)
    assert chosen.penalty > min(HEAD_PENALTIES)


def test_few_separable_rows_have_a_finite_head():
    one = LogisticData(np.array([[0.0], [1.0]]), np.eye(2), np.ones(2))
    assert np.isfinite(fit_logistic_head(one, 1e-4).weight).all()
    same = LogisticData(np.zeros((2, 1)), np.eye(2), np.ones(2))
    assert fit_logistic_head(same, 1e-4).loss == pytest.approx(np.log(2))
