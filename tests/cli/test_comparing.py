"""`preceptor compare`: opens a round from files of answers, shows it again, and says what can't be compared."""

from __future__ import annotations

import json

import pytest

from preceptor import Project
from side_rounds import NAMES, Person, answers_of, work


@pytest.fixture
def folder(tmp_path):
    Project.create(tmp_path / "p").close()
    return tmp_path / "p"


def write(path, answers):
    rows = (
        {"id": asked.id, "prompt": asked.prompt, "answer": text, "topic": asked.metadata["topic"]}
        for asked, text in zip(answers.prompts, answers.texts, strict=True)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path):
    return [write(tmp_path / f"{name}.jsonl", answers_of(name, 40, quality)) for name, quality in zip(NAMES, (75, 45, 40), strict=True)]


def test_a_round_opens_goes_on_and_ends(run, folder, files):
    opened = run("compare", *files[:2], "--people", 1, "--project", folder, "--json")
    assert opened.code == 0
    name = opened.document["question"]
    assert opened.document["round"]["left"] > 30
    assert opened.document["models"] == list(NAMES[:2])
    project = Project.open(folder)
    work(project, [Person("ann")], name)
    project.close()
    page = folder / "comparison.html"
    shown = run("compare", *files[:2], "--out", page, "--project", folder)
    assert f"{NAMES[0]} is better" in page.read_text()
    assert f"{NAMES[0]} is better" in shown.out
    assert "no more are asked for" in shown.out
    assert "with others" in shown.out
    again = run("compare", *files[:2], "--project", folder, "--json").document
    assert again["matches"][0]["better"] == NAMES[0]
    assert again["matches"][0]["win_rate"]["low"] > 0.5


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_votes_are_shown_as_few(run, folder, files, count):
    name = run("compare", *files[:2], "--people", 2, "--project", folder, "--json").document["question"]
    project = Project.open(folder)
    work(project, [Person("ann"), Person("bob")], name, most=count)
    project.close()
    assert f"{count} of" in run("compare", *files[:2], "--project", folder).out
    assert run("compare", *files[:2], "--project", folder, "--json").document["votes"] == count


def test_three_files_and_no_queue(run, folder, files):
    found = run("compare", *files, "--no-queue", "--project", folder, "--json").document
    assert len(found["matches"]) == 3
    assert found["round"] == {"opened": False, "given": 0, "left": 0}


def test_models_answer_now_beside_a_file(run, folder, files, tiny_chat):
    found = run("compare", files[0], tiny_chat, "--max-tokens", 8, "--project", folder, "--no-queue", "--json")
    if found.code:  # a model of random weights may write an empty answer, which is told
        assert "answers are empty" in found.err
    else:
        assert found.document["prompts"] == 40


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ([], "two models or more"),
        (["nothing-called-so"], "called 'nothing-called-so'"),
        (["missing.jsonl"], "no such file"),
    ],
)
def test_what_cannot_be_compared_is_told(run, folder, files, more, fault):
    ended = run("compare", files[0], *more, "--project", folder)
    assert ended.code == 1
    assert fault in ended.err


def test_prompts_must_come_from_somewhere(run, folder, tiny_chat):
    ended = run("compare", tiny_chat, tiny_chat, "--project", folder)
    assert ended.code == 1
    assert "--rows FILE" in ended.err


def test_other_prompts_and_empty_answers_are_told(run, folder, files, tmp_path):
    other = write(tmp_path / "other.jsonl", answers_of("other", 39, 50))
    assert "different prompts: 1 differ" in run("compare", files[0], other, "--project", folder).err
    lines = files[1].read_text().splitlines()
    row = json.loads(lines[4]) | {"answer": "  "}
    files[1].write_text("\n".join([*lines[:4], json.dumps(row), *lines[5:]]))
    assert "1 answers are empty, the first to prompt 'q-4'" in run("compare", *files[:2], "--project", folder).err


def test_a_judge_must_be_there_and_be_named(run, folder, files):
    assert "no judge is called 'nobody'" in run("compare", *files[:2], "--judge", "nobody", "--project", folder).err
    assert "there is no judge" in run("compare", *files[:2], "--watch", "--project", folder).err


def test_a_local_judge_stands_beside_people(run, folder, files, tiny_chat):
    found = run("compare", *files[:2], "--judge", tiny_chat, "--judge-question", "Better?", "--project", folder, "--json").document
    judge = found["matches"][0]["judge"]
    assert judge["pairs"] + found["matches"][0]["same"] == 40
    assert found["judge"]["question"] == "Better?"
    assert "don't count yet" in " ".join(found["summary"])
