from __future__ import annotations

import json
from typing import Any

import pytest

from preceptor import Project, UserError
from preceptor.runs.general_eval_data import load_general_data

TEXTS = [{"instruction": f"Say {number}.", "input": "Twice." if number % 2 else "", "output": f"{number}"} for number in range(60)]
QUESTIONS = [{"question": f"What is {number}?", "options": ["this", "that"], "answer": "that"} for number in range(40)]


def project_with(folder: Any, files: dict[str, list[Any]], table: str) -> Project:
    made = Project.create(folder)
    made.close()
    for name, rows in files.items():
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    toml = (folder / "preceptor.toml").read_text(encoding="utf-8")
    start = toml.index("[forgetting]")
    (folder / "preceptor.toml").write_text(toml[:start] + f"[forgetting]\n{table}\n" + toml[toml.index("\n[", start) :], encoding="utf-8")
    return Project.open(folder)


def test_a_project_that_names_nothing_has_nothing_to_measure_by(tmp_path):
    assert load_general_data(Project.create(tmp_path / "p")) is None


def test_texts_and_questions_are_halved_and_no_half_sees_the_other(tmp_path):
    files = {"replay.jsonl": TEXTS, "asked.jsonl": QUESTIONS}
    project = project_with(tmp_path / "p", files, 'replay = ["replay.jsonl"]\nsuites = ["asked.jsonl"]')
    parts = load_general_data(project)
    assert parts is not None
    seen, unseen = parts.validation, parts.test
    assert not seen.texts.keys() & unseen.texts.keys()
    assert not seen.replay.keys() & {*seen.texts, *unseen.texts}, "what is trained on isn't measured by"
    assert not unseen.replay, "evaluation trains on nothing"
    assert len(seen.replay) + len(seen.texts) + len(unseen.texts) == 60
    assert len(seen.suites["asked"]) + len(unseen.suites["asked"]) == 40
    assert {each.options[each.answer] for each in seen.suites["asked"]} == {"that"}
    assert any("\n\nTwice." in turns[0]["content"] for turns in seen.replay.values())
    assert seen.digest == unseen.digest == load_general_data(project).test.digest  # type: ignore[union-attr]


def test_what_is_named_for_both_is_measured_by_and_not_trained_on(tmp_path):
    project = project_with(tmp_path / "p", {"same.jsonl": TEXTS}, 'replay = ["same.jsonl"]\ntexts = ["same.jsonl"]')
    parts = load_general_data(project)
    assert parts is not None
    assert not parts.validation.replay
    assert len(parts.validation.texts) + len(parts.test.texts) == 60


def test_a_text_alone_makes_no_two_halves(tmp_path):
    project = project_with(tmp_path / "p", {"one.jsonl": TEXTS[:1]}, 'texts = ["one.jsonl"]')
    with pytest.raises(UserError, match="1 general texts don't make two halves"):
        load_general_data(project)


@pytest.mark.parametrize(
    ("rows", "key", "message"),
    [
        ([{"prompt": "?"}], "texts", "no text with its answer"),
        ([{"messages": [{"role": "user", "content": "?"}]}], "texts", "doesn't end with an answer"),
        ([{"messages": []}], "texts", "each with role and content"),
        ([{"messages": ["?", "!"]}], "texts", "each with role and content"),
        ([{"messages": [{"content": "?"}, {"role": "assistant", "content": "!"}]}], "texts", "each with role and content"),
        ([{"question": "?", "options": ["a"], "answer": "a"}], "suites", "no question with options"),
        ([{"question": "?", "options": ["a", "b"], "answer": "c"}], "suites", "none of the options"),
        ([], "texts", "the file is empty"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path, rows, key, message):
    project = project_with(tmp_path / "p", {"file.jsonl": rows}, f'{key} = ["file.jsonl"]')
    with pytest.raises(UserError, match=message) as caught:
        load_general_data(project)
    assert "file.jsonl" in str(caught.value)
