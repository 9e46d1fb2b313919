"""Items with all that was said of them: everything comes in, stands in its place, and goes out as it came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.errors import MultipleFaults, UserError
from preceptor.formats import write
from preceptor.formats.interchange import make_judgment, make_prediction
from preceptor.release.data_export import _item_rows_with_judgments
from preceptor.storage import external_annotations, gold, judgment_log, people, questions
from preceptor.types import Question

TONE = {"question": "tone", "kind": "choice"}
FULL = {
    **TONE, "answer": "angry", "annotator": "ada", "time": "2026-01-01T09:30:00.25+01:00", "seconds": 3.5, "suggested": "calm",
    "shown": [1, 0], "note": "the last line", "extra": {"label_studio": {"id": 3, "result": [{"id": "r1"}]}},
}  # fmt: skip
ROWS = [
    {
        "id": "a",
        "text": "💩 Ada paid 5€\r\nand \u2028 e\u0301 👩‍👩‍👧",
        "judgments": [
            FULL,
            {**TONE, "annotator": "bob", "status": "skipped", "time": "2026-01-01T00:00:01Z"},
            {**TONE, "answer": "calm"},
            {**TONE, "answer": "calm"},
            {**TONE, "answer": "angry", "annotator": "cid", "status": "draft", "note": "not sure"},
            {
                "question": "ner", "kind": "spans", "annotator": "ada",
                "answer": [{"start": 6, "end": 10, "label": "verb"}, {"start": 2, "end": 5, "label": "person"}],
            },
        ],
        "predictions": [{**TONE, "answer": "calm", "model": "m1", "score": 0.8, "extra": {"version": 2}}],
    },
    {
        "id": "b",
        "text": "",
        "group": "g-1",
        "metadata": {"argilla": {"vectors": [0.5]}, "shop": "x"},
        "judgments": [
            {"question": "tags", "kind": "multilabel", "answer": ["late", "price"], "annotator": "ada"},
            {"question": "tags", "kind": "multilabel", "answer": ["price", "late"], "annotator": "bob"},
            {"question": "stars", "kind": "rating", "answer": 4, "annotator": "ada", "gold": True},
        ],
    },
    {
        "id": "c",
        "messages": [
            {"role": "user", "content": "Will it rain?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "weather", "arguments": "{}"}}]},
            {"role": "tool", "content": "no"},
        ],
        "responses": ["No.", "Yes."],
        "judgments": [
            {"question": "best", "kind": "compare", "answer": {"winner": 1, "order": [1, 0], "reasons": " short "}, "annotator": "ada"},
            {"question": "order", "kind": "rank", "answer": {"order": [0, 1], "shown": [1, 0]}, "annotator": "ada"},
        ],
    },
    {"text": "nothing was said of it"},
]  # fmt: skip


def lines(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="")
    return path


@pytest.fixture
def empty(database_url, tmp_path):
    """A project that asks nothing, on each database."""
    made = Project.create(tmp_path / "project", **({} if database_url.startswith("sqlite") else {"database": database_url}))
    yield made
    made.close()


def said(project) -> list[tuple]:
    with project.database.reading() as connection:
        return [(each.item, each.question, each.annotator, each.answer) for each in judgment_log.stream_judgments(connection)]


def test_what_came_in_goes_out_as_it_was(empty, tmp_path):
    report = empty.read(lines(tmp_path / "rows.jsonl", ROWS))
    assert list(_item_rows_with_judgments(empty, None)) == ROWS
    assert (report.read, report.imported, report.items, report.judgments) == (4, 4, 4, 9)
    assert report.by_question == {"tone": 3, "ner": 1, "tags": 2, "stars": 1, "best": 1, "order": 1}
    assert (report.drafts, report.skips, report.predictions, report.gold, report.skipped) == (1, 1, 1, 1, [])


def test_the_same_file_again_adds_nothing(empty, tmp_path):
    path = lines(tmp_path / "rows.jsonl", ROWS)
    empty.read(path)
    before = said(empty)
    report = empty.read(path)
    assert (report.items, report.judgments, report.repeated, report.questions) == (0, 0, 9, [])
    assert (report.drafts, report.skips, report.predictions, report.gold) == (0, 0, 0, 0)
    assert said(empty) == before
    assert list(_item_rows_with_judgments(empty, None)) == ROWS


def test_questions_are_made_from_the_answers(empty, tmp_path):
    report = empty.read(lines(tmp_path / "rows.jsonl", ROWS))
    made = {question.name: question for question in empty.questions()}
    assert {name: (question.kind, question.options) for name, question in made.items()} == {
        "tone": ("choice", ("angry", "calm")),
        "ner": ("spans", ("verb", "person")),
        "tags": ("multilabel", ("late", "price")),
        "stars": ("rating", (1, 2, 3, 4, 5)),
        "best": ("compare", ()),
        "order": ("rank", ()),
    }
    assert made["best"].settings == {"responses": 2, "ties": True, "reasons": True}
    assert made["order"].settings == {"responses": 2}
    assert [each["name"] for each in report.questions] == list(made)
    assert "the question 'tone' was made from the file: choice with angry, calm" in report.warnings


def test_items_that_were_there_are_asked_the_new_questions(empty, tmp_path):
    empty.add_items([{"id": "old", "text": "before"}])
    empty.read(lines(tmp_path / "rows.jsonl", ROWS[:1]))
    empty.add_annotator("eve")
    assert {found.item for _ in range(3) if (found := empty.next("eve", "tone"))} <= {"old", "a"}
    assert empty.status()["items"] == 2


def test_drafts_skips_and_guesses_are_never_counted(empty, tmp_path):
    empty.read(lines(tmp_path / "rows.jsonl", ROWS))
    fitted = empty.consensus("tone")
    assert dict(zip(fitted.items, fitted.judgment_counts.tolist(), strict=True)) == {"a": 3}
    with empty.database.reading() as connection:
        assert external_annotations.counts(connection) == {"draft": 1, "skipped": 1, "prediction": 1}


def test_what_somebody_left_beside_can_be_erased(empty, tmp_path):
    empty.read(lines(tmp_path / "rows.jsonl", ROWS))
    with empty.database.writing() as connection:
        assert external_annotations.erase_author(connection, "cid") == 1
    assert all(each.get("annotator") != "cid" for each in next(_item_rows_with_judgments(empty, None))["judgments"])


def test_times_and_all_that_came_with_a_judgment_are_kept(empty, tmp_path):
    empty.read(lines(tmp_path / "rows.jsonl", ROWS))
    with empty.database.reading() as connection:
        (first, *_) = judgment_log.stream_judgments(connection)
        assert (first.seconds, first.created) == (3.5, 1767256200.25)
        assert judgment_log.find_context(connection, first.id)["suggested"] == "calm"


def test_a_time_without_a_zone_is_utc_and_comes_back_as_it_was(empty, tmp_path):
    row = {"id": "a", "text": "x", "judgments": [{**TONE, "answer": "calm", "annotator": "ada", "time": "2026-01-01T00:00:00"}]}
    empty.read(lines(tmp_path / "rows.jsonl", [row]))
    with empty.database.reading() as connection:
        assert [each.created for each in judgment_log.stream_judgments(connection)] == [1767225600.0]
    assert next(_item_rows_with_judgments(empty, None)) == row


def test_unnamed_people_get_the_files_pseudonym(empty, tmp_path):
    unnamed = [{**TONE, "answer": "calm"}, {**TONE, "answer": "angry"}, {"question": "stars", "kind": "rating", "answer": 2}]
    empty.read(lines(tmp_path / "old.jsonl", [{"id": "a", "text": "x", "judgments": unnamed}]))
    assert [who for _, _, who, _ in said(empty)] == ["import:old.jsonl", "import:old.jsonl#2", "import:old.jsonl"]
    with empty.database.reading() as connection:
        assert {person.kind for person in people.list_annotators(connection)} == {"import"}


def test_a_known_answer_is_gold_and_stays_as_it_was_decided_since(empty, tmp_path):
    path = lines(
        tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": [{**TONE, "answer": "calm", "gold": True, "note": "why"}]}]
    )
    empty.read(path)
    with empty.database.reading() as connection:
        assert gold.list_answers(connection, 1) == {"a": "calm"}
    assert said(empty) == []  # nobody is known to have said so
    empty.adjudicate("a", "tone", "other", by="boss")
    empty.read(path)
    assert next(_item_rows_with_judgments(empty, None))["judgments"] == [
        {**TONE, "answer": "calm", "note": "why"},
        {**TONE, "answer": "other", "gold": True},
    ]


def test_two_known_answers_of_one_item_are_told(empty, tmp_path):
    both = [{**TONE, "answer": answer, "annotator": who, "gold": True} for who, answer in (("ada", "calm"), ("bob", "angry"))]
    report = empty.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": both}]))
    assert any("two known answers to 'tone'" in warning for warning in report.warnings)


def test_rows_without_content_are_about_items_that_are_there(empty, tmp_path):
    empty.add_items([{"id": "a", "prompt": "2+2?", "responses": ["4", "5"]}])
    compare = {"question": "best", "kind": "compare", "answer": {"winner": 0}, "annotator": "ada"}
    assert empty.read(lines(tmp_path / "said.jsonl", [{"id": "a", "judgments": [compare]}])).judgments == 1
    with pytest.raises(UserError, match="unknown item 'z'") as caught:
        empty.read(lines(tmp_path / "said.jsonl", [{"id": "z", "judgments": [compare]}]))
    assert caught.value.where == "said.jsonl:1"


TWO = [{"id": "a", "text": "x", "judgments": [
    {**TONE, "answer": "calm", "annotator": "ada"}, {"question": "stars", "kind": "rating", "answer": 2, "annotator": "ada"},
]}]  # fmt: skip


class TestOneQuestion:
    def test_of_several_only_the_named_is_read(self, empty, tmp_path):
        report = empty.read(lines(tmp_path / "rows.jsonl", TWO), question="stars")
        assert said(empty) == [("a", "stars", "ada", 2)]
        assert "judgments of other questions left out: tone (1); import them with --question NAME" in report.warnings

    def test_of_one_the_name_is_changed(self, empty, tmp_path):
        empty.add_question("mood", "choice", ["angry", "calm"])
        empty.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": [{**TONE, "answer": "calm"}]}]), question="mood")
        assert [(question, answer) for _, question, _, answer in said(empty)] == [("mood", "calm")]

    def test_of_several_another_is_no_use(self, empty, tmp_path):
        with pytest.raises(UserError, match="has no question 'mood'") as caught:
            empty.read(lines(tmp_path / "rows.jsonl", TWO), question="mood")
        assert "tone, stars" in caught.value.hint

    def test_without_a_name_it_is_the_only_one_of_the_project(self, empty, tmp_path):
        empty.add_question("mood", "choice", ["angry", "calm"])
        empty.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": [{"kind": "choice", "answer": "calm"}]}]))
        assert [(question, answer) for _, question, _, answer in said(empty)] == [("mood", "calm")]

    def test_a_skip_of_everything_names_no_question(self, empty, tmp_path):
        row = {
            "id": "a",
            "text": "x",
            "judgments": [{**TONE, "answer": "calm", "annotator": "ada"}, {"annotator": "bob", "status": "skipped"}],
        }
        empty.read(lines(tmp_path / "rows.jsonl", [row]))
        assert next(_item_rows_with_judgments(empty, None)) == row


@pytest.mark.parametrize(
    ("answers", "kind", "options"),
    [
        ([["choice", "yes"]], "choice", ("yes", "no")),
        ([["choice", "calm"]], "choice", ("calm", "other")),
        ([["choice", "yes"], ["multilabel", ["no", "yes"]]], "multilabel", ("yes", "no")),
        ([[None, "yes"], [None, "no"]], "choice", ("yes", "no")),
        ([["multilabel", []]], "multilabel", ("other",)),
        ([["rating", 0]], "rating", (0, 1, 2, 3, 4, 5)),
        ([["rating", 7], ["rating", 2]], "rating", tuple(range(1, 11))),
        ([["rating", -2], ["rating", 2]], "rating", (-2, -1, 0, 1, 2)),
        ([["rating", 0.5], ["rating", 2]], "rating", (0.5, 1.0, 1.5, 2.0)),
        ([["rating", 0], ["rating", 5000]], "rating", (0, 5000)),
        ([["rating", 37]], "rating", (37, 38)),
        ([["write", {"text": "so", "from": None}]], "write", ()),
    ],
)
def test_a_question_is_what_its_answers_look_like(project_of, tmp_path, answers, kind, options):
    project = project_of()
    given = [make_judgment("new", kind_, answer, annotator=f"p{at}") for at, (kind_, answer) in enumerate(answers)]
    project.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": given}]))
    made = project.question("new")
    assert (made.kind, made.options) == (kind, options)


@pytest.mark.parametrize(
    ("said", "field", "fault"),
    [
        ({"question": "tone", "kind": "choice", "answer": None}, "judgments[0].answer", "there is no answer"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "status": "drafted"}, "judgments[0].status", "did you mean 'draft'"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "time": "yesterday"}, "judgments[0].time", "is no time"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "seconds": -1}, "judgments[0].seconds", "zero or more"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "annotater": "a"}, "judgments[0].annotater", "did you mean 'annotator'"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "gold": "yes"}, "judgments[0].gold", "true or false"),
        ({"question": 7, "kind": "choice", "answer": "calm"}, "judgments[0].question", "question must be text"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "extra": 3}, "judgments[0].extra", "extra must be a table"),
        ({"question": "tone", "kind": "choice", "answer": "calm", "annotator": 1.5}, "judgments[0].annotator", "text or a whole number"),
        ({"question": "ner", "kind": "spans", "answer": [{"start": 0, "end": 9, "label": "X"}]}, "judgments[0].answer", "beyond the text"),
    ],
)
def test_a_bad_judgment_is_told_with_its_field(project_of, tmp_path, said, field, fault):
    project = project_of()
    with pytest.raises(UserError) as caught:
        project.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": [said]}]))
    assert caught.value.where == f"rows.jsonl:1, {field}"
    assert fault in str(caught.value)
    assert project.counts()["items"] == 3
    assert [question.name for question in project.questions()] == ["q"]


def test_an_existing_question_must_take_the_answers(project, tmp_path):
    row = {"id": "a", "text": "x", "judgments": [make_judgment("sentiment", "choice", "furious")], "predictions": [{"score": "high"}, 3]}
    with pytest.raises(MultipleFaults) as caught:
        project.read(lines(tmp_path / "rows.jsonl", [row]))
    assert [fault.where for fault in caught.value.faults] == [
        "rows.jsonl:1, judgments[0].answer",
        "rows.jsonl:1, predictions[0].score",
        "rows.jsonl:1, predictions[1]",
    ]


def test_a_question_answered_in_two_kinds_is_refused(project_of, tmp_path):
    both = [make_judgment("new", "rating", 3), make_judgment("new", "choice", "yes")]
    with pytest.raises(UserError, match=r"rows\.jsonl, question 'new': it is answered as choice and as rating"):
        project_of().read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": both}]))


def test_a_million_different_answers_make_no_choice(project_of, tmp_path):
    rows = [{"id": f"a{n}", "text": "x", "judgments": [make_judgment("new", "choice", f"answer {n}")]} for n in range(1100)]
    with pytest.raises(UserError, match="more than 1,000 different answers"):
        project_of().read(lines(tmp_path / "rows.jsonl", rows))


@pytest.mark.parametrize("ending", ["json", "csv", "tsv", "parquet", "jsonl"])
def test_every_table_can_hold_judgments(project_of, tmp_path, ending):
    rows = [
        {"id": f"a{n}", "text": "Ada 💩", "judgments": [make_judgment("tone", "choice", "calm" if n else "angry", annotator="ada")],
         "predictions": [make_prediction("tone", "choice", "calm", model="m")]}
        for n in range(3)
    ]  # fmt: skip
    write(rows, tmp_path / f"rows.{ending}")
    project = project_of()
    report = project.read(tmp_path / f"rows.{ending}")
    assert (report.judgments, report.predictions) == (3, 3)
    assert list(_item_rows_with_judgments(project, "tone"))[3:] == rows


def test_a_table_with_a_column_of_that_name_stays_a_table(project, tmp_path):
    project.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": 3}]))
    assert next(_item_rows_with_judgments(project, None))["metadata"] == {"judgments": 3}


def test_columns_of_such_a_file_have_names_of_their_own(project, tmp_path):
    with pytest.raises(UserError, match="no column to name as label"):
        project.read(lines(tmp_path / "rows.jsonl", ROWS), label="x")


def test_what_people_said_here_goes_out_with_its_time(judged):
    row = next(_item_rows_with_judgments(judged, "sentiment"))
    assert [each["annotator"] for each in row["judgments"]] == ["ann", "bob"]
    assert all(each["time"].endswith("+00:00") for each in row["judgments"])


def test_judgments_that_stand_far_down_are_found(project_of, tmp_path):
    rows = [{"id": f"n{n}", "text": f"text {n}"} for n in range(1200)]
    rows[1100]["judgments"] = [make_judgment("tone", "choice", "calm", annotator="ada")]
    report = project_of().read(lines(tmp_path / "rows.jsonl", rows))
    assert (report.read, report.items, report.judgments) == (1200, 1200, 1)


@pytest.mark.parametrize("value", [3, [1, 2], "text", ["a"]])
def test_another_column_of_that_name_is_metadata(project, tmp_path, value):
    project.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": value}]))
    assert next(_item_rows_with_judgments(project, None))["metadata"] == {"judgments": value}


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_everything_moves_to_another_project(empty, tmp_path, ending):
    empty.read(lines(tmp_path / "rows.jsonl", ROWS))
    write(empty.export("everything"), tmp_path / f"all.{ending}")
    other = Project.create(tmp_path / "other")
    other.read(tmp_path / f"all.{ending}")
    assert list(other.export("everything")) == list(empty.export("everything"))
    other.close()


def test_a_question_of_a_comparison_is_left_alone(project, tmp_path):
    with project.database.writing() as connection:
        questions.add(connection, Question("round", "choice", ("a", "b"), purpose="comparison"))
    row = {"id": "a", "text": "x", "judgments": [make_judgment("round", "choice", "c")]}
    with pytest.raises(UserError, match="'round' is asked about other items here"):
        project.read(lines(tmp_path / "rows.jsonl", [row]))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_json_in_cells_of_a_plain_table_is_what_it_says(project, tmp_path, ending):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    row = {"id": "a", "messages": json.dumps(turns), "sources": json.dumps(["one", "two"]), "metadata": json.dumps({"lang": "de"})}
    write([row, {**row, "id": "b", "metadata": "[sic]", "sources": "[1] a book"}], tmp_path / f"rows.{ending}")
    project.read(tmp_path / f"rows.{ending}")
    first, second = _item_rows_with_judgments(project, None)
    assert first == {"id": "a", "messages": turns, "sources": ["one", "two"], "metadata": {"lang": "de"}}
    assert second == {"id": "b", "messages": turns, "metadata": {"metadata_": "[sic]", "sources": "[1] a book"}}


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_judgments_in_cells_may_first_stand_far_down(project, tmp_path, ending):
    said = [{"question": "q", "kind": "choice", "answer": "yes", "annotator": "ada"}]
    rows = [{"id": str(number), "text": f"t{number}", "judgments": json.dumps(said) if number > 200 else ""} for number in range(250)]
    write(rows, tmp_path / f"rows.{ending}")
    assert project.read(tmp_path / f"rows.{ending}").judgments == 49


def test_drafts_and_skips_are_known_again_among_more_judgments(project, tmp_path):
    beside = [{**TONE, "answer": "calm", "annotator": "dee", "status": "draft"}, {**TONE, "annotator": "eve", "status": "skipped"}]
    first = {**TONE, "answer": "angry", "annotator": "ada"}
    project.read(lines(tmp_path / "one.jsonl", [{"id": "a", "text": "x", "judgments": [first, *beside]}]))
    new = {**TONE, "answer": "calm", "annotator": "bob"}
    report = project.read(lines(tmp_path / "two.jsonl", [{"id": "a", "text": "x", "judgments": [new, first, *beside, beside[1]]}]))
    assert (report.judgments, report.repeated, report.drafts, report.skips) == (1, 1, 0, 1)  # the file says one of them twice


def test_all_that_is_wrong_with_a_row_is_told_at_once(project, tmp_path):
    project.add_question("tone", "choice", options=["calm", "angry"])
    bad = {**TONE, "answer": "cross", "annotator": "ada", "seconds": -1, "time": "noon", "gold": 1}
    with pytest.raises(MultipleFaults) as caught:
        project.read(lines(tmp_path / "rows.jsonl", [{"id": "a", "text": "x", "judgments": [bad]}, {"text": 3, "judgments": [bad]}]))
    fields = ["gold", "time", "seconds", "answer"]
    told = [fault.where.split(", ")[-1] for fault in caught.value.faults]
    assert told == [*(f"judgments[0].{field}" for field in fields), "rows.jsonl:2", *(f"judgments[0].{field}" for field in fields)]
    table = tmp_path / "table.csv"
    table.write_text('id,text,label,annotator,seconds\na,"x",cross,ada,-1\n')
    with pytest.raises(MultipleFaults, match="2 faults in 1 bad row") as caught:
        project.read(table, question="tone")
    assert [fault.message.split(" ")[0] for fault in caught.value.faults] == ["column", "seconds"]
