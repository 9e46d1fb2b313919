"""Argilla's records as its own client (2.8.0) writes them of our own texts: nested, flattened, as data sets; with their settings."""

import json
import random
import shutil
import uuid
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broken_json import broken
from preceptor.errors import UserError
from preceptor.formats import read, write
from preceptor.formats.tools.argilla_settings import build_argilla_settings, parse_argilla_settings, read_argilla_settings
from preceptor.questions.kind import define_question

EXPORTS = Path(__file__).parent / "exports" / "argilla"
ADA, BOB = (str(uuid.UUID(int=number)) for number in (7, 9))


def written(path, rows):
    write(rows, path / "written.json", "argilla")
    return json.loads((path / "written.json").read_text("utf-8"))


def laid(path, records, questions=None, fields=("text",)):
    (path / "records.json").write_text(json.dumps(records))
    if questions:
        document = {"questions": questions, "fields": [{"name": name, "settings": {"type": "text"}} for name in fields]}
        (path / "settings.json").write_text(json.dumps(document))
    return path / "records.json"


def record(value=None, question="q", fields=None, **more):
    responses = {} if value is None else {question: [{"value": value, "user_id": ADA, **more}]}
    return {
        "id": "1",
        "fields": fields or {"text": "💩 Ada paid"},
        "metadata": {},
        "suggestions": {},
        "responses": responses,
        "vectors": {},
    }


def warnings_of(path):
    found = read(path, "argilla")
    list(found)
    return " ".join(found.warnings)


def said(row):
    return [{name: value for name, value in each.items() if name != "extra"} for each in row["judgments"]]


# What the tool itself exported


@pytest.mark.parametrize("name", ["records.json", "flat.json", "hf.jsonl", "hf.parquet"])
def test_real_exports_are_recognised_and_read(name):
    found = read(EXPORTS / name)
    first, second, third = found
    assert found.format == "argilla"
    assert (first["id"], first["prompt"], first["completion"]) == ("i-1", "Who paid?", "💩 Ada paid 5€")
    told = {(each["question"], each["annotator"]): each["answer"] for each in first["judgments"]}
    [span] = told["ner", ADA]
    assert "Who paid?\n💩 Ada paid 5€"[span["start"] : span["end"]] == "Ada"
    assert {question: answer for (question, who), answer in told.items() if who == ADA and question != "ner"} == {
        "ok": "yes",
        "topics": ["m"],
        "clear": 3,
        "fix": {"text": "Ada paid 5 €.", "from": None},
    }
    assert {name: first["metadata"][name] for name in ("lang", "length")} == {"lang": "en", "length": 13}
    assert third["judgments"] == third["predictions"] == []
    assert second["predictions"][0]["answer"] == "no" if name != "hf.jsonl" else True


@pytest.mark.parametrize("name", ["flat.json", "hf.jsonl", "hf.parquet"])
def test_drafts_and_discards_are_states(name):
    first, second, _ = read(EXPORTS / name)
    assert {each.get("status") for each in first["judgments"] if each["annotator"] == ADA} == {None}
    assert {each.get("status") for each in first["judgments"] if each["annotator"] == BOB} == {"draft"}
    assert [each["status"] for each in second["judgments"]] == ["skipped"]


def test_the_nested_form_lacks_states_and_says_so():
    assert "drafts or discarded" in warnings_of(EXPORTS / "records.json")


@pytest.mark.parametrize("name", ["records.json", "flat.json"])
def test_real_exports_come_back_as_they_were(tmp_path, name):
    assert written(tmp_path, read(EXPORTS / name)) == json.loads((EXPORTS / name).read_text("utf-8"))


def test_real_lines_come_back_as_they_were(tmp_path):
    lines = [json.loads(line) for line in (EXPORTS / "hf.jsonl").read_text("utf-8").split("\n") if line]
    assert written(tmp_path, read(EXPORTS / "hf.jsonl")) == lines


def test_labels_that_a_data_set_numbered_are_labels_again_where_it_names_them():
    assert [row["predictions"][0]["answer"] for row in list(read(EXPORTS / "hf.parquet"))[:2]] == ["yes", "no"]
    assert "labels' numbers without their names" in warnings_of(EXPORTS / "hf.jsonl")


