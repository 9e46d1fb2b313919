"""What is asked is remembered for a moment, and no longer."""

from __future__ import annotations

import pytest

from preceptor import Project, UserError, workspace


@pytest.fixture
def clock(monkeypatch):
    time = [1000.0]
    monkeypatch.setattr(workspace.time, "monotonic", lambda: time[0])
    return time


def names(project) -> list[str]:
    return [question.name for _, question in project.cache.active_questions()]


def test_a_new_question_is_asked_at_once_here_and_within_a_second_elsewhere(project, clock):
    other = Project.open(project.folder)
    assert names(project) == names(other) == ["sentiment"]
    project.add_question("why", "choice", ["a", "b"], follows="sentiment")
    assert names(project) == ["sentiment", "why"]
    assert names(other) == ["sentiment"]
    clock[0] += workspace.QUESTION_CACHE_SECONDS
    assert names(other) == ["sentiment", "why"]
    other.close()


def test_a_form_holds_what_follows(project, clock):
    assert [question.name for question in project.form_questions("sentiment")] == ["sentiment"]
    project.add_question("why", "choice", ["a", "b"], follows="sentiment")
    assert [question.name for question in project.form_questions("sentiment")] == ["sentiment", "why"]
    with pytest.raises(UserError, match="did you mean 'why'"):
        project.form_questions("whi")


def test_a_form_finds_a_question_that_is_newer_than_what_is_remembered(project, clock):
    other = Project.open(project.folder)
    other.cache.active_questions()
    project.add_question("new", "choice", ["a", "b"])
    assert [question.name for question in other.form_questions("new")] == ["new"]
    other.close()
