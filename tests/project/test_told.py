"""Files that train without a judgment: prompt and completion, conversations."""

from __future__ import annotations

import json

import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import COMPLETION, choose_snapshot_question


@pytest.fixture
def bare(tmp_path):
    made = Project.create(tmp_path / "answers")
    yield made
    made.close()


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(count=40):
    return [{"prompt": f"How do I mend number {n} of the {n * n} things?", "completion": f"With glue {n}."} for n in range(count)]


def test_a_completion_is_its_files_answer_and_becomes_the_target(bare, tmp_path):
    report = bare.read(write(tmp_path / "faq.jsonl", pairs()))
    assert (report.items, report.judgments, report.missing_answers) == (40, 40, 0)
    assert bare.questions() == []  # nobody is asked
    bare.add_annotator("ann")
    assert bare.next("ann") is None
    assert next(row["annotator"] for row in bare.export("judgments")) == "import:faq.jsonl"
    snapshot = bare.snapshot(choose_snapshot_question(bare, None), name="v1")
    rows = {row.id: row for row in snapshot.rows()}
    assert len(rows) == 40
    row = next(row for row in rows.values() if "number 7 of" in row.text)
    assert row.content == {"prompt": "How do I mend number 7 of the 49 things?"}
    assert dict(row.target) == {"With glue 7.": 1.0}
    assert len(row.lineage) == 1
    assert snapshot.answers == ()
    assert snapshot.question["kind"] == "write"
    assert snapshot.summary()["rows"]["train"] > snapshot.summary()["rows"]["test"] > 0
    assert bare.read(write(tmp_path / "faq.jsonl", pairs())).repeated == 40  # the same file again
    assert bare.snapshot(choose_snapshot_question(bare, None)).digest == snapshot.digest


def test_a_conversation_keeps_its_turns_and_marks_what_its_author_wrote(bare, tmp_path):
    def talk(n, *more):
        turns = [
            ("user", f"Hello {n}, are you there?"),
            ("assistant", "Yes."),
            ("user", f"Say the number {n} twice."),
            ("assistant", f"{n} {n}"),
        ]
        return {"messages": [{"role": role, "content": content} for role, content in turns], "group": f"g{n}"}

    talks = [talk(n) for n in range(30)]
    talks[4]["messages"][1]["weight"] = 0
    talks[5]["messages"].pop()
    report = bare.read(write(tmp_path / "chat.jsonl", talks))
    assert (report.items, report.judgments, report.missing_answers) == (30, 29, 1)
    rows = {row.group: row for row in bare.snapshot(choose_snapshot_question(bare, None)).rows()}
    row = rows["g3"]
    assert row.answer == "3 3"
    assert [turn["role"] for turn in row.content["messages"]] == ["user", "assistant", "user"]
    assert [turn.get("weight") for turn in row.content["messages"]] == [None, 1, None]
    assert rows["g4"].content["messages"][1]["weight"] == 0
    assert "g5" not in rows


def test_copies_merge_and_nothing_is_dropped_uncounted(bare, tmp_path):
    rows = [*pairs(30), {**pairs(1)[0], "id": "again", "group": "elsewhere"}, {**pairs(1)[0], "id": "other", "completion": "With a nail."}]
    bare.read(write(tmp_path / "faq.jsonl", rows))
    snapshot = bare.snapshot(choose_snapshot_question(bare, None))
    checks = {check["check"]: check["found"] for check in snapshot.manifest["checks"]}
    assert checks["merged"] == 1
    same = [row for row in snapshot.rows() if "number 0 of" in row.text]
    assert sorted(row.answer for row in same) == ["With a nail.", "With glue 0."]
    assert len({row.split for row in same}) == len({row.group for row in same}) == 1
    assert max(len(row.lineage) for row in same) == 2
    assert sum(1 for _ in snapshot.rows()) + checks["merged"] + checks["left out"] == 32


def test_one_template_is_told_and_not_tied(bare, tmp_path):
    rows = [
        {"prompt": f"Please translate the following sentence from English into French and nothing else: {n}", "completion": f"oui {n}"}
        for n in range(30)
    ]
    bare.read(write(tmp_path / "faq.jsonl", [*rows, *pairs(10)]))
    snapshot = bare.snapshot(choose_snapshot_question(bare, None))
    assert next(check["found"] for check in snapshot.manifest["checks"] if check["check"] == "template") == 30
    assert len({row.group for row in snapshot.rows()}) > 25


def test_an_empty_completion_is_refused_with_its_line(bare, tmp_path):
    rows = [*pairs(3), {"prompt": "a", "completion": "  "}]
    with pytest.raises(UserError, match=r"the completion is empty") as refused:
        bare.read(write(tmp_path / "faq.jsonl", rows))
    assert refused.value.where == "faq.jsonl:4"
    report = bare.read(tmp_path / "faq.jsonl", max_bad=1)
    assert (report.items, len(report.skipped)) == (3, 1)


def test_where_people_are_asked_a_completion_is_what_they_are_asked_about(project, tmp_path):
    report = project.read(write(tmp_path / "faq.jsonl", pairs(5)))
    assert (report.items, report.judgments) == (5, 0)
    assert choose_snapshot_question(project, None) == "sentiment"


def test_a_question_asked_later_is_the_one_that_commands_mean(bare, tmp_path):
    bare.read(write(tmp_path / "faq.jsonl", pairs(5)))
    bare.add_question("good", "choice", ["no", "yes"])
    assert bare.only_question() == "good"
    assert choose_snapshot_question(bare, None) == "good"
    assert choose_snapshot_question(bare, COMPLETION.name) == "completion"
    bare.add_annotator("ann")
    assert bare.next("ann").question == "good"


def test_texts_of_people_are_frozen_without_marking_earlier_turns(bare):
    bare.add_question("reply", "write")
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    bare.add_items({"id": f"i{n}", "messages": [*turns[:2], {"role": "user", "content": f"number {n} or {n * n}?"}]} for n in range(20))
    bare.add_annotator("ann")
    for n in range(20):
        bare.judge(f"i{n}", "reply", annotator="ann", answer=f"the first, {n}")
    row = next(iter(bare.snapshot("reply").rows()))
    assert row.answer.startswith("the first")
    assert "weight" not in row.content["messages"][1]
