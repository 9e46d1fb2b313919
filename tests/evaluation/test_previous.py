"""Two models on the rows that both were measured on: paired by text and truth, in any order, and nothing else."""

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.evaluation.slices import RowScores, compare_with_previous


def scores(right, keys=None, truths=None, name="accuracy"):
    keys = keys or [f"k{n}" for n in range(len(right))]
    return RowScores(keys, truths or ["t"] * len(keys), {name: np.array(right, dtype=float)})


def test_what_is_kept_comes_back():
    kept = RowScores(["a", "b"], ["x", "y"], {"accuracy": np.array([1.0, 0.0]), "token_f1": np.array([0.123456789, 1.0])})
    back = RowScores.from_bytes(kept.to_bytes())
    assert (back.keys, back.truths) == (["a", "b"], ["x", "y"])
    assert back.columns["token_f1"].tolist() == [0.123457, 1.0]


def test_rows_are_paired_by_their_keys_in_any_order():
    rng = np.random.default_rng(0)
    before = (rng.random(400) < 0.7).astype(float)
    now = np.maximum(before, rng.random(400) < 0.2)
    order = rng.permutation(400)
    shuffled = scores(before[order], [f"k{n}" for n in order])
    found = compare_with_previous(scores(now), shuffled, [n // 2 for n in range(400)], {"topic": ["a", "b"] * 200})
    assert (found["rows"], found["left_out"]) == (400, 0)
    accuracy = found["figures"]["accuracy"]
    assert accuracy["difference"].value == pytest.approx((now - before).mean())
    assert accuracy["was"].value == pytest.approx(before.mean())
    assert accuracy["difference"].low > 0
    assert accuracy["difference"].n == 200
    assert {each["slice"] for each in found["slices"]["found"]} == {"a", "b"}


def test_rows_that_only_one_has_or_whose_truth_changed_are_counted_and_left_out():
    now = scores([1, 1, 0, 1], ["a", "b", "c", "d"], ["x", "x", "x", "x"])
    before = scores([0, 1, 1], ["a", "b", "z"], ["x", "y", "x"])
    found = compare_with_previous(now, before, range(4), {})
    assert (found["rows"], found["left_out"]) == (1, 3)
    assert found["figures"]["accuracy"]["difference"].value == 1


def test_the_same_text_twice_is_paired_once_each():
    found = compare_with_previous(scores([1, 0], ["a", "a"]), scores([1, 1, 0], ["a", "a", "a"]), [1, 1], {})
    assert found["rows"] == 2
    assert found["figures"]["accuracy"]["difference"].value == -0.5


@pytest.mark.parametrize("before", [scores([1], ["z"]), scores([1, 1], name="token_f1")])
def test_without_anything_in_common_there_is_no_figure(before):
    assert "figures" not in compare_with_previous(scores([1, 0]), before, [1, 2], {})


def test_lengths_must_fit():
    with pytest.raises(UserError, match="different lengths"):
        RowScores(["a"], ["x"], {"accuracy": np.zeros(2)})
    with pytest.raises(UserError, match="different lengths"):
        RowScores(["a"], ["x"], {})
