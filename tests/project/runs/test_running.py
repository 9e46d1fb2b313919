"""Suites of a model that writes, from their files to the gate: all kinds at once, recorded answers, and what isn't there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.errors import GateRefused, NotFoundError
from preceptor.runs.suite_runner import SuiteOptions, run_suites
from tiny_models import made_rows, save_decoder

OPTIONS = {"learning_rate": 1e-2, "epochs": 6, "batch_size": 16, "dtype": "float32", "rank": 8}
POLICY = """title = "House rules"

[[rule]]
id = "no-letters"
kind = "regex"
title = "No letters in an answer"
patterns = ['[A-Za-z]']
"""
FILES = {
    "house.toml": 'kind = "policy"\ntitle = "House rules"\npolicy = "../policy.toml"\nmax_tokens = 16\n',
    "words.toml": 'kind = "generation"\nmetrics = ["exact_match", "token_f1"]\nprompts = "prompts.jsonl"\nmax_tokens = 16\n',
    "knows.toml": 'kind = "selective_prediction"\nmetrics = ["exact_match"]\nmax_tokens = 16\n',
    "quiz.toml": 'kind = "multiple_choice"\nprompts = "quiz.jsonl"\n',
    "prompts.jsonl": "".join(json.dumps({"id": f"p{n}", "prompt": f"What is {n}?", "reference": "It is red."}) + "\n" for n in range(8)),
    "quiz.jsonl": "".join(json.dumps({"question": f"Is it {n}?", "options": ["yes", "no"], "answer": n % 2}) + "\n" for n in range(12)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a model that was trained on 160 prompts and completions, and suites of all kinds."""
    folder = tmp_path_factory.mktemp("suites")
    answered = [(row.content["prompt"], next(iter(row.target))) for row in made_rows(160, 1)]
    rows = [{"prompt": f"{prompt} ({number})", "completion": answer} for number, (prompt, answer) in enumerate(answered)]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "answers", gate={"bounds": ["violations.high <= 0.05"]}, annotators={"gold_share": 0})
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    (project.folder / "suites").mkdir()
    (project.folder / "policy.toml").write_text(POLICY)
    for name, text in FILES.items():
        (project.folder / "suites" / name).write_text(text)
    base = save_decoder("llama", folder / "base")
    model = project.train("sft", snapshot="v1", base=base, **OPTIONS)
    yield project, model
    project.close()


@pytest.fixture(scope="module")
def report(made):
    project, model = made
    return project.evaluate(model, suites=["house", "words", "knows", "quiz", "faithfulness"])


def test_each_suite_is_a_section(report):
    found = report.document["suites"]
    assert {name: section["kind"] for name, section in found.items()} == {
        "house": "policy", "words": "generation", "knows": "selective_prediction", "quiz": "multiple_choice",
        "faithfulness": "faithfulness",
    }  # fmt: skip
    assert found["house"]["rows"] > 10, "its own test rows"
    assert found["words"]["rows"] == 8, "the suite's prompts"
    for name, section in found.items():
        assert section["provenance"]["suite_digest"] if name != "quiz" else True
        assert section["summary"] is not None
    assert 0 <= report.estimates["quiz.accuracy"].low <= report.estimates["quiz.accuracy"].value
    assert report.estimates["knows.selective_risk"].n > 1
    assert found["house"]["provenance"]["sampling"] == {"max_tokens": 16, "temperature": 0.0, "seed": 0}


def test_no_rate_stands_where_nobody_has_judged(report, made):
    project = made[0]
    section = report.document["suites"]["faithfulness"]
    assert not {"hallucination", "hallucination_responses"} & set(section["figures"])
    assert section["summary"][0].startswith("No valid interval exists yet")
    assert [each.name for each in project.questions() if each.purpose] == ["faithfulness"]
    project.add_annotator("ann")
    assert project.next("ann", "faithfulness") is not None


def test_the_page_and_the_card_show_them(report, tmp_path):
    page, card = report.to_html(), report.to_markdown()
    for words in ("House rules", "No valid interval exists yet"):
        assert words in page
    assert "violations" in card


def test_the_gate_refuses_what_breaks_the_policy(made, run):
    project, model = made
    report = project.evaluate(model, suites=["house"])  # other tests may have left one without this suite
    assert report.estimates["violations"].low > 0.05
    with pytest.raises(GateRefused, match="answers that break a rule"):
        project.release(model, by="owner@example.org")
    checked = run("release", model.id, "--check", "--json", "--project", project.folder)
    assert checked.code == 3
    assert json.loads(checked.out)["decision"] == "missed"


