"""Folds: a group in one fold, each label in all, the same for the same seed."""

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.quality.label_errors import stratified_group_folds


def test_a_group_is_in_one_fold_and_labels_are_spread():
    rng = np.random.default_rng(0)
    group, labels = rng.integers(300, size=2_000), rng.choice(4, 2_000, p=[0.6, 0.3, 0.08, 0.02])
    found = stratified_group_folds(group.tolist(), labels, count=5, seed=1)
    assert all(len(set(found[group == each])) == 1 for each in set(group))
    assert np.bincount(found).min() > 300
    for label in range(4):
        assert np.bincount(found[labels == label], minlength=5).min() >= 1


def test_rows_without_groups_are_spread_evenly_by_label():
    labels = np.repeat([0, 1, 2], [500, 50, 5])
    found = stratified_group_folds(None, labels, count=5, seed=0)
    assert all(np.bincount(found[labels == label]).tolist() == [size] * 5 for label, size in ((0, 100), (1, 10), (2, 1)))


def test_the_seed_decides():
    labels = np.zeros(100, np.int64)
    assert (stratified_group_folds(None, labels, seed=1) == stratified_group_folds(None, labels, seed=1)).all()
    assert (stratified_group_folds(None, labels, seed=1) != stratified_group_folds(None, labels, seed=2)).any()


@pytest.mark.parametrize(("groups", "count"), [(["a", "a", "b"], 3), (["a"] * 5, 2), (["a", "b"], 1)])
def test_too_few_groups_are_refused(groups, count):
    with pytest.raises(UserError, match="groups"):
        stratified_group_folds(groups, np.zeros(len(groups), np.int64), count=count)
