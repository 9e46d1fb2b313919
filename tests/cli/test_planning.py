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
    document = run("plan", "mood", "--judgments", 20, "--json").document
    assert document["next"]["judgments"] == 20
    assert document["today"] == document["curve"][0]


def test_a_study_needs_no_project(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("design-study", "--items", 100, "--target", 0.9, "--accuracy", 0.8, "--json")
    assert ran.document["adaptive"]["judgments"] <= ran.document["fixed"]["judgments"]
    assert "adaptive" in run("design-study", "--items", 100, "--target", 0.9, "--accuracy", 0.8).out
    assert "no design reaches 0.99" in run("design-study", "--items", 50, "--target", 0.99, "--accuracy", 0.55).out


def test_a_question_is_the_pilot_of_a_study(run, shop):
    ran = run("design-study", "mood", "--items", 100, "--json")
    assert 0.7 < ran.document["crowd"]["accuracy"] < 1
    assert ran.document["designs"][0]["cost"] == 5


def test_without_a_project_the_plan_says_what_to_do(run, tmp_path):
    ran = run("plan", "--project", tmp_path)
    assert ran.code == 1
    assert "preceptor init" in ran.err


COSTS = """
[prices.feedback-api]
per = 1000
training = 0.04
input = 0.04
output = 0.04
[training]
tokens = 500_000
[serving]
requests = 100_000
input = 50
[local]
machine_hour = 0.10
training = 330
reading = 819
"""


def test_costs_are_told_in_money_and_on_a_page(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "costs.toml").write_text(COSTS)
    told = run("plan", "--costs", "costs.toml", "--out", "plan.html")
    assert told.code == 0
    training, month = (line.split() for line in told.out.splitlines()[1:3])
    assert training[-3:] == ["$20.00", "$0.0421", "$0.0421"]
    assert month[-3:] == ["$200.00", "$0.17", "$73.00"]
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "feedback-api: $20.00 to train, $200.00 a month." in page
    document = run("plan", "--costs", "costs.toml", "--json").document
    assert document["costs"]["bills"][0]["serving_per_month"] == 200


def test_a_file_of_points_is_forecast(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spread = (-0.01, 0.0, 0.01)
    points = [f"{size},{seed},{0.9 * size**-0.25 + spread[seed]:.4f},400" for size in (20, 40, 80, 160, 320) for seed in range(3)]
    (tmp_path / "probe.csv").write_text("\n".join(["size,seed,error,held", *points]))
    assert "Back-test passed" in run("plan", "--curve", "probe.csv").out
    document = run("plan", "--curve", "probe.csv", "--rows", 500, "--json").document
    assert [each["size"] for each in document["learning"][0]["forecasts"]] == [500]
    refused = run("plan", "--curve", "probe.csv", "--rows", 2000)
    assert (refused.code, "more than 4 times the 320" in refused.err) == (1, True)


def test_costs_and_a_plan_stand_beside_each_other(run, shop):
    (shop / "costs.toml").write_text("[annotators]\njudgments = 100\n")
    told = run("plan", "mood", "--costs", "costs.toml", "--out", "plan.html")
    assert "The next 100 judgments" in told.out
    assert "preceptor snapshot create mood" in told.out
    assert "100 judgments, once  $5.00" in told.out
    assert "What it costs" in (shop / "plan.html").read_text(encoding="utf-8")
