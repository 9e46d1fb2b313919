"""RAGTruth: spans of responses, joined with what they were made from."""

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write

TEXT = "💩 Ada paid 5€"


def label(start, end, text, kind="Evident Conflict", **more):
    return {"start": start, "end": end, "text": text, "label_type": kind, "meta": "", "implicit_true": False, "due_to_null": False, **more}


def response(number, labels, text=TEXT, source="s1", **more):
    about = {"model": "m", "temperature": 0.7, "split": "test", "quality": "good", **more}
    return {"id": f"r{number}", "source_id": source, **about, "labels": labels, "response": text}


def saved(folder, name, *records):
    (folder / name).write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return folder / name


def written(tmp_path, *rows):
    write(rows, tmp_path / "out.jsonl", "ragtruth")
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n") if line]


def test_labels_are_spans_of_the_response_and_none_means_clean(tmp_path):
    path = saved(tmp_path, "response.jsonl", response(1, [label(2, 5, "Ada")]), response(2, [], quality="truncated"))
    found = read(path)
    spans, clean = found
    assert found.format == "ragtruth"
    assert (spans["text"], spans["group"]) == (TEXT, "s1")
    assert spans["judgments"] == [
        {
            "question": "hallucinations",
            "kind": "spans",
            "answer": [{"start": 2, "end": 5, "label": "Evident Conflict"}],
            "extra": {"labels": [label(2, 5, "Ada")]},
        }
    ]
    assert clean["judgments"] == [{"question": "hallucinations", "kind": "spans", "answer": []}]
    assert clean["metadata"]["ragtruth"]["columns"]["quality"] == "truncated"


@pytest.mark.parametrize(("ada", "euro"), [((2, 5), (11, 13)), ((3, 6), (12, 14)), ((5, 8), (14, 18))])
def test_offsets_counted_otherwise_are_mended_by_one_hypothesis(tmp_path, ada, euro):
    path = saved(tmp_path, "response.jsonl", response(1, [label(*ada, "Ada"), label(*euro, "5€")]))
    (row,) = read(path)
    assert [(span["start"], span["end"]) for span in row["judgments"][0]["answer"]] == [(2, 5), (11, 13)]
    assert written(tmp_path, row) == [response(1, [label(2, 5, "Ada"), label(11, 13, "5€")])]


def test_sources_beside_the_file_are_joined(tmp_path):
    question = {
        "source_id": "s1",
        "task_type": "QA",
        "source": "MARCO",
        "source_info": {"question": "Who?", "passages": "p 1"},
        "prompt": "…",
    }
    article = {"source_id": 15592, "task_type": "Summary", "source": "CNN", "source_info": "An article.", "prompt": "…"}
    table = {"source_id": "s3", "task_type": "Data2txt", "source": "Yelp", "source_info": {"name": "Bar"}, "prompt": "…"}
    saved(tmp_path, "source_info.jsonl", question, article, table)
    records = [response(1, []), response(2, [], source="15592"), response(3, [], source="s3"), response(4, [], source="s4")]
    rows = list(read(saved(tmp_path, "response.jsonl", *records)))
    assert [row.get("sources") for row in rows] == [[{"title": "Who?", "text": "p 1"}], ["An article."], ['{"name": "Bar"}'], None]
    assert rows[0]["metadata"]["ragtruth"]["source"] == question
    assert written(tmp_path, *rows) == records


def test_a_broken_file_of_sources_is_told(tmp_path):
    (tmp_path / "source_info.jsonl").write_text('{"source_id": "s1"}\n{"source_id": ')
    with pytest.raises(UserError, match=r"source_info\.jsonl:2: not valid JSON"):
        list(read(saved(tmp_path, "response.jsonl", response(1, []))))


def test_spans_of_a_project_are_written_with_all_that_is_known(tmp_path):
    spans = [{"start": 2, "end": 5, "label": "PER"}]
    judgments = [{"question": "names", "kind": "spans", "answer": spans, "annotator": "ada"}]
    row = {"id": "i-7", "text": TEXT, "group": "g", "sources": ["Ada paid."], "judgments": judgments}
    assert written(tmp_path, row) == [
        {
            "id": "i-7", "source_id": "g", "model": "", "temperature": None, "split": "train", "quality": "good",
            "labels": [label(2, 5, "Ada", "PER")], "response": TEXT, "sources": ["Ada paid."], "judgments": judgments,
        }
    ]  # fmt: skip
    (back,) = read(tmp_path / "out.jsonl")
    assert {name: back[name] for name in row} == row


def test_a_row_that_nobody_judged_would_count_as_clean(tmp_path):
    with pytest.raises(UserError, match="row 1, item '1': nobody marked spans"):
        written(tmp_path, {"id": "1", "text": TEXT})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "labels must be a list"),
        (["x"], r"labels\[0\] must be an object"),
        ([label(2, 5, "Bob")], "holds 'Ada' in the text, and 'Bob' by its own words"),
        ([label(5, 2, "Ada")], "is not a passage of the text"),
        ([label(2, 99, None)], "is not a passage of the text"),
        ([label("x", 5, "Ada")], r"labels\[0\].start must be a whole number"),
        ([{**label(2, 5, "Ada"), "label_type": 3}], r"labels\[0\].label_type must be a text"),
        ([label(2, 5, "Ada"), label(12, 14, "5€")], "span 2 .12 to 14. is not a passage"),
    ],
)
def test_faults_name_line_and_field(tmp_path, labels, words):
    path = saved(tmp_path, "response.jsonl", response(1, []), response(2, labels))
    with pytest.raises(UserError, match=words) as caught:
        list(read(path))
    assert caught.value.where == "response.jsonl:2"
