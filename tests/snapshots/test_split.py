"""Sides of a split: what belongs together stays together, and stays where it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.storage.snapshot_rows import MAX_SEEDS, check_fractions, split_groups, tie_groups

rows = st.lists(st.tuples(st.sampled_from([f"g{n}" for n in range(12)]), st.integers(0, 8)), min_size=1, max_size=40)


@given(rows)
def test_a_tie_joins_groups_that_share_a_cluster_and_no_others(pairs):
    groups, clusters = [group for group, _ in pairs], [cluster for _, cluster in pairs]
    tied = tie_groups(groups, clusters)
    assert components(tied, groups) == components(tied, clusters) == len(set(tied))
    reached = {groups[0]}
    while more := {g for g, c in pairs if c in {c for g, c in pairs if g in reached}} - reached:
        reached |= more
    assert {group for group, name in zip(groups, tied, strict=True) if name == tied[0]} == reached
    assert tied[0] == min(reached)


def components(tied, of):
    """How many names there are when each of `of` has one only; fails when one has two."""
    names = {}
    for name, value in zip(tied, of, strict=True):
        assert names.setdefault(value, name) == name
    return len(set(names.values()))


def test_fractions_are_met_and_groups_stay_whole():
    groups = [f"g{n // 3}" for n in range(6000)]
    sides, seed = split_groups(groups, ["a"] * 6000)
    assert seed == 0
    assert components(sides, groups) == 3
    shares = {side: count / 6000 for side, count in Counter(sides).items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.15, "test": 0.15}, abs=0.03)


def test_a_group_keeps_its_side_when_others_come():
    few, _ = split_groups([f"g{n}" for n in range(50)], ["a"] * 50, seed=3)
    more, _ = split_groups([f"g{n}" for n in range(5000)], ["a"] * 5000, seed=3)
    assert few == more[:50]


def test_a_seed_moves_groups():
    groups = [f"g{n}" for n in range(200)]
    assert split_groups(groups, ["a"] * 200, seed=1)[0] != split_groups(groups, ["a"] * 200, seed=2)[0]


def test_the_first_seed_is_taken_that_puts_every_class_on_every_side():
    groups, answers = [f"g{n}" for n in range(40)], [("rare",) if n < 3 else ("often",) for n in range(40)]
    sides, seed = split_groups(groups, answers)
    assert seed > 0
    assert len(set(zip(sides, answers, strict=True))) == 6
    for earlier in range(seed):
        with pytest.raises(UserError):
            split_whole_and_balanced(groups, answers, earlier)


def split_whole_and_balanced(groups, answers, seed):
    """The split of this seed; UserError when a class is missing, or a side falls short of half its fraction."""
    sides, _ = split_groups(groups, answers, seed=seed)
    if min(Counter(sides)[side] / share for side, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15))) < len(groups) / 2:
        raise UserError("unbalanced")


def test_the_seed_of_the_snapshot_before_is_kept():
    groups, answers = [f"g{n}" for n in range(400)], ["a", "b"] * 200
    assert split_groups(groups, answers)[1] == 0
    assert split_groups(groups, answers, earlier=17)[1] == 17


def test_no_row_changes_its_side_because_a_class_has_gone_from_one():
    groups, answers = [f"g{n}" for n in range(60)], [("rare",) if n < 6 else ("often",) for n in range(60)]
    sides, seed = split_groups(groups, answers)
    gone = next(n for n in range(6) if sides[n] == "test")
    left = [n for n in range(60) if n != gone and (answers[n] == ("often",) or sides[n] != "test")]
    again, same = split_groups([groups[n] for n in left], [answers[n] for n in left], earlier=seed)
    assert same == seed
    assert again == [sides[n] for n in left]


def test_a_class_that_cannot_be_on_every_side_is_named():
    groups, answers = [f"g{n}" for n in range(60)], [("common",)] * 58 + [("rare",)] * 2
    with pytest.raises(
        UserError, match=rf"no row of class 'rare' in the \w+ split with any of {MAX_SEEDS} seeds: its rows stand in 2 groups"
    ):
        split_groups(groups, answers)
    with pytest.raises(UserError, match="with seed 5"):
        split_groups(groups, answers, seed=5)


def test_of_many_labels_rare_ones_stand_where_they_can_in_training_first():
    groups = [f"g{n}" for n in range(60)]
    answers = [("common", "rare") if n < 2 else ("common", "single") if n == 2 else () if n % 3 else ("common",) for n in range(60)]
    sides, _ = split_groups(groups, answers, rare=True)
    stand = {label: {side for side, said in zip(sides, answers, strict=True) if label in said} for label in ("common", "rare", "single")}
    assert stand["common"] == {"train", "validation", "test"}
    assert stand["single"] == {"train"}
    assert "train" in stand["rare"]


@pytest.mark.parametrize(
    "fractions",
    [{"train": 0.5, "dev": 0.5}, {"train": 0.5, "test": 0.4}, {"train": 1.2, "test": -0.2}, {"test": 1.0}, {"train": 0.0, "test": 1.0}],
)
def test_unfit_fractions_are_refused(fractions):
    with pytest.raises(UserError, match="split"):
        check_fractions(fractions)
