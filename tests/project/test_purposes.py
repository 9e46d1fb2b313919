"""Items of a purpose: their question is asked about them alone, and no other question is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor import Project, UserError
from preceptor.annotation import question_admin
from preceptor.questions import define_question
from preceptor.types import Item

VERIFY = replace(define_question({"name": "verify", "kind": "choice", "options": ["yes", "no"]}), purpose="audit")
PAIRS = [Item(f"a-{n}", {"prompt": "p", "completion": f"said {n}"}, f"g-{n}") for n in range(4)]


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "p", redundancy={"min_judgments": 1, "max_judgments": 3}, annotators={"gold_share": 0})
    made.add_question("mood", "choice", ["good", "bad"])
    made.add_items([{"id": f"i-{n}", "text": f"text {n}"} for n in range(3)])
    yield made
    made.close()


def handed(project: Project, who: str, question: str | None = None) -> list[tuple[str, str]]:
    found = []
    project.add_annotator(who)
    while (taken := project.next(who, question)) is not None:
        found.append((taken.question, taken.item))
        project.submit(taken.slot, who, "yes" if taken.question == "verify" else "good")
    return found


def test_each_question_is_asked_about_its_own_items(project):
    assert question_admin.enqueue_items(project, VERIFY, PAIRS, target_count=1) == 4
    asked = handed(project, "ann")
    assert sorted(item for question, item in asked if question == "verify") == [item.id for item in PAIRS]
    assert sorted(item for question, item in asked if question == "mood") == ["i-0", "i-1", "i-2"]


def test_what_comes_later_keeps_them_apart(project, tmp_path):
    question_admin.enqueue_items(project, VERIFY, PAIRS, target_count=1)
    project.add_items([{"id": "i-9", "text": "a later text"}])
    project.add_question("tone", "choice", ["warm", "cold"])
    more = tmp_path / "more.csv"
    more.write_text("id,text\ni-10,another text\n")
    project.read(more)
    with project.database.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT q.name, count(*) FROM slots s JOIN questions q ON q.pk = s.question GROUP BY q.name"
        ).all()
    assert dict(map(tuple, rows)) == {"mood": 5, "tone": 5, "verify": 4}
    assert project.counts()["items"] == 5
    assert {row["id"] for row in project.export("items")} == {"i-0", "i-1", "i-2", "i-9", "i-10"}
    assert project.only_question("tone") == "tone"


def test_the_same_again_asks_nothing_new(project):
    question_admin.enqueue_items(project, VERIFY, PAIRS, target_count=1)
    first = handed(project, "ann", "verify")
    assert len(first) == 4
    assert question_admin.enqueue_items(project, VERIFY, PAIRS, target_count=1) == 0
    assert handed(project, "bob", "verify") == []


def test_guidance_adds_nothing_and_stopping_ends_it(project):
    question_admin.enqueue_items(project, VERIFY, PAIRS, target_count=2)
    assert len(handed(project, "ann", "verify")) == 4
    assert project.update_redundancy("verify") == 0
    assert question_admin.close_question(project, "verify") == 4
    assert handed(project, "bob", "verify") == []
    consensus = project.consensus("verify")
    assert sorted(consensus.items) == [item.id for item in PAIRS]


def test_a_name_that_is_taken_is_refused(project):
    with pytest.raises(UserError, match="there is another question called 'mood'"):
        question_admin.enqueue_items(project, replace(VERIFY, name="mood"), PAIRS)
    with project.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM items WHERE purpose != ''").scalar_one() == 0
