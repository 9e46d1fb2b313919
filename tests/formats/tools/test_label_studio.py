"""Label Studio's own exports (version 1.23.2, of our own texts) and the shapes that its users have: read, and written again."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broken_json import broken
from preceptor.errors import UserError
from preceptor.formats import read, write
from preceptor.formats.tools.label_studio_config import build_labeling_config
from preceptor.types import render_content

EXPORTS = Path(__file__).parent / "exports" / "label_studio"
EXPORT = EXPORTS / "export.json"
TEXT = "💩 Ada paid 5€"


def task(*regions, data=None, **annotation):
    return {"data": data or {"text": TEXT, "ext_id": "i-1"}, "annotations": [{"completed_by": 1, "result": list(regions), **annotation}]}


def region(type_, value, name="q", **more):
    return {"id": "r1", "from_name": name, "to_name": "text", "type": type_, "value": value, **more}


def laid(path, tasks, config=None):
    path.write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    if config:
        path.with_suffix(".xml").write_text(config, encoding="utf-8")
    return path


def rows_of(path, tasks, config=None):
    return list(read(laid(path / "tasks.json", tasks, config), "label_studio"))


def answers(path, *regions, data=None, config=None):
    [row] = rows_of(path, [task(*regions, data=data)], config)
    return [(each["kind"], each["answer"]) for each in row["judgments"]]


def written(path, rows):
    write(rows, path / "written.json", "label_studio")
    return json.loads((path / "written.json").read_text("utf-8"))


def again(path, rows):
    write(rows, path / "again.json", "label_studio")
    return list(read(path / "again.json"))


def by_id(rows):
    return {row["id"]: row for row in rows}


def said(row):
    """What was said in a row, without what only the tool knows."""
    return [{name: value for name, value in each.items() if name != "extra"} for each in row["judgments"]]


# What the tool itself exported


def test_a_real_export_is_read_judgment_by_judgment():
    found = read(EXPORT)
    rows = by_id(found)
    assert found.format == "label_studio"
    assert list(rows) == ["i-1", "i-2", "i-3", "i-4", "i-5"]
    first = {each["question"]: each for each in rows["i-1"]["judgments"]}
    assert first["ner"]["answer"] == [{"start": 2, "end": 5, "label": "PER"}, {"start": 17, "end": 31, "label": "ORG"}]
    assert first["ner"]["suggested"] == [{"start": 2, "end": 5, "label": "ORG"}]
    assert {name: each["answer"] for name, each in first.items() if name != "ner"} == {
        "ok": "yes",
        "topics": ["money", "people"],
        "clear": 3,
        "amount": 5,
        "fix": {"text": "Ada paid 5 €.", "from": None},
        "field": ["A > A1", "B"],
        "better": {"winner": 0, "order": None, "reasons": ""},
    }
    assert first["amount"]["kind"] == "rating", "a number between 0 and 10 is a scale"
    assert {each["annotator"] for each in first.values()} == {"1"}
    assert sum(each["seconds"] for each in first.values()) == pytest.approx(12.5, abs=0.01), "what an annotation took isn't counted twice"
    assert rows["i-1"]["metadata"]["lang"] == "en"


def test_states_and_known_answers_of_a_real_export():
    rows = by_id(read(EXPORT))
    assert all(each["gold"] for each in rows["i-2"]["judgments"])
    assert [each["status"] for each in rows["i-3"]["judgments"]] == ["skipped"]
    assert [(each["status"], each["annotator"]) for each in rows["i-4"]["judgments"]] == [("draft", "ada@example.org")]
    assert rows["i-5"]["judgments"] == []


def test_a_real_export_comes_back_as_it_was(tmp_path):
    export = json.loads(EXPORT.read_text("utf-8"))
    export[0]["predictions"] = []  # their numbers alone, which Label Studio refuses to import
    assert written(tmp_path, read(EXPORT)) == export
    assert any("only by their numbers" in warning for warning in warnings_of(EXPORT))


def warnings_of(path, format="label_studio"):
    found = read(path, format)
    list(found)
    return found.warnings


def test_the_short_export_says_the_same_as_the_full_one():
    full, short = by_id(read(EXPORT)), by_id(read(EXPORTS / "min.json"))
    assert list(short) == ["i-1", "i-2", "i-4", "i-5"], "annotations that were skipped aren't in it"
    for id_ in ("i-1", "i-2"):
        told = {each["question"]: (each["kind"], each["answer"], each["annotator"], each["time"]) for each in short[id_]["judgments"]}
        assert told == {
            each["question"]: (each["kind"], each["answer"], each["annotator"], each["time"]) for each in full[id_]["judgments"]
        }


def test_the_short_export_needs_its_config(tmp_path):
    (tmp_path / "min.json").write_bytes((EXPORTS / "min.json").read_bytes())
    with pytest.raises(UserError, match="labelling config beside it"):
        list(read(tmp_path / "min.json"))


def test_a_config_may_stand_in_the_projects_own_json(tmp_path):
    for name in ("min.json", "project.json"):
        (tmp_path / name).write_bytes((EXPORTS / name).read_bytes())
    assert len(list(read(tmp_path / "min.json"))) == 4


# Offsets


def test_passages_that_people_marked_in_its_pages():
    """Version 1.23.2 counts texts in code points, writes a line end as two characters, and paragraphs in UTF-16."""
    folder = EXPORTS.with_name("label_studio-browser")
    [text], [paragraphs], [hypertext] = (list(read(folder / f"{name}.json")) for name in ("text", "paragraphs", "hypertext"))
    assert words(text) == ["paid\nBob not 👩‍👩‍👧‍👦 Eve"]
    assert words(paragraphs) == ["Ada"]
    assert hypertext["judgments"] == [], "the words are those of the rendered text, and the item's is HTML"
    for row, name in ((text, "text"), (paragraphs, "paragraphs"), (hypertext, "hypertext")):
        assert not any("converted" in warning for warning in warnings_of(folder / f"{name}.json")), row["id"]


def words(row):
    return [render_content(row)[span["start"] : span["end"]] for each in row["judgments"] for span in each["answer"]]


def test_passages_of_real_exports_from_its_pages_come_back_as_they_were(tmp_path):
    for path in EXPORTS.with_name("label_studio-browser").glob("*.json"):
        assert written(tmp_path, read(path)) == json.loads(path.read_text("utf-8"))


def test_passages_that_earlier_versions_counted_in_utf_16_are_converted_and_told(tmp_path):
    tasks = [task(region("labels", {"start": "3", "end": 6.0, "text": "Ada", "labels": ["PER"]}))]
    path = laid(tmp_path / "tasks.json", tasks)
    assert next(iter(read(path)))["judgments"][0]["answer"] == [{"start": 2, "end": 5, "label": "PER"}]
    assert any("UTF-16" in warning for warning in warnings_of(path))
    assert written(tmp_path, read(path)) == tasks


def test_passages_without_their_words_are_counted_as_the_tool_counts_now(tmp_path):
    assert answers(tmp_path, region("labels", {"start": 2, "end": 5, "labels": ["PER"]})) == [
        ("spans", [{"start": 2, "end": 5, "label": "PER"}])
    ]


@pytest.mark.parametrize(
    "value", [{"start": 3, "end": 99}, {"start": 2, "end": 5, "text": "Bob"}, {"start": 4, "end": 2}, {"start": -3, "end": 6}]
)
def test_passages_that_fit_nowhere_are_refused_with_their_place(tmp_path, value):
    path = laid(tmp_path / "tasks.json", [task(), task(region("labels", {**value, "labels": ["PER"]}))])
    with pytest.raises(UserError, match=r"tasks.json, element 2: annotations 1: 'q': span 1"):
        list(read(path, "label_studio"))


def test_a_text_of_html_is_kept_where_passages_cant_be_found_in_it(tmp_path):
    value = {"start": "/b/text()", "end": "/b/text()", "globalOffsets": {"start": 0, "end": 2}, "text": "Hi", "hypertextlabels": ["GREET"]}
    tasks = [
        task(region("hypertextlabels", value), data={"text": "<b>Hi</b>"}),
        task(region("hypertextlabels", value), data={"text": "Hi Bob"}),
    ]
    path = laid(tmp_path / "tasks.json", tasks)
    rows = list(read(path))
    assert rows[0]["judgments"] == []
    assert rows[1]["judgments"][0]["answer"] == [{"start": 0, "end": 2, "label": "GREET"}]
    assert any("can't be found" in warning for warning in warnings_of(path))
    assert written(tmp_path, rows) == tasks


def test_passages_of_a_dialogue(tmp_path):
    dialogue = [{"author": "Ann", "text": "Hi 💩 Bob"}, {"author": "Bob", "text": "Hello"}]
    value = {"start": "0", "end": "0", "startOffset": 6, "endOffset": 9, "text": "Bob", "paragraphlabels": ["PER"]}
    [row] = rows_of(tmp_path, [task(region("paragraphlabels", value), data={"dialogue": dialogue})])
    assert row["messages"] == [{"role": "Ann", "content": "Hi 💩 Bob"}, {"role": "Bob", "content": "Hello"}]
    [span] = row["judgments"][0]["answer"]
    assert "Ann: Hi 💩 Bob\nBob: Hello"[span["start"] : span["end"]] == "Bob"
    assert written(tmp_path, [row])[0]["data"] == {"dialogue": dialogue}


def test_a_passage_is_found_in_the_field_that_its_words_are_in(tmp_path):
    data = {"title": "Paid", "body": "💩 Ada paid"}
    [row] = rows_of(tmp_path, [task(region("labels", {"start": 2, "end": 5, "text": "Ada", "labels": ["PER"]}, to_name="x"), data=data)])
    [span] = row["judgments"][0]["answer"]
    assert row["text"][span["start"] : span["end"]] == "Ada"


# Controls


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([region("choices", {"choices": ["calm"]})], ("choice", "calm")),
        ([region("choices", {"choices": ["a", "b"]})], ("multilabel", ["a", "b"])),
        ([region("choices", {"choices": [["A", "A1"]]})], ("choice", "A > A1")),
        ([region("rating", {"rating": 4})], ("rating", 4)),
        ([region("number", {"number": 37.5})], ("write", {"text": "37.5", "from": None})),
        ([region("textarea", {"text": "alone"})], ("write", {"text": "alone", "from": None})),
        ([region("textarea", {"text": ["one"]}), region("textarea", {"text": ["two"]})], ("write", {"text": "one\ntwo", "from": None})),
        ([region("datetime", {"datetime": "2026-01-01"})], ("write", {"text": "2026-01-01", "from": None})),
        ([region("chatmessage", {"chatmessage": {"role": "user", "content": "hey"}})], ("write", {"text": "user: hey", "from": None})),
        ([region("taxonomy", {"taxonomy": [["A", "A1"], ["B"]]})], ("multilabel", ["A > A1", "B"])),
        (
            [region("labels", {"start": 2, "end": 5, "labels": ["PER", "ORG"]})],
            ("spans", [{"start": 2, "end": 5, "label": "ORG"}, {"start": 2, "end": 5, "label": "PER"}]),
        ),
    ],
)
def test_controls_and_the_answers_they_make(tmp_path, regions, expected):
    assert answers(tmp_path, *regions) == [expected]
    tasks = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    assert written(tmp_path, read(tmp_path / "tasks.json")) == tasks


def test_what_is_compared_and_ranked(tmp_path):
    pair = {"question": "Which?", "answer_a": "One", "answer_b": "Two"}
    [row] = rows_of(tmp_path, [task(region("pairwise", {"selected": "right"}), data=pair)])
    assert (row["prompt"], row["responses"]) == ("Which?", ["One", "Two"])
    assert row["judgments"][0]["answer"]["winner"] == 1
    items = {"prompt": "Which?", "items": [{"id": "A", "title": "Alpha"}, {"id": "B", "title": "Beta"}]}
    tasks = [
        task(region("ranker", {"ranker": {"rank": ["B", "A"]}}), data=items),
        task(region("ranker", {"ranker": {"x": ["A"], "y": ["B"]}}), data=items),
    ]
    rows = rows_of(tmp_path, tasks)
    assert rows[0]["responses"] == ["Alpha", "Beta"]
    assert rows[0]["judgments"][0]["answer"] == {"order": [1, 0], "shown": None}
    assert rows[1]["judgments"] == [], "buckets are no ranking of all"
    assert written(tmp_path, rows) == tasks


def test_one_annotation_with_several_choices_makes_the_question_a_multilabel_everywhere(tmp_path):
    rows = rows_of(
        tmp_path, [task(region("choices", {"choices": [each]})) for each in "ab"] + [task(region("choices", {"choices": ["a", "b"]}))]
    )
    assert [each["answer"] for row in rows for each in row["judgments"]] == [["a"], ["b"], ["a", "b"]]


def test_the_config_decides_what_a_lone_choice_is(tmp_path):
    config = '<View><Text name="text" value="$text"/><Choices name="q" toName="text" choice="multiple"><Choice value="a"/></Choices></View>'
    assert answers(tmp_path, region("choices", {"choices": ["a"]}), config=config) == [("multilabel", ["a"])]


def test_several_choices_where_the_config_takes_one_are_a_fault(tmp_path):
    config = (
        '<View><Text name="text" value="$text"/><Choices name="q" toName="text"><Choice value="a"/><Choice value="b"/></Choices></View>'
    )
    with pytest.raises(UserError, match="2 choices of a question that takes one"):
        answers(tmp_path, region("choices", {"choices": ["a", "b"]}), config=config)


def test_marking_nothing_is_an_answer(tmp_path):
    tasks = [task(region("labels", {"start": 2, "end": 5, "labels": ["PER"]})), task(), task(was_cancelled=True)]
    rows = rows_of(tmp_path, tasks)
    assert [[(each.get("question"), each.get("answer"), each.get("status")) for each in row["judgments"]] for row in rows[1:]] == [
        [("q", [], None)],
        [(None, None, "skipped")],
    ]
    assert written(tmp_path, rows) == tasks


def test_marking_nothing_is_no_answer_where_the_control_isnt_always_shown(tmp_path):
    config = """<View><Text name="text" value="$text"/>
        <Choices name="any" toName="text"><Choice value="yes"/><Choice value="no"/></Choices>
        <Labels name="q" toName="text" visibleWhen="choice-selected" whenTagName="any" whenChoiceValue="yes"><Label value="PER"/></Labels>
        </View>"""
    assert answers(tmp_path, region("choices", {"choices": ["no"]}, "any"), config=config) == [("choice", "no")]


def test_what_has_no_kind_here_is_kept(tmp_path):
    box = {
        "id": "b",
        "from_name": "box",
        "to_name": "img",
        "type": "rectanglelabels",
        "value": {"x": 1, "y": 2, "rectanglelabels": ["Car"]},
    }
    why = {"id": "b", "from_name": "why", "to_name": "img", "type": "choices", "value": {"x": 1, "y": 2, "choices": ["blurred"]}}
    person = region("labels", {"start": 2, "end": 5, "labels": ["PER"]})
    sure = region("choices", {"start": 2, "end": 5, "choices": ["sure"]}, "sure")  # said of that passage alone
    relation = {"type": "relation", "from_id": "r1", "to_id": "b", "direction": "left"}
    tasks = [task(box, person, why, sure, relation)]
    [row] = rows_of(tmp_path, tasks)
    assert [each["question"] for each in row["judgments"]] == ["q"]
    assert written(tmp_path, [row]) == tasks


def test_a_list_of_relations_is_flattened(tmp_path):
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    rows = rows_of(tmp_path, [task(region("choices", {"choices": ["a"]}), [relation, relation])])
    assert written(tmp_path, rows) == [task(region("choices", {"choices": ["a"]}), relation, relation)]


# Files


def test_files_from_before_1_0(tmp_path):
    old = {
        "id": 4,
        "data": {"review": "calm", "id": 12},
        "completions": [
            {"id": 1, "created_at": 1598270400, "lead_time": 3, "skipped": False, "result": [region("choices", {"choices": ["calm"]})]},
            {"id": 2, "skipped": True, "result": []},
        ],
    }
    [row] = rows_of(tmp_path, [old])
    assert (row["id"], row["text"]) == ("12", "calm")
    assert [(each.get("time"), each.get("seconds"), each.get("status")) for each in row["judgments"]] == [
        ("2020-08-24T12:00:00+00:00", 3, None),
        (None, None, "skipped"),
    ]
    assert written(tmp_path, [row]) == [old]


def test_one_task_alone_and_tasks_one_a_line(tmp_path):
    tasks = [task(region("choices", {"choices": [each]})) for each in "ab"]
    (tmp_path / "one.json").write_text(json.dumps(tasks[0], indent=2))
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    assert [len(list(read(tmp_path / name))) for name in ("one.json", "lines.jsonl")] == [1, 2]
    assert read(tmp_path / "lines.jsonl").format == "label_studio"


def test_an_object_without_data_is_data(tmp_path):
    rows = rows_of(tmp_path, [{"text": "hi", "lang": "en"}])
    assert (rows[0]["text"], rows[0]["metadata"]["lang"]) == ("hi", "en")
    assert written(tmp_path, rows) == [{"text": "hi", "lang": "en"}]


def test_who_it_was(tmp_path):
    people = [3, {"id": 5, "email": "bo@example.org"}, {"id": 5}, "cy@example.org", None]
    tasks = [task(region("choices", {"choices": ["a"]}), completed_by=person) for person in people]
    rows = rows_of(tmp_path, tasks)
    assert [row["judgments"][0].get("annotator") for row in rows] == ["3", "bo@example.org", "5", "cy@example.org", None]
    assert written(tmp_path, rows) == tasks


def test_predictions_are_no_judgments(tmp_path):
    given = {
        "data": {"text": TEXT},
        "annotations": [],
        "predictions": [{"model_version": "m1", "score": 0.5, "result": [region("choices", {"choices": ["a"]})]}],
    }
    [row] = rows_of(tmp_path, [given])
    assert row["judgments"] == []
    [guess] = row["predictions"]
    assert {name: guess[name] for name in ("question", "kind", "answer", "model", "score")} == {
        "question": "q",
        "kind": "choice",
        "answer": "a",
        "model": "m1",
        "score": 0.5,
    }
    assert written(tmp_path, [row]) == [given]


# Written from rows of other tools and of projects


def judgment(answer="calm", kind="choice", **more):
    return {"question": "tone", "kind": kind, "answer": answer, "annotator": "ada@example.org", **more}


def test_a_natural_task(tmp_path):
    row = {"id": "i-1", "text": TEXT, "group": "g", "metadata": {"lang": "en"}, "judgments": [judgment(seconds=2.0)]}
    [found] = written(tmp_path, [row])
    assert found["data"] == {"ext_id": "i-1", "text": TEXT, "group": "g", "lang": "en"}
    [annotation] = found["annotations"]
    assert annotation["ground_truth"] is False, "Label Studio takes an annotation that doesn't say so for ground truth"
    assert (annotation["completed_by"], annotation["lead_time"]) == ({"email": "ada@example.org"}, 2.0)
    assert annotation["result"] == written(tmp_path, [row])[0]["annotations"][0]["result"], "ids are the same each time"
    [back] = again(tmp_path, [row])
    assert {name: back[name] for name in ("id", "text", "group")} == {"id": "i-1", "text": TEXT, "group": "g"}
    assert said(back) == row["judgments"]


def test_what_no_control_can_tell_comes_back_too(tmp_path):
    judgments = [
        judgment(
            {"winner": "tie", "order": [1, 0], "reasons": "alike"},
            "compare",
            time="2026-01-01T00:00:00Z",
            seconds=1.5,
            shown={"order": [1, 0]},
        ),
        judgment(["a"], "multilabel", annotator="bob", question="topics", note="hm", suggested=["b"]),
        judgment([], "multilabel", annotator="cy", question="topics", gold=True),
    ]
    row = {"id": "i-1", "prompt": "Which?", "responses": ["One", "Two"], "judgments": judgments}
    assert said(again(tmp_path, [row])[0]) == judgments


def test_our_silence_is_no_answer(tmp_path):
    spans = judgment([{"start": 2, "end": 5, "label": "PER"}], "spans", question="names")
    rows = [{"id": "1", "text": TEXT, "judgments": [spans]}, {"id": "2", "text": TEXT, "judgments": [judgment()]}]
    assert said(again(tmp_path, rows)[1]) == [judgment()]


def test_a_new_answer_goes_to_the_control_that_the_item_came_with(tmp_path):
    [row] = rows_of(tmp_path, [task(region("taxonomy", {"taxonomy": [["A", "A1"]]}, to_name="txt"))])
    new = {"question": "q", "kind": "multilabel", "answer": ["A > A1", "B"], "annotator": "7"}
    [found] = written(tmp_path, [{**row, "judgments": [*row["judgments"], new]}])
    [added] = found["annotations"][1]["result"]
    assert (added["to_name"], added["type"], added["value"]) == ("txt", "taxonomy", {"taxonomy": [["A", "A1"], ["B"]]})


def test_a_changed_answer_has_a_new_region_in_the_old_ones_place(tmp_path):
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    [row] = rows_of(tmp_path, [task(region("choices", {"choices": ["a"]}), relation, id=5)])
    row["judgments"][0]["answer"] = "b"
    [annotation] = written(tmp_path, [row])[0]["annotations"]
    assert (annotation["id"], annotation["result"][0]["value"], annotation["result"][1]) == (5, {"choices": ["b"]}, relation)


def test_what_it_cant_hold_is_refused_by_its_row(tmp_path):
    claims = judgment([{"claim": "x", "verdict": "supported", "source": None}], "claims")
    across = judgment([{"start": 0, "end": 9, "label": "PER"}], "spans")
    for row in (
        {"id": "2", "text": "x", "judgments": [claims]},
        {"id": "2", "judgments": [judgment()]},
        {"id": "2", "prompt": "abcd", "completion": "efgh", "judgments": [across]},
    ):
        with pytest.raises(UserError, match="row 2"):
            write([{"id": "1", "text": "x"}, row], tmp_path / "a.json", "label_studio")
        assert not (tmp_path / "a.json").exists()


def test_an_item_known_by_its_id_alone_is_refused(tmp_path):
    with pytest.raises(UserError, match="no content"):
        write([{"id": "1", "judgments": [judgment()]}], tmp_path / "a.json", "label_studio")


@pytest.mark.parametrize(
    "kept", [5, {"form": 5, "rest": 5}, {"names": 5, "form": "nested"}, {"controls": {"q": 5}, "lists": 5, "form": "flat", "kinds": 5}]
)
def test_what_was_kept_may_have_been_changed_by_others(tmp_path, kept):
    row = {
        "id": "1",
        "text": "x",
        "metadata": {"label_studio": kept},
        "judgments": [judgment(extra={"label_studio": {"regions": 5, "entry": {}}})],
    }
    faults = []
    try:
        write([row], tmp_path / "a.json", "label_studio")
    except UserError as error:
        faults.append(error.where)
    assert faults in ([], ["row 1"])


# Rubbish

CONFIG = (EXPORTS / "config.xml").read_text("utf-8")


@settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_exports_give_rows_or_faults_with_a_place(tmp_path, data):
    tasks = broken(json.loads(EXPORT.read_text("utf-8"))[:2], data, least=1, most=3)
    content = json.dumps(tasks).encode()
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(1, len(content)))]
    path, faults = tmp_path / "tasks.json", []
    path.write_bytes(content)
    config = data.draw(st.sampled_from([CONFIG, CONFIG[: len(CONFIG) // 2], CONFIG.replace("choice=", "x="), ""]))
    path.with_suffix(".xml").write_text(config, encoding="utf-8")
    try:
        rows = list(read(path, "label_studio", on_fault=faults.append))
        write(rows, tmp_path / "out.json", "label_studio") if rows else None
    except UserError as error:
        faults.append(error)
    assert all(fault.where for fault in faults)


def test_the_config_of_what_is_written_names_what_is_in_it(tmp_path):
    row = {
        "id": "1",
        "prompt": "Who?",
        "completion": "Ada 💩 did",
        "judgments": [judgment([{"start": 5, "end": 8, "label": "PER"}], "spans")],
    }
    config = build_labeling_config([{"name": "tone", "kind": "spans", "options": ["PER"]}], row)
    [found] = written(tmp_path, [row])
    [marked] = found["annotations"][0]["result"]
    assert f'name="{marked["to_name"]}"' in config
    assert f'toName="{marked["to_name"]}"' in config


@pytest.mark.parametrize("person", ["ann", "ann@example.org", "7", None])
@pytest.mark.parametrize("status", ["submitted", "draft", "skipped"])
def test_what_a_person_said_twice_stays_two_judgments(tmp_path, person, status):
    known = {"question": "q", "kind": "choice"} | ({"annotator": person} if person else {})
    known |= {"status": status} if status != "submitted" else {}
    row = {"id": "n", "text": "t", "judgments": [{**known, "answer": "yes"}, {**known, "answer": "no"}, {**known, "answer": "no"}]}
    [back] = again(tmp_path, [row])
    assert said(back) == row["judgments"]
    assert said(again(tmp_path, [back])[0]) == row["judgments"]


def test_what_a_model_guessed_twice_stays_two_guesses(tmp_path):
    guesses = [{"question": "q", "kind": "choice", "answer": answer, "model": "m"} for answer in ("yes", "no")]
    [back] = again(tmp_path, [{"id": "n", "text": "t", "predictions": guesses}])
    assert [{name: each[name] for name in guesses[0]} for each in back["predictions"]] == guesses


MARKED = region("labels", {"start": 2, "end": 5, "text": "Ada", "labels": ["PER"]}, "ner")
SILENT = region("choices", {"choices": ["yes"]}, "ok") | {"id": "r2"}
MARKS = """<View><Text name="text" value="$text"/><Labels name="ner" toName="text"><Label value="PER"/></Labels>
<Choices name="ok" toName="text"><Choice value="yes"/></Choices></View>"""


@pytest.mark.parametrize(("config", "gold"), [(None, None), (MARKS, True)])
def test_marking_nothing_is_a_known_answer_only_where_a_config_says_that_it_was_asked(tmp_path, config, gold):
    tasks = [task(MARKED, SILENT), task(SILENT, ground_truth=True)]
    rows = rows_of(tmp_path, tasks, config)
    told = {each["question"]: each for each in rows[1]["judgments"]}
    assert told["ok"]["gold"] is True
    assert told["ner"]["answer"] == []
    assert told["ner"].get("gold") is gold
    assert written(tmp_path, rows) == tasks


def test_a_known_answer_beside_one_that_is_not_is_kept_as_it_is(tmp_path):
    [row] = rows_of(tmp_path, [task(MARKED, SILENT)], MARKS)
    row["judgments"][0]["gold"] = True
    [back] = again(tmp_path, [row])
    assert {each["question"]: each.get("gold") for each in back["judgments"]} == {"ner": True, "ok": None}


def unquoted(start, end):
    return region("labels", {"start": start, "end": end, "labels": ["PER"]}, "ner")


def quoted(start, end):
    return region("labels", {"start": start, "end": end, "text": "Ada", "labels": ["PER"]}, "ner")


@pytest.mark.parametrize(
    ("proof", "start", "told"),
    [(quoted(3, 6), 3, "UTF-16"), (quoted(2, 5), 2, ""), (None, 2, "nothing in the file proves")],
)
@pytest.mark.parametrize("where", ["item", "file"])
def test_spans_that_do_not_repeat_their_words_are_counted_as_those_that_do(tmp_path, proof, start, told, where):
    marked = task(unquoted(start, start + 3))
    proven = [task(proof)] if proof else []
    tasks = (
        [marked, *proven]
        if where == "file"
        else [{**marked, "annotations": [each for t in (marked, *proven) for each in t["annotations"]]}]
    )
    path = laid(tmp_path / "tasks.json", tasks)
    rows = list(read(path, "label_studio"))
    assert rows[0]["judgments"][0]["answer"] == [{"start": 2, "end": 5, "label": "PER"}]
    assert told in " ".join(warnings_of(path))
    assert bool(told) == bool(warnings_of(path))
    assert written(tmp_path, rows) == tasks


def test_spans_are_not_counted_as_others_where_these_contradict_each_other(tmp_path):
    path = laid(tmp_path / "tasks.json", [task(unquoted(2, 5)), task(quoted(2, 5)), task(quoted(3, 6))])
    assert "nothing in the file proves" in " ".join(warnings_of(path))
