"""Balance: each kind of finding is planted once, and a balanced set has none."""

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.quality.balance import check_balance


def test_a_balanced_set_has_no_finding():
    labels = ["a", "b", "c"] * 60
    found = check_balance(labels, groups=[f"g{number}" for number in range(180)], slices={"language": ["en", "de"] * 90})
    assert found.findings == ()
    assert found.effective_answers == pytest.approx(3)
    assert found.effective_groups == pytest.approx(180)
    assert [(count.answer, count.rows, count.groups) for count in found.answers] == [("a", 60, 60), ("b", 60, 60), ("c", 60, 60)]


def test_rare_answers_and_those_that_nobody_gave():
    found = check_balance(["a"] * 100 + ["b"] * 7, answers=["a", "b", "c"])
    rare = [each for each in found.findings if each.kind == "rare answer"]
    assert [each.count for each in rare] == [0, 7]
    assert rare[1].rows == tuple(range(100, 107))
    assert rare[1].summary.startswith("'b' has 7 rows of 7 groups (7 %, 3 % to ")
    assert found.effective_answers < 2


def test_an_answer_of_one_customer_is_rare_too():
    found = check_balance(["a"] * 100 + ["b"] * 50, groups=[*map(str, range(100)), *["x"] * 50])
    assert [each.kind for each in found.findings] == ["rare answer", "one group"]
    assert found.findings[0].summary.startswith("'b' has 50 rows of 1 group ")


def test_a_customer_with_two_fifths_of_the_rows():
    groups = ["big"] * 40 + [f"g{number}" for number in range(60)]
    found = check_balance(["a", "b"] * 50, groups=groups)
    (one,) = found.findings
    assert (one.kind, one.count, one.rows) == ("one group", 40, tuple(range(40)))
    assert one.summary == "the group 'big' has 40 of 100 rows (40 %): the model will mostly learn this one"
    assert found.effective_groups == pytest.approx(100**2 / (40**2 + 60))


def test_a_slice_that_answers_otherwise_and_its_empty_cell():
    rng = np.random.default_rng(0)
    language = rng.choice(["en", "de", "fr"], 600)
    labels = np.where(language == "fr", "a", rng.choice(["a", "b"], 600))
    found = check_balance(labels.tolist(), slices={"language": language.tolist(), "id": list(range(600))})
    assert next(each.summary.split(" (")[0] for each in found.findings if each.kind == "slice") == "language = 'fr'"
    (empty,) = [each for each in found.findings if each.kind == "empty cell"]
    assert empty.summary.startswith("no row of language = 'fr' has the answer 'b'")


def test_slices_that_are_alike_are_left_alone():
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = check_balance(rng.choice(["a", "b", "c"], 300).tolist(), slices={"x": rng.integers(4, size=300).tolist()}, seed=seed)
        alarms += any(each.kind == "slice" for each in found.findings)
    assert alarms <= 5


@pytest.mark.parametrize(
    ("labels", "more", "told"),
    [
        ([], {}, "no rows"),
        (["a", None], {}, "no label"),
        (["a"], {"answers": ["b"]}, "'a' is not among"),
        (["a"], {"slices": {"x": []}}, "0 values of 'x'"),
        (["a"], {"most_share": 0}, "most_share"),
    ],
)
def test_what_does_not_fit_is_refused(labels, more, told):
    with pytest.raises(UserError, match=told):
        check_balance(labels, **more)
