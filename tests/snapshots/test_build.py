"""Rows from items and a consensus, and the checks that stand beside them."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.consensus.multilabel import MultilabelConsensus
from preceptor.errors import UserError
from preceptor.storage.snapshot_rows import build_rows, check_rows
from preceptor.types import Consensus, Item

ANSWERS = ("no", "yes")


def made(count, text="text number {n} of its own kind {n}{n}{n}", group="g-{n}"):
    return [Item(f"i-{n}", {"text": text.format(n=n)}, group.format(n=n)) for n in range(count)]


def agreed(items, share=0.75):
    chances = np.array([[share, 1 - share] if n % 2 else [1 - share, share] for n in range(len(items))])
    return Consensus(tuple(item.id for item in items), ANSWERS, chances, np.full(len(items), 2), {}, "made up")


def found(about, check):
    return next(row["found"] for row in about["checks"] if row["check"] == check)


def test_a_row_has_the_posterior_and_the_judgments_behind_it():
    items = made(60)
    rows, about = build_rows(items, agreed(items), {"i-3": [7, 9]})
    row = next(row for row in rows if row.id == "i-3")
    assert row.target == {"no": 0.75, "yes": 0.25}
    assert (row.answer, row.lineage, row.group, row.content) == ("no", (7, 9), "g-3", items[3].content)
    assert about["seed"] in range(64)


def test_targets_are_rounded_so_that_machines_agree_and_impossible_answers_left_out():
    items = made(60)
    sure = agreed(items, share=1 - 1e-9)
    rows, _ = build_rows(items, sure, {})
    assert {tuple(row.target.items()) for row in rows} == {(("no", 1.0),), (("yes", 1.0),)}


def several(items, applies):
    """A consensus of three labels, with P(each applies) of each item."""
    labels, sets = ("cat", "dog", "emu"), ((), ("cat",))
    even = np.full((len(items), 2), 0.5)
    names = tuple(item.id for item in items)
    return MultilabelConsensus(names, sets, even, np.full(len(items), 2), {}, "multilabel", labels=labels, applies=np.array(applies))


def test_where_several_labels_apply_each_has_its_own_probability():
    items = made(60)
    rows, about = build_rows(items, several(items, [[0.9, 0.8, 0.0] if n % 2 else [0.2, 0.52, 0.0] for n in range(60)]), {})
    targets = {row.id: (row.target, row.labels) for row in rows}
    assert targets["i-1"] == ({"cat": 0.9, "dog": 0.8, "emu": 0.0}, ("cat", "dog"))
    assert targets["i-2"] == ({"cat": 0.2, "dog": 0.52, "emu": 0.0}, ("dog",))
    assert found(about, "undecided") == 30  # 0.8 × 0.52 is less than one half
    assert found(about, "rare labels") == 1
    assert "emu" in next(row["summary"] for row in about["checks"] if row["check"] == "rare labels")
    assert check_rows(rows, ("cat", "dog", "emu"))[-1]["found"] == 1


def test_items_to_which_nothing_applies_are_rows_too():
    items = made(60)
    rows, _ = build_rows(items, several(items, [[0.0, 0.0, 0.0]] * 60), {})
    assert len(rows) == 60
    assert rows[0].labels == ()


def test_items_without_judgments_are_left_out_and_counted():
    items = made(70)
    rows, about = build_rows(items, agreed(items[:60]), {})
    assert len(rows) == 60
    assert found(about, "left out") == 10


def test_nothing_judged_is_nothing_to_keep():
    with pytest.raises(UserError, match="nothing to take a snapshot of"):
        build_rows(made(5), agreed([]), {})


def test_near_duplicates_are_tied_across_groups():
    items = made(60)
    items += [Item(f"copy-{n}", {"text": f"  Text NUMBER {n} of its own kind {n}{n}{n} "}, f"other-{n}") for n in range(20)]
    rows, about = build_rows(items, agreed(items), {})
    side = {row.id: row.split for row in rows}
    assert all(side[f"copy-{n}"] == side[f"i-{n}"] for n in range(20))
    assert found(about, "duplicates") == 40
    assert found(about, "leaks") == found(about, "groups on two sides") == 0


def test_rows_of_a_template_may_part_but_never_the_same_text():
    items = made(90, text="Your order number {n} has been sent to the address that you gave us when you signed up")
    items += [Item(f"copy-{n}", items[n].content, f"other-{n}") for n in range(20)]
    rows, about = build_rows(items, agreed(items), {})
    side = {row.id: row.split for row in rows}
    assert found(about, "template") == 110
    assert all(side[f"copy-{n}"] == side[f"i-{n}"] for n in range(20))


def test_few_rows_with_one_text_are_no_template():
    items = [Item(f"i-{n}", {"text": "the same" if n < 3 else f"another {n}{n} of {n}"}, f"g-{n}") for n in range(30)]
    rows, _ = build_rows(items, agreed(items), {})
    assert len({row.split for row in rows if row.text == "the same"}) == 1


def test_what_spoils_training_is_counted():
    items = [*made(60), Item("empty", {"text": " "}, "empty")]
    unsure = agreed(items)
    answers = (*ANSWERS, "maybe")
    thirds = np.full((61, 3), 1 / 3)
    thirds[:60, :2], thirds[:60, 2] = unsure.posterior[:60], 0.0
    rows, about = build_rows(items, Consensus(unsure.items, answers, thirds, unsure.judgment_counts, {}, "made up"), {})
    assert (found(about, "empty"), found(about, "undecided")) == (1, 1)
    again = {check["check"]: check["found"] for check in check_rows(rows, classes=True)}
    assert again | {"left out": 0} == {check["check"]: check["found"] for check in about["checks"]}


def test_a_class_that_a_side_lacks_is_told():
    items = made(60)
    every = agreed(items)
    _, about = build_rows(items, every, {})
    assert found(about, "rare classes") == 0
    posterior = every.posterior.copy()
    posterior[:] = [1.0, 0.0]
    posterior[0] = [0.0, 1.0]
    _, about = build_rows(items, Consensus(every.items, every.answers, posterior, every.judgment_counts, {}, "made up"), {}, earlier=0)
    assert found(about, "rare classes") == 1
    assert next(check["summary"] for check in about["checks"] if check["check"] == "rare classes").endswith(f": {every.answers[1]}")
