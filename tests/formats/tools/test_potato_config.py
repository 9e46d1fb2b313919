"""A Potato project's config: questions in our terms, what has no kind here, and where files lie."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats.tools.potato_config import PotatoDataFile, read_potato_project

CONFIG = """
annotation_task_name: Mood of messages
annotation_task_description: Which mood is it?
task_dir: .
output_annotation_dir: out/
data_files:
  - data/a.jsonl
  - {path: data/b.csv, encoding: latin-1}
item_properties: {id_key: key, text_key: body}
gold_standards: {enabled: true, items_file: gold.json}
user_config: {users: [ada, bob]}
annotation_schemes:
  - {annotation_type: radio, name: mood, description: The mood, labels: [calm, {name: angry, tooltip: loud}, 3]}
  - {annotation_type: multiselect, name: topics, description: "", labels: [price, speed]}
  - {annotation_type: likert, name: quality, description: "How good?", size: 5, min_label: bad, max_label: good}
  - {annotation_type: slider, name: sure, description: "How sure?", min_value: 0, max_value: 10, step: 5}
  - {annotation_type: text, name: why, description: "Why?"}
  - {annotation_type: span, name: names, description: "Who?", labels: [PER]}
  - {annotation_type: pairwise, name: better, description: "Which?", allow_tie: true}
  - {annotation_type: bws, name: best, description: Best and worst}
  - {annotation_type: pure_display, name: intro, description: Welcome}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    return read_potato_project(tmp_path)


def test_questions_have_our_kinds_options_and_instructions(project):
    said = {scheme.name: (scheme.kind, scheme.options, scheme.instructions, scheme.settings) for scheme in project.questions}
    assert said == {
        "mood": ("choice", ("calm", "angry", "3"), "The mood", {}),
        "topics": ("multilabel", ("price", "speed"), "", {}),
        "quality": ("rating", (1, 2, 3, 4, 5), "How good?\n1: bad, 5: good", {}),
        "sure": ("rating", (0, 5, 10), "How sure?", {}),
        "why": ("write", (), "Why?", {}),
        "names": ("spans", ("PER",), "Who?", {"overlap": True}),
        "better": ("compare", (), "Which?", {"responses": 2, "ties": True}),
    }
    assert project.unsupported == {"best": "a question of Potato's kind 'bws' has no kind here"}
    assert project.has_comparisons


def test_files_and_names(project, tmp_path):
    assert (project.name, project.description) == ("Mood of messages", "Which mood is it?")
    assert (project.id_key, project.text_key, project.people) == ("key", "body", ("ada", "bob"))
    assert project.data_files == (PotatoDataFile(tmp_path / "data/a.jsonl"), PotatoDataFile(tmp_path / "data/b.csv", "latin-1"))
    assert (project.output, project.gold) == (tmp_path / "out/", tmp_path / "gold.json")


def test_all_faults_of_the_questions_are_told_at_once(tmp_path):
    (tmp_path / "config.yaml").write_text("annotation_schemes: [5, {name: a, labels: ['']}, {annotation_type: radio}]")
    with pytest.raises(UserError) as caught:
        read_potato_project(tmp_path)
    assert caught.value.where == str(tmp_path / "config.yaml")
    assert caught.value.message == (
        "scheme 1: it must hold named values, not 5; scheme 2: a label must be a text, not ''; scheme 3: it has no name"
    )


@pytest.mark.parametrize(
    "text", ["[1", "5", "a: b", "annotation_schemes: x", "annotation_schemes: [{name: a}]\ndata_files: [3]", "a: &a [*a]"]
)
def test_rubbish_is_refused_in_words(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_potato_project(tmp_path)
    assert caught.value.where


def test_a_folder_without_a_config(tmp_path):
    with pytest.raises(UserError, match="there is no config of a Potato project"):
        read_potato_project(tmp_path)


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("field", ["data_files", "data_directory", "output_annotation_dir", "gold_standards"])
def test_a_config_that_names_what_is_not_in_its_folder_is_refused(tmp_path, field, absolute):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "secret.jsonl").write_text('{"id": "1", "text": "secret"}')
    named = str(tmp_path / "secret") if absolute else "../secret"
    file = f"{named}/secret.jsonl"
    value = {"data_files": [file], "gold_standards": {"items_file": file}}.get(field, named)
    folder = tmp_path / "project"
    folder.mkdir()
    config = {"annotation_schemes": [{"name": "q", "annotation_type": "radio", "labels": ["a", "b"]}], field: value}
    (folder / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"{field} names .*, which isn't in the project's folder"):
        read_potato_project(folder)
