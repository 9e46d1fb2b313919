import numpy as np
import pytest

from preceptor.compat.cleanlab.crowdlab import MIN_WEIGHT, AnnotatorLabels, fit_crowdlab, majority_labels


def crowd(seed=0, items=60, annotators=8, classes=4, skill=0.7, density=0.4):
    """A wide table with NaN for no label, the truth, and a model that leans to it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=items)
    wide = np.where(rng.random((items, annotators)) < skill, truth[:, None], rng.integers(classes, size=(items, annotators))).astype(float)
    wide[rng.random((items, annotators)) > density] = np.nan
    bare = np.isnan(wide).all(axis=1)
    wide[bare, 0] = truth[bare]
    model = rng.dirichlet(np.ones(classes), size=items)
    model[np.arange(items), truth] += 0.7
    return wide, truth, model / model.sum(axis=1, keepdims=True)


def labels_of(wide, classes=4):
    item, annotator = np.nonzero(~np.isnan(wide))
    return AnnotatorLabels(item, annotator, wide[item, annotator].astype(np.int64), *wide.shape, classes)


def spelled_out(wide, model, consensus, classes=4):
    """Goh, Tkachenko and Mueller 2022, sum by sum."""
    given = ~np.isnan(wide)
    n = given.sum(axis=1)
    several = n > 1
    s = []
    for j in range(wide.shape[1]):
        rows = np.flatnonzero(given[:, j] & several)
        same = sum(wide[i, j] == wide[i, other] for i in rows for other in np.flatnonzero(given[i]) if other != j)
        s.append(same / sum(n[i] - 1 for i in rows) if len(rows) else np.nan)
    s = np.where(np.isnan(s), np.nanmean(s), s)
    commonest = np.bincount(consensus[several]).argmax()
    error = max(np.mean(consensus[several] != commonest), MIN_WEIGHT)
    weight = np.maximum(MIN_WEIGHT, 1 - (1 - s) / error)
    model_error = np.mean(model[several].argmax(axis=1) != consensus[several])
    model_weight = max(MIN_WEIGHT, 1 - model_error / error) * np.sqrt(n.mean())
    p = np.mean([np.mean(wide[i, given[i]] == consensus[i]) for i in np.flatnonzero(several)])
    pooled = np.zeros((len(wide), classes))
    for i in range(len(wide)):
        pooled[i] = model_weight * model[i]
        for j in np.flatnonzero(given[i]):
            pooled[i] += weight[j] * np.where(np.arange(classes) == wide[i, j], p, (1 - p) / (classes - 1))
        pooled[i] /= model_weight + weight[given[i]].sum()
    return pooled, model_weight, weight


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_equations(seed):
    wide, _, model = crowd(seed)
    labels = labels_of(wide)
    consensus = majority_labels(labels, model)
    pool = fit_crowdlab(labels, model[None], consensus)
    pooled, model_weight, weight = spelled_out(wide, model, consensus)
    assert pool.pooled == pytest.approx(pooled)
    assert pool.model_weights[0] == pytest.approx(model_weight)
    assert pool.annotator_weights == pytest.approx(weight)
    assert pool.pooled.sum(axis=1) == pytest.approx(np.ones(60))


def test_a_model_at_random_has_no_say():
    wide, _, model = crowd(1)
    labels = labels_of(wide)
    consensus = majority_labels(labels)
    worst = np.eye(4)[(consensus + 1) % 4]
    pool = fit_crowdlab(labels, worst[None], consensus)
    assert pool.model_weights[0] == pytest.approx(MIN_WEIGHT * np.sqrt(labels.label_counts.mean()))
    assert pool.pooled == pytest.approx(fit_crowdlab(labels, model[None] * 0 + 0.25, consensus).pooled, abs=1e-4)


def test_many_who_agree_are_no_surer_than_one_another():
    """Why this only ranks: a posterior would grow with each person who agrees."""
    wide = np.tile(np.repeat([0.0, 1.0, 2.0], 10)[:, None], (1, 12))
    wide[::7, :3] = 3.0
    labels = labels_of(wide)
    pool = fit_crowdlab(labels, np.full((1, 30, 4), 0.25), majority_labels(labels))
    assert pool.pooled.max() <= labels.agreement(majority_labels(labels)).mean()


def test_the_lowest_scores_are_the_wrong_labels():
    wide, truth, model = crowd(2, items=500)
    labels = labels_of(wide)
    pool = fit_crowdlab(labels, model[None], majority_labels(labels, model))
    score = pool.pooled[labels.item, labels.label]
    wrong = labels.label != truth[labels.item]
    worst = np.argsort(score)[: wrong.sum()]
    assert wrong[worst].mean() > 0.85


def test_ties_go_by_model_then_rarity_then_people():
    nan = np.nan
    wide = np.array([[0, 1, nan], [0, 0, nan], [0, nan, 0], [1, 1, nan], [nan, 2, 2]])
    labels = labels_of(wide, classes=3)
    assert majority_labels(labels)[0] == 1  # class 1 is rarer than class 0
    model = np.full((5, 3), 1 / 3)
    model[0] = [0.5, 0.2, 0.3]
    assert majority_labels(labels, model)[0] == 0
    even = np.array([[0, 1, nan, nan], [0, nan, 0, 0], [nan, 1, 0, 0], [nan, nan, 1, 1], [nan, nan, 1, 1]])
    assert majority_labels(labels_of(even, classes=2))[0] == 0  # as common; who said 0 agrees more with the others