def test_the_settings_of_a_real_dataset():
    settings = read_argilla_settings(EXPORTS / "hf.jsonl")
    questions = list(settings.questions.values())
    assert settings.guidelines == "# How to label\nBe kind."
    assert [(each["name"], each["kind"]) for each in questions] == [
        ("ok", "choice"),
        ("topics", "multilabel"),
        ("clear", "rating"),
        ("fix", "write"),
        ("ner", "spans"),
    ]
    assert questions[0]["instructions"] == "Is it fine?\nRead twice."
    assert questions[1]["instructions"] == "m: Money\np: People\ne: Emoji", "what annotators read, where it differs from what is stored"
    for question in questions:
        define_question(question)


# What is asked


def test_a_ranking_of_the_records_fields_is_a_rank(tmp_path):
    options = [{"value": name} for name in ("response-1", "response-2")]
    question = {"name": "q", "settings": {"type": "ranking", "options": options}}
    fields = {"prompt": "Which?", "response1": "One", "response2": "Two"}
    records = [record(["response-2", "response-1"], fields=fields)]
    path = laid(tmp_path, records, [question], fields)
    [row] = read(path)
    assert (row["prompt"], row["responses"]) == ("Which?", ["One", "Two"])
    assert row["judgments"][0]["answer"] == {"order": [1, 0], "shown": None}
    assert written(tmp_path, [row]) == records
    tied = [{"rank": 1, "value": "response-2"}, {"rank": 1, "value": "response-1"}]
    path = laid(tmp_path, [record(tied, fields=fields)], [question], fields)
    assert next(iter(read(path)))["judgments"][0]["answer"]["order"] == [1, 0]
    assert "ranks some alike" in warnings_of(path)


def test_a_ranking_of_something_else_is_kept_and_told(tmp_path):
    question = {"name": "q", "settings": {"type": "ranking", "options": [{"value": "tone"}, {"value": "clarity"}]}}
    records = [record(["tone", "clarity"])]
    path = laid(tmp_path, records, [question])
    [row] = read(path)
    assert row["judgments"] == []
    assert "ranks something else" in warnings_of(path)
    assert written(tmp_path, [row]) == records


def test_without_settings_the_values_tell(tmp_path):
    values = {
        "label": "yes",
        "labels": ["a"],
        "stars": 3,
        "text": "a long text\nof lines",
        "spans": [{"start": 3, "end": 6, "label": "PER"}],
    }
    records = [{**record(), "responses": {name: [{"value": value, "user_id": ADA}] for name, value in values.items()}}]
    [row] = read(laid(tmp_path, records))
    assert {each["question"]: each["kind"] for each in row["judgments"]} == {
        "label": "choice",
        "labels": "multilabel",
        "stars": "rating",
        "text": "write",
        "spans": "spans",
    }
    assert row["judgments"][-1]["answer"] == [{"start": 2, "end": 5, "label": "PER"}], "a browser counts in UTF-16"
    assert "look at some" in warnings_of(tmp_path / "records.json"), "as no words prove it"


def test_spans_that_may_stand_in_several_fields_need_the_settings(tmp_path):
    fields = {"prompt": "Who?", "response": "💩 Ada"}
    records = [record([{"start": 3, "end": 6, "label": "PER"}], fields=fields)]
    with pytest.raises(UserError, match=r"element 1: 'q': it isn't said in which"):
        list(read(laid(tmp_path, records)))
    question = {"name": "q", "settings": {"type": "span", "field": "response", "options": [{"value": "PER"}]}}
    [row] = read(laid(tmp_path, records, [question], fields))
    [span] = row["judgments"][0]["answer"]
    assert "Who?\n💩 Ada"[span["start"] : span["end"]] == "Ada"


def test_spans_beyond_the_text_are_refused(tmp_path):
    for start, end in ((3, 99), (1, 6), (6, 3)):
        with pytest.raises(UserError, match="span 1"):
            list(read(laid(tmp_path, [record([{"start": start, "end": end, "label": "PER"}])])))


def test_all_fields_that_people_see_are_in_the_item(tmp_path):
    fields = {"title": "Paid", "body": "💩 Ada paid"}
    question = {"name": "q", "settings": {"type": "span", "field": "body", "options": [{"value": "PER"}]}}
    records = [record([{"start": 3, "end": 6, "label": "PER"}], fields=fields)]
    [row] = read(laid(tmp_path, records, [question], fields))
    assert row["text"] == "title: Paid\n\nbody: 💩 Ada paid"
    [span] = row["judgments"][0]["answer"]
    assert row["text"][span["start"] : span["end"]] == "Ada"
    assert written(tmp_path, [row]) == records


# Written from rows of other tools and of projects


