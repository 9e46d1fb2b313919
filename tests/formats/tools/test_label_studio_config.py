"""Labelling configs: the questions that they ask, and configs for questions of ours."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.tools.label_studio_config import (
    build_labeling_config,
    find_labeling_config,
    questions_from_config,
    read_label_studio_project,
    unsupported_controls,
)
from preceptor.questions.kind import define_question

EXPORTS = Path(__file__).parent / "exports" / "label_studio"
CONFIG = (EXPORTS / "config.xml").read_text("utf-8")
TEXT = '<Text name="t" value="$text"/>'


def asked(controls):
    return questions_from_config(f"<View>{TEXT}{controls}</View>")


def test_the_questions_of_a_real_config():
    questions = {each["name"]: each for each in questions_from_config(CONFIG)}
    assert {name: each["kind"] for name, each in questions.items()} == {
        "ner": "spans",
        "ok": "choice",
        "topics": "multilabel",
        "clear": "rating",
        "amount": "rating",
        "fix": "write",
        "field": "multilabel",
        "better": "compare",
    }
    assert questions["clear"]["options"] == [1, 2, 3, 4]
    assert questions["field"]["options"] == ["A", "A > A1", "A > A2", "B"]
    assert questions["ner"]["instructions"] == "Who is named, and is it fine?"
    for question in questions.values():
        define_question(question)


def test_an_alias_is_what_annotations_say():
    assert asked('<Choices name="q" toName="t"><Choice value="Yes!" alias="yes"/><Choice value="no"/></Choices>')[0]["options"] == [
        "yes",
        "no",
    ]


def test_a_multiple_choice_that_is_required_takes_one_at_least():
    assert asked('<Choices name="q" toName="t" choice="multiple" required="true"><Choice value="a"/></Choices>')[0]["settings"] == {
        "minimum": 1
    }


def test_a_question_shown_after_a_choice_follows_it():
    controls = '<Choices name="a" toName="t"><Choice value="x"/><Choice value="y"/></Choices>'
    controls += '<TextArea name="why" toName="t" visibleWhen="choice-selected" whenTagName="a" whenChoiceValue="x,y"/>'
    assert asked(controls)[1]["follows"] == {"question": "a", "answers": ["x", "y"]}


def test_a_part_of_the_page_may_follow_a_choice_too():
    controls = '<Choices name="a" toName="t"><Choice value="x"/><Choice value="y"/></Choices>'
    controls += (
        '<View visibleWhen="choice-selected" whenTagName="a" whenChoiceValue="x"><View><TextArea name="why" toName="t"/></View></View>'
    )
    assert asked(controls)[1]["follows"] == {"question": "a", "answers": ["x"]}


def test_a_number_with_few_points_is_a_rating_and_else_written():
    numbers = ['min="0" max="4" step="2"', 'min="0" max="1" step="0.1"', 'min="0" max="1000"', ""]
    assert [asked(f'<Number name="n" toName="t" {each}/>')[0].get("options") for each in numbers] == [[0, 2, 4], None, None, None]


def test_what_has_no_kind_is_left_out_by_name():
    config = f"""<View>{TEXT}<Image name="i" value="$image"/><RectangleLabels name="box" toName="i"><Label value="Car"/></RectangleLabels>
        <Choices name="each" toName="t" perRegion="true"><Choice value="a"/></Choices><DateTime name="when" toName="t"/></View>"""
    assert questions_from_config(config) == []
    assert unsupported_controls(config) == ["box", "each", "when"]


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ("<View>", "not valid XML"),
        ("<p/>", "begins with <View>"),
        ("<View>" * 20_000 + "</View>" * 20_000, "nested too deeply"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View/>', "no DOCTYPE"),
        (f'<View>{TEXT}<TextArea name="q" toName="t"/><TextArea name="q" toName="t"/></View>', "two controls"),
    ],
)
def test_what_is_no_config_is_refused(config, wrong):
    with pytest.raises(UserError, match=wrong):
        questions_from_config(config)


def test_the_config_beside_an_export(tmp_path):
    assert list(find_labeling_config(EXPORTS / "export.json").config.objects) == ["txt", "left", "right"]
    assert find_labeling_config(tmp_path / "export.json") is None
    (tmp_path / "notes.xml").write_text("<notes/>")
    (tmp_path / "a.xml").write_text(CONFIG)
    assert find_labeling_config(tmp_path / "export.json") is not None
    (tmp_path / "b.xml").write_text(CONFIG)
    assert find_labeling_config(tmp_path / "export.json") is None, "of two, neither is taken"
    (tmp_path / "export.xml").write_text(CONFIG)
    assert find_labeling_config(tmp_path / "export.json") is not None, "but the one of the same name is"


def test_a_project_as_the_api_gives_it(tmp_path):
    project = read_label_studio_project(EXPORTS / "project.json")
    assert questions_from_config(project["label_config"]) == questions_from_config(CONFIG)
    assert (project["title"], project["expert_instruction"]) == ("Names", "<p>Mark people.</p>")
    (tmp_path / "a.json").write_text("[1]")
    assert read_label_studio_project(tmp_path / "a.json") == {} == read_label_studio_project(tmp_path / "none.json")


QUESTIONS = [
    {"name": "tone", "kind": "choice", "options": ["calm", 'an<g>ry & "so"'], "instructions": "How do they <b>sound</b>?"},
    {"name": "topics", "kind": "multilabel", "options": ["a", "b"], "settings": {"minimum": 1}},
    {"name": "clear", "kind": "rating", "options": [-1, 0, 1]},
    {"name": "fix", "kind": "write", "settings": {"correct": True}},
    {"name": "names", "kind": "spans", "options": ["PER"], "settings": {"overlap": True}},
]


def test_a_config_asks_what_was_meant():
    assert questions_from_config(build_labeling_config(QUESTIONS, {"prompt": "a", "completion": "b"})) == QUESTIONS


def test_responses_are_compared_and_ranked():
    config = build_labeling_config(
        [{"name": "c", "kind": "compare"}, {"name": "k", "kind": "rank"}], {"prompt": "a", "responses": ["b", "c"]}
    )
    assert [(each["name"], each["kind"]) for each in questions_from_config(config)] == [("c", "compare"), ("k", "rank")]


def test_passages_of_a_conversation_are_marked_in_its_turns():
    config = build_labeling_config([QUESTIONS[-1]], {"messages": [{"role": "user", "content": "x"}]})
    assert '<ParagraphLabels name="names" toName="messages">' in config


@pytest.mark.parametrize("sources", [["One.", "Two."], [{"title": "T", "text": "One."}]])
def test_sources_are_shown_beside(sources):
    config = build_labeling_config([QUESTIONS[0]], {"prompt": "a", "completion": "b", "sources": sources})
    assert '<Repeater on="$sources"' in config
    assert questions_from_config(config) == [QUESTIONS[0]]


@pytest.mark.parametrize("question", [{"name": "a,b", "kind": "write"}, {"name": "c", "kind": "claims"}, {"name": "d", "kind": "compare"}])
def test_what_it_cant_ask_is_refused(question):
    with pytest.raises(UserError, match=question["name"]):
        build_labeling_config([question], {"text": "x"})


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(0, len(CONFIG)), st.text(st.sampled_from('<>/="$ aView\0é&;'), max_size=6))
def test_a_broken_config_is_read_or_refused(place, change):
    faults = []
    try:
        questions_from_config(CONFIG[:place] + change + CONFIG[place + len(change) :])
    except UserError as error:
        faults.append(error)
    assert all(fault.where for fault in faults)


EXPORT = json.loads((EXPORTS / "export.json").read_text("utf-8"))
OTHER = '<View><Text name="mail" value="$mail"/><Labels name="who" toName="mail"><Label value="PER"/></Labels></View>'


def read_beside(folder, name, config, tasks=EXPORT):
    folder.mkdir()
    (folder / name).write_text(config, "utf-8")
    (folder / "export.json").write_text(json.dumps(tasks), "utf-8")
    return read(folder / "export.json")


def test_a_config_of_another_project_in_the_folder_changes_nothing_and_is_told(tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "export.json").write_text(json.dumps(EXPORT), "utf-8")
    expected = list(read(alone / "export.json"))
    found = read_beside(tmp_path / "other", "other.xml", OTHER)
    assert list(found) == expected
    assert "other.xml isn't used, as it has no control called 'ner'" in " ".join(found.warnings)
    assert "name it export.xml" in " ".join(found.warnings)


def test_the_config_that_has_all_controls_is_used_and_told(tmp_path):
    found = read_beside(tmp_path / "covers", "config.xml", CONFIG)
    own = read_beside(tmp_path / "own", "export.xml", CONFIG)
    assert list(found) == list(own)
    assert "what was asked is taken from config.xml" in found.warnings
    assert "what was asked is taken from export.xml" in own.warnings


def test_a_config_that_shows_nothing_of_tasks_without_answers_is_not_theirs(tmp_path):
    found = read_beside(tmp_path / "bare", "other.xml", OTHER, [{"data": {"text": "t"}, "annotations": [{"result": []}]}])
    assert [row["judgments"] for row in found] == [[]]
    assert "shows none of the fields" in " ".join(found.warnings)


def test_a_broken_config_of_another_name_is_told_and_of_the_files_name_refused(tmp_path):
    found = read_beside(tmp_path / "other", "other.xml", "<View><Choices")
    assert list(found)
    assert "other.xml isn't used: not valid XML" in " ".join(found.warnings)
    with pytest.raises(UserError, match="not valid XML"):
        list(read_beside(tmp_path / "own", "export.xml", "<View><Choices"))
