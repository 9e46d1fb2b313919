"""`preceptor plan`, as a user sees it."""

from __future__ import annotations

import pytest


@pytest.fixture
def shop(run, tmp_path, write_reviews, monkeypatch):
    """A project with 180 reviews of two judgments each, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_reviews(tmp_path / "reviews.csv")
    (tmp_path / "q.toml").write_text('name = "mood"\nkind = "choice"\noptions = ["negative", "neutral", "positive"]\n')
    columns = ("--text", "review", "--label", "sentiment", "--annotator", "who", "--group", "customer")
    for command in (("init", "."), ("question", "add", "q.toml"), ("import", "reviews.csv", "--question", "mood", *columns)):
        assert run(*command).code == 0
    return tmp_path


def test_a_plan_is_told_shown_and_written(run, shop):
    told = run("plan", "--out", "plan.html")
    assert told.code == 0
    assert told.out.startswith("The next 100 judgments, for $5.00,")
    assert (shop / "plan.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    document = run("plan", "mood", "--next", 20, "--json").document
    assert document["next"]["judgments"] == 20
    assert document["today"] == document["curve"][0]


def test_a_study_needs_no_project(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("plan", "--study", "--items", 100, "--target", 0.9, "--accuracy", 0.8, "--json")
    assert ran.document["adaptive"]["judgments"] <= ran.document["fixed"]["judgments"]
    assert "adaptive" in run("plan", "--study", "--items", 100, "--target", 0.9, "--accuracy", 0.8).out
    assert "no design reaches 0.99" in run("plan", "--study", "--items", 50, "--target", 0.99, "--accuracy", 0.55).out


def test_a_question_is_the_pilot_of_a_study(run, shop):
    ran = run("plan", "mood", "--study", "--items", 100, "--json")
    assert 0.7 < ran.document["crowd"]["accuracy"] < 1
    assert ran.document["designs"][0]["cost"] == 5


def test_without_a_project_the_plan_says_what_to_do(run, tmp_path):
    ran = run("plan", "--project", tmp_path)
    assert ran.code == 1
    assert "preceptor init" in ran.err
