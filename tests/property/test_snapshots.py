"""What must hold of every snapshot: groups stay whole, and the digest knows neither order nor names."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor import Project
from preceptor.storage.snapshot_rows import build_rows
from preceptor.storage.snapshots import rows_digest
from preceptor.types import Consensus, Item

ANSWERS = ("negative", "neutral", "positive")
texts = st.sampled_from([f"sentence {n} of the {'first' if n % 2 else 'second'} kind" for n in range(25)] + ["the same", "The  SAME", ""])


@st.composite
def judged(draw):
    """Items in groups, some with the same text, each with a posterior; enough of every class for a split."""
    count = draw(st.integers(60, 90))
    drawn = draw(st.lists(st.tuples(st.integers(0, 40), texts, st.integers(0, 2)), min_size=count, max_size=count))
    items = [Item(f"i-{n}", {"text": f"{text} {n % 7}"}, f"g-{group}") for n, (group, text, _) in enumerate(drawn)]
    items += [Item(f"own-{n}", {"text": f"text {n} like no other, {n * n}"}, f"own-{n}") for n in range(60)]
    codes = [code for _, _, code in drawn] + [n % 3 for n in range(60)]
    return items, codes


def agreed(items, codes):
    import numpy as np

    posterior = np.full((len(items), 3), 0.125)
    posterior[np.arange(len(items)), codes] = 0.75
    return Consensus(tuple(item.id for item in items), ANSWERS, posterior, np.ones(len(items), np.int64), {}, "made up")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(judged(), st.randoms(use_true_random=False))
def test_no_group_nor_text_on_two_sides_and_no_order_in_the_digest(drawn, random):
    items, codes = drawn
    rows, _ = build_rows(items, agreed(items, codes), {})
    side = {row.id: row.split for row in rows}
    for belongs in (lambda item: item.group, lambda item: " ".join(item.text.lower().split())):
        sides = {}
        for item in items:
            sides.setdefault(belongs(item), set()).add(side[item.id])
        assert all(len(found) == 1 for found in sides.values())
    order = list(range(len(items)))
    random.shuffle(order)
    shuffled = [items[n] for n in order]
    again, _ = build_rows(shuffled, agreed(shuffled, [codes[n] for n in order]), {})
    assert rows_digest(again) == rows_digest(rows)
    assert [row.id for row in again] == [row.id for row in rows]


def test_the_same_judgments_give_the_same_digest_in_any_order_folder_and_name(tmp_path):
    import random

    rows = [{"id": f"r-{n}", "text": f"text {n} like no other, {n * n}", "group": f"g-{n // 3}"} for n in range(90)]
    said = [(f"r-{n}", person, ANSWERS[(n + (person == "cid" and n % 5 == 0)) % 3]) for n in range(90) for person in ("ann", "bob", "cid")]
    digests = set()
    for number, name in enumerate(("reviews", "another-name", "a/folder/deeper")):
        random.Random(number).shuffle(rows)
        random.Random(number).shuffle(said)
        project = Project.create(tmp_path / name)
        project.add_question("sentiment" if number else "mood", "choice", ANSWERS)
        if number:  # numbers of judgments and keys of items differ as well
            project.add_items([{"id": f"other-{number}", "text": "an item that nobody judged"}])
        project.add_items(rows)
        for item, person, answer in said:
            project.add_annotator(person)
            project.judge(item, project.only_question(), annotator=person, answer=answer)
        digests.add(project.snapshot(project.only_question()).digest)
        project.close()
    assert len(digests) == 1
