"""Out of fold: no row is looked at by what has seen its group, the quick head is the slow one, and vectors are made once."""

import numpy as np
import pytest
from scipy.special import softmax

from preceptor.errors import UserError
from preceptor.training import logistic_regression as module
from preceptor.training.logistic_regression import LogisticData, cached_text_vectors, fit_logistic_head, fit_quick_head, predict_out_of_fold


def world(rows=400, answers=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(answers, size=rows)
    return rng.normal(size=(rows, 8)) + 2.5 * np.eye(8)[truth], truth


def test_unseen_rows_are_told_well():
    points, truth = world()
    found = predict_out_of_fold(points, truth)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(400))
    assert found.accuracy.low > 0.85
    assert found.known.all()
    assert np.bincount(found.fold).tolist() == [80] * 5


def test_nothing_is_learnt_of_a_row_s_own_group():
    """Answers by chance, the same in a group of copies: a model that had seen the group would know them all."""
    rng = np.random.default_rng(0)
    points, answers = rng.normal(size=(60, 30)), rng.integers(2, size=60)
    copies = np.repeat(np.arange(60), 6)
    groups = [f"g{each}" for each in copies]
    assert predict_out_of_fold(points[copies], answers[copies], groups).accuracy.value < 0.7
    assert predict_out_of_fold(points[copies], answers[copies]).accuracy.value > 0.9


def test_the_quick_head_is_the_slow_one():
    points, truth = world()
    targets = softmax(3 * np.eye(3)[truth] + np.random.default_rng(1).normal(size=(400, 3)), axis=1)
    weights = np.random.default_rng(2).uniform(0.5, 2, 400)
    slow, quick = fit_logistic_head(LogisticData(points, targets, weights), 0.03), fit_quick_head(points, targets, weights, 0.03)
    one, other = softmax(points @ slow.weight.T + slow.bias, axis=1), softmax(quick.logits(points), axis=1)
    assert np.abs(one - other).max() < 0.02


def test_the_same_seed_gives_the_same_and_soft_targets_count():
    points, truth = world()
    soft = 0.7 * np.eye(3)[truth] + 0.1
    one, again, hard = (
        predict_out_of_fold(points, soft, seed=3),
        predict_out_of_fold(points, soft, seed=3),
        predict_out_of_fold(points, truth, answers=3, seed=3),
    )
    assert (one.probabilities == again.probabilities).all()
    assert one.probabilities.max() < hard.probabilities.max()


def test_an_answer_of_one_group_is_unknown_where_that_group_is_held_out():
    points, truth = world()
    truth[:5] = 3
    groups = ["g"] * 5 + [f"g{number}" for number in range(395)]
    found = predict_out_of_fold(points, truth, groups)
    assert (~found.known).nonzero()[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("vectors", "targets", "groups", "told"),
    [
        (np.ones((4, 2)), [0, 1, 0, 1], None, "folds"),
        (np.full((10, 2), np.nan), [0, 1] * 5, None, "finite"),
        (np.ones((10, 2)), [0, 1] * 4, None, "8 true classes"),
        (np.ones((10, 2)), [0, 1] * 5, ["g"] * 10, "1 groups"),
    ],
)
def test_what_does_not_fit_is_refused(vectors, targets, groups, told):
    with pytest.raises(UserError, match=told):
        predict_out_of_fold(vectors, targets, groups)


@pytest.fixture
def tiny_base(tiny_cache, monkeypatch):
    from preceptor.models.base_models import find_base_folder

    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    return find_base_folder("minilm")


def test_a_text_s_vector_is_made_once(tiny_base, tmp_path, monkeypatch):
    from preceptor import models
    from preceptor.models import embeddings

    made = []
    real = embeddings.embed_texts
    monkeypatch.setattr(models, "embed_texts", lambda folder, texts: made.append(list(texts)) or real(folder, texts))
    first = cached_text_vectors(tiny_base, ["good great", "bad", "good great"], tmp_path / "vectors")
    again = cached_text_vectors(tiny_base, ["bad", "good great", "fine"], tmp_path / "vectors")
    assert made == [["good great", "bad"], ["fine"]]
    assert (first[0] == again[1]).all()
    assert first == pytest.approx(real(tiny_base, ["good great", "bad", "good great"]), abs=2e-3)
    assert [path.suffix for path in (tmp_path / "vectors").iterdir()] == [".npz"]
    assert cached_text_vectors(tiny_base, ["bad"]) == pytest.approx(first[1:2], abs=2e-3)


def test_another_base_has_a_shelf_of_its_own(tiny_base, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert module._base_digest(tiny_base) != module._base_digest(other)
