import numpy as np
import pytest

from preceptor.consensus.davidson import PSEUDO_ANNOTATORS, RELIABILITY_NODES, DavidsonModel

OPTIONS, PEOPLE, ROWS = 5, 12, 200


def random_model(seed, nodes=RELIABILITY_NODES, pseudo=PSEUDO_ANNOTATORS):
    rng = np.random.default_rng(seed)
    left = rng.integers(OPTIONS, size=ROWS)
    right = (left + rng.integers(1, OPTIONS, size=ROWS)) % OPTIONS
    sign = rng.integers(-1, 2, size=ROWS).astype(float)
    annotator = np.sort(np.r_[np.arange(PEOPLE), rng.integers(PEOPLE, size=ROWS - PEOPLE)])
    count = rng.integers(1, 3, size=ROWS).astype(float)
    return DavidsonModel(left, right, sign, annotator, count, OPTIONS, 0.1, True, True, nodes, pseudo)


def differences(function, x, step=1e-6):
    return np.array([(np.asarray(function(x + step * e)) - np.asarray(function(x - step * e))) / (2 * step) for e in np.eye(len(x))])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nodes", [1, 5])
def test_gradient_equals_finite_differences(seed, nodes):
    model = random_model(seed, RELIABILITY_NODES[:nodes], PSEUDO_ANNOTATORS[:nodes])
    x = 0.7 * np.random.default_rng(seed).normal(size=model.size)
    assert model.loss(x)[1] == pytest.approx(differences(lambda v: model.loss(v)[0], x), abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("nodes", [1, 5])
def test_information_equals_finite_differences(seed, nodes):
    model = random_model(seed, RELIABILITY_NODES[:nodes], PSEUDO_ANNOTATORS[:nodes])
    x = 0.7 * np.random.default_rng(seed).normal(size=model.size)
    assert model.information(x) == pytest.approx(differences(lambda v: model.loss(v)[1], x), abs=1e-5)


def test_probabilities_are_davidsons():
    model = random_model(0, RELIABILITY_NODES[:1], PSEUDO_ANNOTATORS[:1])
    x = np.random.default_rng(1).normal(size=model.size)
    worth = np.exp(x[:OPTIONS])
    first, second = worth[model.left] * np.exp(x[OPTIONS]), worth[model.right]  # order bias multiplies what stands left
    tie = np.exp(x[OPTIONS + 1]) * np.sqrt(first * second)
    of = np.where(model.sign > 0, first, np.where(model.sign < 0, second, tie)) / (first + second + tie)
    assert model.rows(x).log_base == pytest.approx(np.log(of))


def test_an_unreliable_report_is_a_mixture():
    model = random_model(0)
    x = np.random.default_rng(1).normal(size=model.size)
    rows = model.rows(x)
    exchanged = DavidsonModel(model.left, model.right, -model.sign, model.annotator, model.count, OPTIONS, 0.1, True, True).rows(x)
    for node, mix in zip(RELIABILITY_NODES[1:], rows.log_mix, strict=True):
        assert np.exp(rows.log_base + mix) == pytest.approx(node * np.exp(rows.log_base) + (1 - node) * np.exp(exchanged.log_base))


def test_blocks_add_up_to_the_whole(monkeypatch):
    whole = random_model(3)
    x = np.random.default_rng(2).normal(size=whole.size)
    monkeypatch.setattr("preceptor.consensus.davidson.ROW_BLOCK", 20)
    cut = random_model(3)
    assert len(cut.blocks) > 3
    assert cut.loss(x)[0] == pytest.approx(whole.loss(x)[0])
    assert cut.loss(x)[1] == pytest.approx(whole.loss(x)[1])


def test_scores_of_any_clusters_sum_to_the_gradient():
    model = random_model(4)
    x = np.random.default_rng(2).normal(size=model.size)
    by_person = model.scores(x, model.annotator).sum(axis=0)
    by_other = model.scores(x, np.arange(ROWS, dtype=np.int32) % 7).sum(axis=0)
    assert by_person == pytest.approx(by_other)
    theta = slice(0, OPTIONS + 2)
    assert by_person[theta] == pytest.approx((-model.loss(x)[1] + model.precision * x)[theta])


def test_huge_strengths_stay_finite():
    model = random_model(5)
    x = np.zeros(model.size)
    x[0], x[1] = 1e6, -1e6
    value, gradient = model.loss(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
