"""Experts decide a random part of the test rows; accuracy then holds against them, whatever the crowd gets wrong."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.runs import expert_audit

ANSWERS = ("no", "yes")
ITEMS = 1200


def truth_of(item: str) -> str:
    return ANSWERS[int(item.removeprefix("i-")) % 2]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """1,200 items, each judged by three of six people who are right in 75 %, and all wrong where an item is hard (one in eight)."""
    project = Project.create(tmp_path_factory.mktemp("crowd") / "p", annotators={"gold_share": 0})
    project.add_items({"id": f"i-{n}", "text": f"text number {n} of its own"} for n in range(ITEMS))
    project.add_question("safe", "choice", ANSWERS)
    random = np.random.default_rng(3)
    for n in range(ITEMS):
        for who in random.choice(6, 3, replace=False):
            right = random.random() < (0.2 if n % 8 == 3 else 0.75)
            project.add_annotator(f"p-{who}")
            project.judge(f"i-{n}", "safe", annotator=f"p-{who}", answer=truth_of(f"i-{n}") if right else ANSWERS[(n + 1) % 2])
    yield project
    project.close()


@pytest.fixture(scope="module")
def snapshot(crowded):
    return crowded.snapshot("safe", name="v1")


def model_of(rows):
    """Probabilities of a model that is right in 85 %, and wrong where the crowd is: it learnt from them."""
    random = np.random.default_rng(5)
    right = np.array([random.random() < (0.3 if int(row.id.removeprefix("i-")) % 8 == 3 else 0.93) for row in rows])
    true = np.array([ANSWERS.index(truth_of(row.id)) for row in rows])
    answered = np.where(right, true, 1 - true)
    return np.eye(2)[answered] * 0.8 + 0.1, right


def decide(project, who="eve", most=10**6):
    """An expert answers what waits for experts, in their way."""
    answered = 0
    project.add_annotator(who)
    while answered < most and (taken := project.next(who, "safe")) is not None:
        project.submit(taken.slot, who, truth_of(taken.item))
        answered += 1
    return answered


def test_there_must_be_an_expert(project):
    project.add_items({"id": f"i-{n}", "text": f"a text of its own, number {n}"} for n in range(60))
    project.add_annotator("ann")
    for n in range(60):
        project.judge(f"i-{n}", "sentiment", annotator="ann", answer=["negative", "positive"][n % 2])
    with pytest.raises(UserError, match="there is no expert to decide"):
        expert_audit.queue_expert_sample(project, project.snapshot("sentiment", name="v1"))


def test_accuracy_holds_against_experts_where_the_consensus_misleads(crowded, snapshot):
    rows = list(snapshot.rows("test"))
    probabilities, right = model_of(rows)
    by_consensus = np.mean([row.answer == ANSWERS[at] for row, at in zip(rows, probabilities.argmax(axis=1), strict=True)])
    crowded.add_annotator("eve", role="expert")
    assert expert_audit.queue_expert_sample(crowded, snapshot) == 50
    decide(crowded, most=49)
    assert expert_audit.measure_against_experts(crowded, snapshot, rows, probabilities, "test") is None, "one of the first 50 is open"
    assert expert_audit.queue_expert_sample(crowded, snapshot) == 1, "the same rows, not others"
    decide(crowded)
    found, about = expert_audit.measure_against_experts(crowded, snapshot, rows, probabilities, "test")
    assert about["decided"] == 50
    assert about["consensus_agrees"] < 0.95
    assert 0 < expert_audit.queue_expert_sample(crowded, snapshot) <= 50, (
        "the next part, of which those in doubt have climbed to her before"
    )
    decide(crowded)
    wider, found = found, expert_audit.measure_against_experts(crowded, snapshot, rows, probabilities, "test")[0]
    assert found.low <= right.mean() <= found.high
    assert abs(found.value - right.mean()) < abs(by_consensus - right.mean())
    assert found.high - found.low < wider.high - wider.low
    assert "ppi" in found.method
    # what somebody chose counts for nothing
    before = expert_audit.measure_against_experts(crowded, snapshot, rows, probabilities, "test")
    waiting = [row.id for row in rows if row.id not in _decided(crowded, snapshot)]
    crowded.add_gold("safe", {waiting[-1]: "yes"})
    assert expert_audit.measure_against_experts(crowded, snapshot, rows, probabilities, "test") == before


def _decided(project, snapshot):
    with project.database.reading() as connection:
        return expert_audit._load_sample(connection, snapshot, "test").expert_answers


def test_where_experts_are_tied_another_decides(tmp_path):
    project = Project.create(tmp_path / "p", annotators={"gold_share": 0}, redundancy={"min_judgments": 1, "max_judgments": 1})
    project.add_items({"id": f"i-{n}", "text": f"a text of its own, number {n}"} for n in range(60))
    project.add_question("safe", "choice", ANSWERS)
    project.add_annotator("ann")
    for n in range(60):
        project.judge(f"i-{n}", "safe", annotator="ann", answer=truth_of(f"i-{n}"))
    snapshot = project.snapshot("safe", name="v1")
    row = next(snapshot.rows("test"))
    for who, answer in (("eve", "yes"), ("dan", "no"), ("zoe", "yes")):
        project.add_annotator(who, role="expert")
        project.add_annotator(who)
        if who != "zoe":
            project.judge(row.id, "safe", annotator=who, answer=answer)
    assert row.id in _sample_of(project, snapshot).tied_items
    expert_audit.queue_expert_sample(project, snapshot)
    handed = []
    project.add_annotator("zoe")
    while (taken := project.next("zoe", "safe")) is not None:
        handed.append(taken.item)
        project.submit(taken.slot, "zoe", "yes")
    assert row.id in handed
    sample = _sample_of(project, snapshot)
    assert sample.expert_answers[row.id] == "yes"
    assert sample.tied_items == frozenset()
    project.close()


def _sample_of(project, snapshot):
    with project.database.reading() as connection:
        return expert_audit._load_sample(connection, snapshot, "test")
