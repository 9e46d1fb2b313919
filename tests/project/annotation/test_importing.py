"""Files into the project: what is found in them, what is told, and nothing by halves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor.errors import ConflictError, UserError
from preceptor.storage import items, judgment_log, slots


@pytest.fixture
def file(tmp_path: Path):
    """Writes a file and returns its path."""

    def write(text: str, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def counts(project) -> tuple[int, int]:
    """How many items and judgments there are."""
    with project.database.reading() as connection:
        return items.count(connection), sum(count for _, _, count, _ in judgment_log.count_by_annotator(connection))


def stored(project) -> list:
    with project.database.reading() as connection:
        return list(items.stream(connection))


def said(project) -> list[tuple]:
    with project.database.reading() as connection:
        return [(j.item, j.annotator, j.answer, j.seconds) for j in judgment_log.stream_judgments(connection)]


def test_items_with_their_usual_columns(project, file):
    report = project.read(file("id,group,text,stars\na,g,first,5\nb,g,second,1\n"))
    assert (report.format, report.read, report.items, report.judgments) == ("csv", 2, 2, 0)
    first, second = stored(project)
    assert (first.id, first.group, first.content, first.metadata) == ("a", "g", {"text": "first"}, {"stars": "5"})
    assert second.id == "b"


def test_new_items_are_asked_about(project, file):
    project.read(file("id,text\na,first\nb,second\n"))
    project.add_annotator("ann")
    assert {project.next("ann").item for _ in range(1)} <= {"a", "b"}
    with project.database.reading() as connection:
        assert slots.question_progress(connection, 1)["slots"] == 2


def test_columns_go_by_their_names(project, file):
    project.read(file("key,doc,body,rating\nk1,d1,hello,5\n"), id="key", group="doc", text="body")
    (item,) = stored(project)
    assert (item.id, item.group, item.content, item.metadata) == ("k1", "d1", {"text": "hello"}, {"rating": "5"})


def test_a_named_column_goes_before_one_that_only_bears_the_name(project, file):
    project.read(file("text,content,id,group,review,key,shop\nlang,html,1,eu,hello,k1,s1\n"), id="key", text="review", group="shop")
    (item,) = stored(project)
    assert (item.id, item.group, item.content) == ("k1", "s1", {"text": "hello"})
    assert item.metadata == {"text_": "lang", "content_": "html", "id_": "1", "group_": "eu"}


def test_several_judgments_of_one_text(project, file):
    text = "id,text,answer,annotator,seconds\na,first,positive,ann,2.5\na,first,negative,bob,\nb,second,,ann,1\n"
    report = project.read(file(text), question="sentiment")
    assert (report.items, report.judgments, report.missing_answers) == (2, 2, 1)
    assert said(project) == [("a", "ann", "positive", 2.5), ("a", "bob", "negative", None)]
    with project.database.reading() as connection:
        assert {item: count[:2] for item, count in slots.counts_by_item(connection, 1).items()} == {"a": (2, 2), "b": (2, 0)}


def test_judgments_about_items_that_are_there(project, file):
    project.add_items([{"id": "a", "text": "first"}, {"id": "b", "text": "second"}])
    project.read(file("item,label,worker\na, positive,w1\n".replace(" ", "")), question="sentiment")
    assert said(project) == [("a", "w1", "positive", None)]
    with project.database.reading() as connection:
        assert slots.counts_by_item(connection, 1)["a"][:2] == (2, 1)


def test_the_only_question_need_not_be_named(project, file):
    project.read(file("text,mood\nfirst,positive\n"), label="mood")
    assert counts(project) == (1, 1)


def test_a_column_named_like_the_question_holds_its_answers(project, file):
    project.read(file("text,sentiment\nfirst,positive\n"), question="sentiment")
    assert counts(project) == (1, 1)


def test_without_an_answer_column_a_question_is_no_use(project, file):
    with pytest.raises(UserError, match="no column holds the answers to 'sentiment'"):
        project.read(file("text,stars\nfirst,5\n"), question="sentiment")
    assert counts(project) == (0, 0)


def test_unnamed_people_of_one_file_are_different_people(project, file):
    project.read(file("text,label\nsame,positive\nsame,negative\n"), question="sentiment")
    assert [who for _, who, _, _ in said(project)] == ["import:rows.csv", "import:rows.csv#2"]
    assert {person["kind"] for person in people(project)} == {"import"}


def people(project):
    from preceptor.storage import people as people_module

    with project.database.reading() as connection:
        return [{"id": person.id, "kind": person.kind} for person in people_module.list_annotators(connection)]


def test_the_same_file_again_changes_nothing(project, file):
    path = file("text,label\nsame,positive\nsame,positive\nother,negative\n")
    project.read(path, question="sentiment")
    before = said(project)
    report = project.read(path, question="sentiment")
    assert (report.items, report.judgments, report.repeated) == (0, 0, 3)
    assert said(project) == before
    with project.database.reading() as connection:
        assert sorted(count[:2] for count in slots.counts_by_item(connection, 1).values()) == [(2, 1), (2, 2)]


def test_a_question_that_changed_gets_its_judgments_from_the_same_file(project, file):
    path = file("text,label\nfirst,positive\n")
    project.read(path, question="sentiment")
    project.add_question("sentiment", "choice", ["negative", "positive"])
    assert project.read(path, question="sentiment").judgments == 1
    assert project.consensus("sentiment").answers == ("negative", "positive")


def test_exported_judgments_come_back_to_their_own_question(project, file, tmp_path):
    from preceptor import Project
    from preceptor.formats import write

    project.add_question("clear", "choice", ["negative", "positive"])
    project.add_items([{"id": "a", "text": "first"}])
    project.add_annotator("ann")
    project.judge("a", "sentiment", annotator="ann", answer="positive", seconds=1.5)
    project.judge("a", "clear", annotator="ann", answer="negative")
    write(project.export("judgments"), tmp_path / "judgments.jsonl")
    other = Project.create(tmp_path / "other")
    other.add_question("sentiment", "choice", ["negative", "neutral", "positive"])
    other.add_items([{"id": "a", "text": "first"}])
    report = other.read(tmp_path / "judgments.jsonl", question="sentiment")
    assert said(other) == [("a", "ann", "positive", 1.5)]
    assert report.warnings == ["judgments of other questions left out: 1; import them with --question NAME"]
    other.close()


@pytest.mark.parametrize(
    ("text", "where", "fault"),
    [
        ("id,text\na,first\na,changed\n", "rows.csv:3", "'a' is there already with other content"),
        ("id,text,label\na,first,positive\nb,second,postive\n", "rows.csv:3", "did you mean 'positive'"),
        ("id,text,label,seconds\na,first,positive,nan\n", "rows.csv:2, column 'seconds'", "seconds must be a number"),
        ("id,text,label,seconds\na,first,positive,-1\n", "rows.csv:2, column 'seconds'", "seconds must be a number"),
        ("item,label\na,positive\n", "rows.csv:2", "a judgment for an unknown item 'a'"),
    ],
)
def test_a_bad_row_is_placed_and_nothing_of_the_file_is_kept(project, file, text, where, fault):
    with pytest.raises(UserError, match=fault) as caught:
        project.read(file(text), question="sentiment" if "label" in text else None)
    assert caught.value.where == where
    assert caught.value.hint
    assert counts(project) == (0, 0)


def test_an_item_that_differs_from_an_earlier_one_is_placed(project, file):
    project.add_items([{"id": "a", "text": "first"}])
    lines = "".join(f"{n},text {n}\n" for n in range(1200))
    with pytest.raises(ConflictError) as caught:
        project.read(file(f"id,text\n{lines}a,other\n"))
    assert caught.value.where == "rows.csv:1202"
    assert counts(project) == (1, 0)


def test_some_bad_rows_may_be_allowed(project, file):
    path = file("id,text,label\na,first,positive\nb,second,maybe\nc,third,negative\n")
    report = project.read(path, question="sentiment", max_bad=1)
    assert (report.read, report.items, report.judgments) == (3, 2, 2)
    assert report.skipped == [{"where": "rows.csv:3", "reason": "column 'label': 'maybe' is not an option of 'sentiment'"}]
    with pytest.raises(UserError):
        project.read(file("item,label\nx,positive\ny,positive\n", "unknown.csv"), question="sentiment", max_bad=1)
    assert counts(project) == (2, 2)


def test_a_missing_column_is_named_with_those_there_are(project, file):
    with pytest.raises(UserError, match=r"no column 'txet' .*did you mean 'text'") as caught:
        project.read(file("id,text\na,first\n"), text="txet")
    assert "columns: id, text" in caught.value.hint


def test_a_file_without_texts_or_answers_is_told(project, file):
    with pytest.raises(UserError, match="neither a text nor an item"):
        project.read(file("a,b\n1,2\n"))


def test_a_row_without_the_columns_of_the_first_is_placed(project, file):
    rows = [{"id": "a", "text": "first", "label": "positive"}, {"id": "b", "text": "second"}]
    with pytest.raises(UserError, match="has no 'label'") as caught:
        project.read(file("".join(json.dumps(row) + "\n" for row in rows), "rows.jsonl"), question="sentiment")
    assert caught.value.where == "rows.jsonl:2"


def test_a_column_that_no_file_has_is_told(project, file):
    with pytest.raises(UserError, match="no 'lable' column to name, did you mean 'label'"):
        project.read(file("text\na\n"), lable="x")


def test_slots_of_other_items_stay_as_they_are(project, file):
    project.add_items([{"id": "a", "text": "first"}])
    project.add_annotator("ann")
    slot = project.next("ann")
    project.read(file("id,text\nb,second\n"))
    project.submit(slot.slot, "ann", "positive")
    with project.database.reading() as connection:
        assert {item: count[:2] for item, count in slots.counts_by_item(connection, 1).items()} == {"a": (2, 1), "b": (2, 0)}
