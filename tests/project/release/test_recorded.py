"""Recorded answers meet the gate: checked by the newest report on what the file says now, and never released."""

from __future__ import annotations

import json

import pytest

from preceptor.config import ProjectConfig
from preceptor.errors import UserError
from preceptor.release import gate

POLICY = """title = "House"

[[rule]]
id = "no-promise"
kind = "terms"
title = "Promises nothing"
reason = "It can't be kept."
terms = ["guarantee"]
"""


@pytest.fixture
def suited(project):
    folder = project.folder / "suites"
    folder.mkdir()
    (folder / "house.toml").write_text('kind = "policy"\npolicy = "policy.toml"\n')
    (folder / "policy.toml").write_text(POLICY)
    gated(project, "violations.high <= 0.2")
    return project


def gated(project, *bounds):
    project.config = ProjectConfig.parse({**json.loads(project.config.model_dump_json()), "gate": {"bounds": bounds}}, of="the test")
    project.config.save(project.folder)


def answers(project, text, count=40):
    path = project.folder / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": f"p{n}", "prompt": f"May I, number {n}?", "answer": text}) + "\n" for n in range(count)))
    return str(path)


def test_recorded_answers_are_checked_as_they_are(suited, run):
    """The gate knew no such model, though the report judges by one."""
    file, here = answers(suited, "Yes."), ("--project", suited.folder)
    never = run("release", file, "--check", *here)
    assert (never.code, "never evaluated" in never.err) == (1, True)
    report = suited.evaluate(file, suites=["house"])
    assert report.document["release"]["decision"] == "met"
    found = run("release", file, "--check", "--json", *here)
    assert (found.code, found.document["passed"]) == (0, True)
    assert [bound["figure"] for bound in found.document["bounds"]] == ["violations"], "no parity of what no model here said"
    answers(suited, "We guarantee it.")
    assert run("release", file, "--check", *here).code == 1, "other answers are evaluated themselves"
    suited.evaluate(file, suites=["house"])
    missed = run("release", file, "--check", "--json", *here)
    assert (missed.code, missed.document["decision"]) == (3, "missed")


def test_what_changed_since_and_what_no_file_has_stay_open(suited):
    file = answers(suited, "Yes.")
    suited.evaluate(file, suites=["house"])
    gated(suited, "violations.high <= 0.2", "accuracy.low >= 0.5")
    assert [each.state for each in gate.check_recorded(suited, file).decision.findings] == ["met", "undecided"]
    gated(suited)
    assert gate.check_recorded(suited, file).decision.state == "unbounded"
    gated(suited, "violations.high <= 0.2")
    (suited.folder / "suites" / "policy.toml").write_text(POLICY.replace("guarantee", "yes"))
    assert gate.check_recorded(suited, file).decision.state == "undecided"


def test_prompts_that_have_judged_other_answers_ask_for_more(suited):
    first = suited.evaluate(answers(suited, "Yes."), suites=["house"]).document["openings"]["house"]
    again = suited.evaluate(answers(suited, "Yes."), suites=["house"]).document["openings"]["house"]
    other = suited.evaluate(answers(suited, "No."), suites=["house"]).document["openings"]["house"]
    assert (first["others"], again["others"], other["others"]) == (0.0, 0.0, 1.0)


def test_recorded_answers_are_never_released(suited, run):
    file = answers(suited, "Yes.")
    suited.evaluate(file, suites=["house"])
    with pytest.raises(UserError, match="never released"):
        suited.release(file, by="owner")
    assert run("release", file, "--by", "owner", "--project", suited.folder).code == 1
    assert run("release", file, "--queue", "--project", suited.folder).code == 2