def test_answers_are_written_once(made, monkeypatch):
    project, model = made
    from preceptor.runs.suite_answers import SuiteSubject

    project.evaluate(model, suites=["words"])
    monkeypatch.setattr(SuiteSubject, "load_writer", lambda self: pytest.fail("written again"))
    assert project.evaluate(model, suites=["words"]).document["suites"]["words"]["rows"] == 8


def test_recorded_answers_are_measured_by_suites_alone(made, tmp_path, run):
    project, _ = made
    path = tmp_path / "hosted.jsonl"
    rows = [{"id": f"p{n}", "prompt": f"What is {n}?", "answer": "It is red." if n % 2 else "4", "confidence": n / 8} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = project.evaluate(str(path), suites=["house", "words"])
    assert report.estimates["words.exact_match"].value == 0.5
    assert report.estimates["violations"].value == 0.5
    assert "lineage" not in report.document
    assert "hosted" in report.to_html()
    assert run("evaluate", path, "--suite", "house", "--project", project.folder).code == 0
    with pytest.raises(UserError, match="a file of answers is measured by suites"):
        project.evaluate(str(path))
    with pytest.raises(UserError, match="looks at what a model finds probable"):
        project.evaluate(str(path), suites=["quiz"])
    path.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(UserError, match="has no answer to 7 of 8 prompts of 'words'"):
        project.evaluate(str(path), suites=["words"])


def test_what_isnt_there_is_told_before_anything_is_measured(made, monkeypatch):
    project, model = made
    from preceptor.runs import evaluation

    monkeypatch.setattr(evaluation, "measure_model", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(NotFoundError, match="no suite is called 'hous', did you mean 'house'") as refused:
        project.evaluate(model, suites=["hous"])
    assert "faithfulness" in refused.value.hint
    with pytest.raises(UserError, match="two suites are called 'house'"):
        project.evaluate(model, suites=["house", "house"])


def test_a_classifier_has_no_answers_to_look_at(modelled):
    model = replace(modelled.model, manifest={**modelled.model.manifest, "answers": ["good", "bad"]})
    with pytest.raises(UserError, match="chooses among answers"):
        run_suites(modelled.project, model, ["faithfulness"], SuiteOptions())


def test_a_judge_that_nobody_has_measured_is_told_of(tmp_path):
    from preceptor.evaluation.prompts import SuitePrompt
    from preceptor.evaluation.suites import read_suite
    from preceptor.runs import suite_runner
    from preceptor.runs.suite_answers import build_answers

    class Strict:
        name, digest = "strict", "strict-1"

        def scores(self, cases):
            return np.ones(len(cases))

    (tmp_path / "policy.toml").write_text('[[rule]]\nid = "kind"\nkind = "judge"\ntitle = "Is kind"\nquestion = "Is it unkind?"\n')
    (tmp_path / "suite.toml").write_text('kind = "policy"\npolicy = "policy.toml"\n')
    answers = build_answers("m", [SuitePrompt("a", "a", ({"role": "user", "content": "?"},))], ["Go away."], {})
    section = suite_runner.build_policy_section(read_suite(tmp_path / "suite.toml"), answers, lambda question: Strict())
    assert section["figures"]["violations"].value == 1
    assert any("How far it agrees with people isn't measured" in words for words in section["summary"])


def test_an_audit_ends_by_all_bounds_of_its_suite_under_its_own_name(made, monkeypatch):
    from preceptor.runs import suite_runner

    project = made[0]
    bounds = ("hallucination.high <= 0.5", "facts.hallucination_responses.high <= 0.2", "suites.facts.figures.hallucination.high <= 0.4")
    gate = project.config.gate.model_copy(update={"bounds": (*bounds, "violations.high <= 0.1")})
    monkeypatch.setattr(project, "config", project.config.model_copy(update={"gate": gate}))
    found = suite_runner._suite_bounds(project, suite_runner.BUILT_IN_SUITES["faithfulness"].model_copy(update={"name": "facts"}))
    assert list(map(str, found)) == ["hallucination.high <= 0.5", "hallucination_responses.high <= 0.2", "hallucination.high <= 0.4"]
