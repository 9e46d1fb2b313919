"""The audit of a live question: from the judgments to the status."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import Project

ANSWERS = ["no", "yes"]


@pytest.fixture
def answered(tmp_path):
    """Asked until nobody is asked more: 60 items, seven people who are right in 85 %, every second item audited."""
    project = Project.create(tmp_path / "p", redundancy={"confidence_threshold": 0.9, "max_judgments": 5, "audit_share": 0.5})
    project.add_question("q", "choice", ANSWERS)
    project.add_items({"id": f"i-{n}", "text": f"text {n} like no other"} for n in range(60))
    rng = np.random.default_rng(0)
    truth = {f"i-{n}": n % 2 for n in range(60)}
    idle = 0
    while idle < 7:
        idle = 0
        for person in "abcdefg":
            project.add_annotator(person)
            slot = project.next(person)
            if slot is None:
                idle += 1
                continue
            right = rng.random() < 0.85
            project.submit(slot.slot, person, ANSWERS[truth[slot.item] if right else 1 - truth[slot.item]])
    yield project
    project.close()


def test_audited_items_have_full_redundancy_and_the_status_shows_what_came_true(answered):
    from preceptor.planning import is_audited

    consensus = answered.consensus("q")
    counts = dict(zip(consensus.items, consensus.judgment_counts.tolist(), strict=True))
    assert {counts[item] for item in counts if is_audited(item, 0.5)} == {5}
    assert min(counts[item] for item in counts if not is_audited(item, 0.5)) < 5
    found = answered.status()["questions"][0]["audit"]
    assert 0 < found["items"] <= sum(is_audited(item, 0.5) for item in counts)
    assert 0.9 <= found["claimed"] <= 1
    assert found["realised"]["low"] <= found["realised"]["value"] <= found["realised"]["high"]
    assert (found["stops_at"] == 0.9) is not found["is_off"]


def test_without_an_audit_there_is_nothing_to_show(project):
    assert project.status()["questions"][0]["audit"] is None


def test_audited_items_that_wait_for_people_hold_nobody_up(tmp_path):
    """Five people have answered, two go on: what the absent three owe to the audit doesn't stop the asking about other items."""
    from preceptor.planning import is_audited

    project = Project.create(tmp_path / "p", redundancy={"confidence_threshold": 0.75})
    project.add_question("sentiment", "choice", ["negative", "neutral", "positive"])
    names = [f"i-{n}" for n in range(200)]
    audited = next(name for name in names if is_audited(name, 0.04))
    doubtful = next(name for name in names if not is_audited(name, 0.04))
    clear = [name for name in names if not is_audited(name, 0.04)][1:30]
    project.add_items({"id": name, "text": f"the text {name} like no other"} for name in [audited, doubtful, *clear])
    for number, name in enumerate([*clear, audited]):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(name, "sentiment", annotator=person, answer=("positive", "negative")[number % 2])
    for person in ("cy", "di", "ed"):
        project.add_annotator(person)
        project.judge(clear[0], "sentiment", annotator=person, answer="positive")
    for person, answer in (("ann", "positive"), ("bob", "negative")):
        project.add_annotator(person)
        project.judge(doubtful, "sentiment", annotator=person, answer=answer)
    assert project.update_redundancy("sentiment") == 3 + 1  # the audit, and one more about the doubtful item
    project.add_annotator("cy")
    project.judge(doubtful, "sentiment", annotator="cy", answer="neutral")
    assert project.update_redundancy("sentiment") == 1
    project.close()
