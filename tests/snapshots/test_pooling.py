"""Rows merged into one."""

from __future__ import annotations

import pytest

from preceptor.storage.snapshot_rows import SnapshotRow, apply_exclusions, pool_row


def row(id_, target, lineage=(1,), split="train"):
    return SnapshotRow(id_, {"text": id_}, target, 1.0, split, id_, lineage)


def test_a_target_is_the_mean_by_judgments_and_the_lineage_is_everybodys():
    one, other = row("a", {"yes": 1.0}, (1, 2, 3)), row("b", {"no": 0.6, "yes": 0.4}, (9,))
    found = pool_row(one, [other])
    assert found.target == {"no": 0.15, "yes": 0.85}
    assert found.lineage == (1, 2, 3, 9)
    assert (found.id, found.weight, found.split) == ("a", 1.0, "train")


def test_a_row_without_judgments_counts_as_one():
    assert pool_row(row("a", {"yes": 1.0}, ()), [row("b", {"no": 1.0}, ())]).target == {"no": 0.5, "yes": 0.5}


def test_of_several_labels_each_keeps_its_own_probability_zeros_too():
    one, other = row("a", {"cat": 1.0, "dog": 0.0, "emu": 0.0}), row("b", {"cat": 0.0, "dog": 0.5, "emu": 0.0})
    assert pool_row(one, [other]).target == {"cat": 0.5, "dog": 0.25, "emu": 0.0}


def test_what_is_merged_goes_where_its_target_went():
    rows = [row(name, {"yes": 1.0} if name in "ab" else {"no": 1.0}, (place,)) for place, name in enumerate("abcde")]
    kept, gone = apply_exclusions(rows, {"a": "b", "b": "c", "d": ""})
    assert [each.id for each in kept] == ["c", "e"]
    assert gone == 3
    assert kept[0].target == pytest.approx({"no": 1 / 3, "yes": 2 / 3}, abs=1e-6)
    assert kept[0].lineage == (0, 1, 2)
    assert apply_exclusions(rows, {"a": "d", "d": ""})[0] == [rows[1], rows[2], rows[4]]


def test_a_ring_of_merges_ends():
    rows = [row(name, {"yes": 1.0}) for name in "abc"]
    assert [each.id for each in apply_exclusions(rows, {"a": "b", "b": "a"})[0]] == ["c"]


def test_what_was_merged_into_nothing_that_is_here_is_left_out():
    rows = [row(name, {"yes": 1.0}) for name in "ab"]
    assert apply_exclusions(rows, {"a": "elsewhere"}) == ([rows[1]], 1)
