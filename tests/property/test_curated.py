"""What people leave out or merge: a snapshot derived from another is the one that is taken anew, and no row changes its side."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.storage.snapshot_rows import apply_exclusions, build_rows
from preceptor.storage.snapshots import rows_digest
from preceptor.types import Consensus, Item

ANSWERS = ("negative", "neutral", "positive")
FEW = 60


@st.composite
def curated(draw):
    """Items of which many say the same, judged by one to three people each, and what became of some of them."""
    count = 30
    picked = draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 14), st.integers(0, 2), st.integers(1, 3)), min_size=count, max_size=count)
    )
    items = [
        Item(f"i-{n}", {"text": f"sentence {text} of the kind that comes again"}, f"g-{group}")
        for n, (text, group, _, _) in enumerate(picked)
    ]
    items += [Item(f"own-{n}", {"text": f"text {n} like no other, {n * n}"}, f"own-{n}") for n in range(FEW)]
    codes = [code for _, _, code, _ in picked] + [n % 3 for n in range(FEW)]
    judged = [number for *_, number in picked] + [2] * FEW
    names = [item.id for item in items[:count]]
    gone = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(["", *names, "own-0"]), max_size=20))
    return items, codes, judged, {item: into for item, into in gone.items() if item != into}


def agreed(items, codes, judged):
    posterior = np.full((len(items), 3), 0.125)
    posterior[np.arange(len(items)), codes] = 0.75
    return Consensus(tuple(item.id for item in items), ANSWERS, posterior, np.array(judged, np.int64), {}, "made up")


def numbered(items, judged):
    ends = np.cumsum(judged)
    return {item.id: list(range(end - count, end)) for item, count, end in zip(items, judged, ends.tolist(), strict=True)}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(curated())
def test_derived_and_taken_anew_are_the_same_and_sides_stay(drawn):
    items, codes, judged, gone = drawn
    fitted, lineage = agreed(items, codes, judged), numbered(items, judged)
    before, about = build_rows(items, fitted, lineage)
    derived, count = apply_exclusions(before, gone)
    anew, _ = build_rows(items, fitted, lineage, earlier=about["seed"], left_out=gone)
    assert count == len(gone) == len(before) - len(derived)
    side = {row.id: row.split for row in before}
    assert all(row.split == side[row.id] for row in derived)
    assert not {row.id for row in derived} & set(gone)
    if {row.id: row.split for row in anew} == {row.id: side[row.id] for row in anew}:  # a class that went may need another seed
        assert rows_digest(anew) == rows_digest(derived)
    for row in derived:
        assert abs(sum(row.target.values()) - 1) < 1e-5
        assert set(lineage[row.id]) <= set(row.lineage)
    kept = {number for row in derived for number in row.lineage}
    rejected = {number for item, into in gone.items() if into == "" for number in lineage[item]}
    assert not kept & rejected
    everything = [number for row in derived for number in row.lineage]
    assert len(everything) == len(set(everything)), "no judgment counts for two rows"


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(curated(), st.randoms(use_true_random=False))
def test_the_order_of_decisions_and_items_is_of_no_matter(drawn, random):
    items, codes, judged, gone = drawn
    lineage = numbered(items, judged)
    rows, _ = build_rows(items, agreed(items, codes, judged), lineage, left_out=gone)
    order = list(range(len(items)))
    random.shuffle(order)
    mixed = [items[n] for n in order]
    fitted = agreed(mixed, [codes[n] for n in order], [judged[n] for n in order])
    again, _ = build_rows(mixed, fitted, lineage, left_out=dict(random.sample(sorted(gone.items()), len(gone))))
    assert rows_digest(again) == rows_digest(rows)