def judgment(answer="calm", kind="choice", **more):
    return {"question": "tone", "kind": kind, "answer": answer, "annotator": "ada", **more}


def test_a_natural_record(tmp_path):
    row = {"id": "1", "text": "x", "metadata": {"lang": "en"}, "judgments": [judgment(), {**judgment(status="skipped", annotator="bob")}]}
    [found] = written(tmp_path, [row])
    assert (found["id"], found["fields"], found["metadata"]) == ("1", {"text": "x"}, {"lang": "en"})
    [ada, bob] = found["responses"]["tone"]
    assert (ada["value"], ada["status"], bob["status"]) == ("calm", "submitted", "discarded")
    assert str(uuid.UUID(ada["user_id"])) == ada["user_id"], "Argilla takes user ids"
    assert said(next(iter(read(tmp_path / "written.json")))) == row["judgments"]


def test_what_no_value_can_tell_comes_back_too(tmp_path):
    judgments = [
        judgment({"winner": "tie", "order": [1, 0], "reasons": "alike"}, "compare", time="2026-01-01T00:00:00Z", seconds=1.5),
        judgment({"order": [1, 0], "shown": [0, 1]}, "rank", question="best"),
        judgment({"text": "Two.", "from": None}, "write", question="fix", note="hm", gold=True),
    ]
    guesses = [{"question": "fix", "kind": "write", "answer": {"text": each, "from": None}, "model": each} for each in ("m1", "m2")]
    row = {"id": "1", "group": "g", "prompt": "Which?", "responses": ["One", "Two"], "sources": ["A source."]}
    [back] = read(write_and_path(tmp_path, [{**row, "judgments": judgments, "predictions": guesses}]))
    assert {name: back[name] for name in row} == row
    assert said(back) == judgments
    assert back["predictions"] == guesses


def write_and_path(path, rows):
    write(rows, path / "records.json", "argilla")
    return path / "records.json"


def test_what_it_cant_hold_is_refused_by_its_row(tmp_path):
    claims = judgment([{"claim": "x", "verdict": "supported", "source": None}], "claims")
    across = judgment([{"start": 0, "end": 9, "label": "PER"}], "spans")
    for row in (
        {"text": "x", "judgments": [claims]},
        {"judgments": [judgment()]},
        {"text": "x", "judgments": [judgment(), judgment("angry")]},
        {"prompt": "abcd", "completion": "efgh", "judgments": [across]},
    ):
        with pytest.raises(UserError, match="row 2"):
            write([{"id": "1", "text": "x"}, {"id": "2", **row}], tmp_path / "a.json", "argilla")


def test_rows_of_both_forms_dont_go_into_one_file(tmp_path):
    with pytest.raises(UserError, match="row 4: this row came from Argilla's other form"):
        write([*read(EXPORTS / "records.json"), *read(EXPORTS / "flat.json")], tmp_path / "a.json", "argilla")


def test_settings_for_questions_of_ours():
    questions = [
        {"name": "tone", "kind": "choice", "options": ["calm", "angry"], "instructions": "How?"},
        {"name": "stars", "kind": "rating", "options": [1, 2, 3]},
        {"name": "names", "kind": "spans", "options": ["PER"], "settings": {"overlap": False}},
        {"name": "best", "kind": "rank", "settings": {"responses": 2}},
    ]
    document = build_argilla_settings(questions, {"prompt": "a", "responses": ["b", "c"]}, "Be kind.")
    found = parse_argilla_settings(document, "settings.json")
    assert list(found.questions.values()) == questions
    assert found.guidelines == "Be kind."
    with pytest.raises(UserError, match="claims"):
        build_argilla_settings([{"name": "c", "kind": "claims"}], {"text": "x"})


@pytest.mark.parametrize("document", ["[", "[1]", "{}", '{"questions": [5]}', '{"questions": [{"name": "q", "settings": {"type": "x"}}]}'])
def test_broken_settings_are_refused_with_their_place(tmp_path, document):
    (tmp_path / "settings.json").write_text(document)
    with pytest.raises(UserError) as caught:
        read_argilla_settings(tmp_path / "records.jsonl")
    assert caught.value.where.startswith("settings.json")


@pytest.mark.parametrize(
    "kept", [5, {"form": 5, "rest": 5}, {"names": 5, "form": "nested"}, {"controls": {"q": 5}, "lists": 5, "form": "flat", "kinds": 5}]
)
def test_what_was_kept_may_have_been_changed_by_others(tmp_path, kept):
    row = {"id": "1", "text": "x", "metadata": {"argilla": kept}, "judgments": [judgment(extra={"argilla": {"regions": 5, "entry": {}}})]}
    faults = []
    try:
        write([row], tmp_path / "a.json", "argilla")
    except UserError as error:
        faults.append(error.where)
    assert faults in ([], ["row 1"])


