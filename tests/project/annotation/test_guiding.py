"""Guidance at work: nobody waits for who holds an item, and items in doubt climb."""

from __future__ import annotations

import pytest

from preceptor import Project
from preceptor.storage import slots


@pytest.fixture
def project(tmp_path):
    project = Project.create(
        tmp_path / "p", redundancy={"min_judgments": 2, "max_judgments": 3, "audit_share": 0}, annotators={"gold_share": 0}
    )
    project.add_question("safe", "choice", ["safe", "unsafe"])
    project.add_items({"id": f"i-{number}", "content": f"text {number}"} for number in range(12))
    yield project
    project.close()


def judge(project: Project, items, **said: str) -> None:
    for item in items:
        for annotator, answer in said.items():
            project.add_annotator(annotator)
            project.judge(item, "safe", annotator=annotator, answer=answer)


def tiers(project: Project) -> dict[str, int]:
    with project.database.reading() as connection:
        return {item: count.tier for item, count in slots.counts_by_item(connection, 1).items()}


AGREED, SPLIT = [f"i-{number}" for number in range(10)], ["i-10", "i-11"]


def test_an_item_that_somebody_holds_keeps_nobody_waiting(project):
    judge(project, [*AGREED, "i-10"], ann="safe", bob="unsafe")
    project.add_annotator("cec")
    held = project.next("cec")
    assert held.item == "i-11"
    project.add_annotator("dan")
    other = project.next("dan")
    assert other.item == "i-11"
    project.add_annotator("eve")
    assert project.next("eve") is not None  # both places are held, so guidance looks and asks again elsewhere


def test_items_in_doubt_climb_to_reviewers_and_then_to_experts(project):
    project.add_annotator("rev", "reviewer")
    project.add_annotator("exp", "expert")
    judge(project, AGREED, ann="safe", bob="safe", cec="safe")
    judge(project, SPLIT, ann="safe", bob="unsafe", cec="unsafe")
    project.add_annotator("dan")
    for item in SPLIT:
        project.judge(item, "safe", annotator="dan", answer="safe")
    project.update_redundancy("safe")
    assert {item for item, tier in tiers(project).items() if tier} == set(SPLIT)
    project.add_annotator("eve")
    assert project.next("eve") is None  # what has climbed is not for everyone
    found = project.next("rev")
    assert (found.item in SPLIT, found.tier) == (True, 1)


def test_nothing_climbs_where_there_is_nobody_above(project):
    judge(project, AGREED, ann="safe", bob="safe", cec="safe")
    judge(project, SPLIT, ann="safe", bob="unsafe", cec="unsafe")
    project.update_redundancy("safe")
    assert not any(tiers(project).values())


def test_what_an_expert_decides_is_gold_and_ends_the_doubt(project):
    project.add_annotator("exp", "expert")
    judge(project, AGREED, ann="safe", bob="safe", cec="safe")
    judge(project, SPLIT, ann="safe", bob="unsafe", cec="unsafe")
    project.update_redundancy("safe")
    found = project.next("exp")
    assert found.item in SPLIT
    project.submit(found.slot, "exp", "safe", asked=True)
    project.adjudicate(found.item, "safe", "safe", by="exp", explanation="It names no drug.")
    fitted = project.consensus("safe")
    row = fitted.items.index(found.item)
    assert (fitted.top[row], fitted.certainty[row] > 0.9) == ("safe", True)


def test_a_dearer_person_is_asked_when_what_they_tell_is_worth_it(tmp_path):
    for price, climbs in ((0.06, True), (50.0, False)):
        cost = {"judgment": 0.05, "annotators": {"exp": price}}
        project = Project.create(tmp_path / str(price), redundancy={"min_judgments": 2, "max_judgments": 7, "audit_share": 0}, cost=cost)
        project.add_question("safe", "choice", ["safe", "unsafe"])
        project.add_items({"id": f"i-{number}", "content": f"text {number}"} for number in range(40))
        project.add_annotator("exp", "expert")
        for number in range(40):
            truth, other = ("safe", "unsafe") if number % 2 else ("unsafe", "safe")
            said = {"ann": truth if number % 3 else other, "bob": truth if number % 4 else other}
            if number < 30:
                said |= {"exp": truth, "cec": truth if number % 5 else other, "dan": truth if number % 3 < 2 else other}
            judge(project, [f"i-{number}"], **said)
        project.update_redundancy("safe")
        assert (2 in tiers(project).values()) is climbs
        project.close()