# Rubbish


@settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["records.json", "flat.json"]))
def test_broken_exports_give_rows_or_faults_with_a_place(tmp_path, data, name):
    content = json.dumps(broken(json.loads((EXPORTS / name).read_text("utf-8"))[:2], data, most=2)).encode()
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(1, len(content)))]
    path, faults = tmp_path / name, []
    path.write_bytes(content)
    (tmp_path / "settings.json").write_text(
        json.dumps(broken(json.loads((EXPORTS / ".argilla" / "settings.json").read_text()), data, most=2))
    )
    try:
        rows = list(read(path, "argilla", on_fault=faults.append))
        write(rows, tmp_path / "out.json", "argilla") if rows else None
    except UserError as error:
        faults.append(error)
    assert all(fault.where for fault in faults)


@settings(derandomize=True, max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), change=st.binary(min_size=1, max_size=4))
def test_a_broken_parquet_file_gives_rows_or_faults_with_a_place(tmp_path, place, change):
    content = bytearray((EXPORTS / "hf.parquet").read_bytes())
    at = int(place * (len(content) - len(change)))
    content[at : at + len(change)] = change
    path, faults = tmp_path / "hf.parquet", []
    path.write_bytes(bytes(content))
    shutil.copytree(EXPORTS / ".argilla", tmp_path / ".argilla", dirs_exist_ok=True)
    try:
        list(read(path, "argilla", on_fault=faults.append))
    except UserError as error:
        faults.append(error)
    assert all(fault.where for fault in faults)


# Parquet, which is known by its columns


def parquet_of(path, columns, metadata=None):
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_parquet_is_argillas_by_its_columns_however_long_the_file_is(tmp_path):
    texts = [f"{number} " + "".join(random.Random(number).choices("abcdefghijklmnop", k=2_000)) for number in range(300)]
    said = {"q.responses": ["yes"], "q.responses.users": ["u"], "q.responses.status": ["submitted"]}
    path = parquet_of(tmp_path / "long.parquet", {"text": texts, **{name: [value] * len(texts) for name, value in said.items()}})
    assert path.stat().st_size > 2**17
    found = read(path)
    assert found.format == "argilla"
    assert next(found)["judgments"][0]["answer"] == "yes"


def test_parquet_that_only_speaks_of_argillas_columns_is_a_plain_table(tmp_path):
    path = parquet_of(tmp_path / "plain.parquet", {"text": ["the columns q.responses.users and q.responses.status"], "n": [1]})
    found = read(path)
    assert found.format == "parquet"
    assert [row["n"] for row in found] == [1]


def test_rows_of_argilla_that_were_written_as_parquet_are_read_as_these_rows(tmp_path):
    rows = list(read(EXPORTS / "hf.parquet"))
    write(rows, tmp_path / "rows.parquet", "parquet")
    found = read(tmp_path / "rows.parquet")
    assert found.format == "parquet"
    assert [row["judgments"] for row in found] == [row["judgments"] for row in rows]


def test_a_damaged_parquet_file_is_not_argillas(tmp_path):
    (tmp_path / "cut.parquet").write_bytes((EXPORTS / "hf.parquet").read_bytes()[:-9])
    assert read(tmp_path / "cut.parquet").format == "parquet"


def test_a_response_of_nobody_known_is_nobodys_again(tmp_path):
    said = [{"question": "q", "kind": "choice", "answer": answer} for answer in ("yes", "no")]
    write([{"id": "a", "text": "t", "judgments": said}], tmp_path / "a.json", "argilla")
    assert [row["judgments"] for row in read(tmp_path / "a.json")] == [said]


def test_kinds_that_no_settings_tell_are_taken_from_the_values_and_that_is_told(tmp_path):
    write([{"id": "a", "text": "t", "judgments": [{"question": "q", "kind": "choice", "answer": "yes"}]}], tmp_path / "a.json", "argilla")
    found = read(tmp_path / "a.json")
    list(found)
    assert "there are no settings beside the file" in " ".join(found.warnings)
    assert "q (choice)" in " ".join(found.warnings)
    list(found := read(EXPORTS / "records.json"))
    assert "no settings" not in " ".join(found.warnings)
