"""What a report rests on: a bound isn't met on what has changed since, and rows remember the models that they have judged."""

from __future__ import annotations

import json

import pytest

from preceptor import Estimate
from preceptor.config import ProjectConfig
from preceptor.errors import GateRefused
from preceptor.release import gate
from preceptor.runs import evaluation, suite_runner

SUITE = """kind = "policy"
policy = "policy.toml"
prompts = "prompts.jsonl"
"""
POLICY = """title = "House"

[[rule]]
id = "no-promise"
kind = "terms"
title = "Promises nothing"
reason = "It can't be kept."
terms = ["guarantee"]
"""


def gated(project, *bounds):
    project.config = ProjectConfig.parse({**json.loads(project.config.model_dump_json()), "gate": {"bounds": bounds}}, of="the test")
    project.config.save(project.folder)


def keep(modelled, model=None, snapshot=None, value=0.9, half=0.02, **sections):
    figure = Estimate(value, value - half, value + half, 20, "made up")
    document = {"models": {"tuned": {"accuracy": figure}}, "parity": {"passed": True}, **sections}
    return evaluation.store_report(modelled.project, model or modelled.model, snapshot or modelled.snapshot, document, "test")


@pytest.fixture
def suited(modelled):
    """The modelled project with the suite `house`, of which a report says that nothing broke it, as an evaluation would."""
    folder = modelled.project.folder / "suites"
    folder.mkdir()
    (folder / "house.toml").write_text(SUITE)
    (folder / "policy.toml").write_text(POLICY)
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"id": f"p{n}", "prompt": f"May I, number {n}?"}) + "\n" for n in range(6)))
    answers = folder.parent / "answers.jsonl"
    answers.write_text("".join(json.dumps({"id": f"p{n}", "prompt": f"May I, number {n}?", "answer": "Yes."}) + "\n" for n in range(6)))
    gated(modelled.project, "accuracy.low >= 0.7", "violations.high <= 0.9")
    modelled.sections = suite_runner.run_suites(modelled.project, str(answers), ["house"], suite_runner.SuiteOptions())
    return modelled


def states(modelled):
    return {finding.figure: finding.state for finding in gate.check_release(modelled.project, modelled.model).decision.findings}


ALL_MET = {"parity": "met", "accuracy": "met", "violations": "met"}


@pytest.mark.parametrize("change", ["policy", "prompts", "suite", "gone"])
def test_a_suite_that_changed_since_the_report_meets_no_bound(suited, change, run):
    """A policy tightened so that every answer breaks it, and then deleted, stayed met, and the model went out."""
    keep(suited, suites=suited.sections)
    assert states(suited) == ALL_MET
    folder = suited.project.folder / "suites"
    if change == "policy":
        (folder / "policy.toml").write_text(POLICY.replace("guarantee", "yes"))
    elif change == "prompts":
        (folder / "prompts.jsonl").write_text('{"id": "p0", "prompt": "Another?"}\n')
    elif change == "suite":
        (folder / "house.toml").write_text(SUITE + 'title = "House"\n')
    else:
        for name in ("house.toml", "policy.toml"):
            (folder / name).unlink()
    assert states(suited) == {**ALL_MET, "violations": "undecided"}
    with pytest.raises(GateRefused, match=r"'house' (changed|is gone) after the report was made.*evaluate the model again"):
        suited.project.release("m-1234", by="owner")
    ran = run("release", "m-1234", "--check", "--json", "--project", suited.project.folder)
    assert (ran.code, ran.document["decision"]) == (3, "undecided")


def test_a_suite_that_changes_while_it_is_measured_is_another_one(suited):
    policy = suited.project.folder / "suites" / "policy.toml"
    policy.write_text(POLICY.replace("guarantee", "yes"))
    keep(suited, suites=suited.sections)
    assert states(suited)["violations"] == "undecided"


def test_another_judge_meets_no_bound(suited, monkeypatch):
    sections = {"house": {**suited.sections["house"], "provenance": {**suited.sections["house"]["provenance"], "judge": "smollm2"}}}
    keep(suited, suites=sections)
    assert states(suited) == ALL_MET
    monkeypatch.setattr("preceptor.release.report_inputs.identify_judge", lambda project, name: "another")
    assert states(suited) == {**ALL_MET, "violations": "undecided"}


def test_true_answers_that_somebody_decided_since_want_another_evaluation(suited):
    keep(suited, suites=suited.sections)
    row = next(iter(suited.snapshot.rows("test")))
    suited.project.add_gold("sentiment", {row.id: "negative" if row.answer != "negative" else "positive"})
    assert states(suited) == {**ALL_MET, "accuracy": "undecided"}
    keep(suited, suites=suited.sections)
    assert states(suited) == ALL_MET


def test_other_options_want_another_model(suited):
    keep(suited, suites=suited.sections)
    suited.project.add_question("sentiment", "choice", ["bad", "middling", "good"])
    assert states(suited) == {**ALL_MET, "accuracy": "undecided"}
    keep(suited, suites=suited.sections)
    assert states(suited) == {**ALL_MET, "accuracy": "undecided"}, "evaluating again doesn't mend it"


def test_general_texts_that_changed_keep_retention_open(modelled):
    folder, texts = modelled.project.folder, [{"prompt": f"Say {n}.", "completion": f"{n}."} for n in range(40)]
    (folder / "general.jsonl").write_text("".join(json.dumps(each) + "\n" for each in texts))
    values = json.loads(modelled.project.config.model_dump_json())
    values |= {"gate": {"bounds": ["retention.low >= 0.9", "accuracy.low >= 0.7"]}, "forgetting": {"texts": ["general.jsonl"]}}
    modelled.project.config = ProjectConfig.parse(values, of="the test")
    kept = Estimate(0.98, 0.95, 1.0, 40, "t")
    figure = Estimate(0.9, 0.88, 0.92, 20, "made up")
    keep(modelled, models={"tuned": {"accuracy": figure, "retention": kept}}, forgetting={"kept": kept, "texts": 20, "suites": {}})
    assert states(modelled) == {"parity": "met", "retention": "met", "accuracy": "met"}
    (folder / "general.jsonl").write_text("".join(json.dumps(each) + "\n" for each in texts[1:]))
    assert states(modelled) == {"parity": "met", "retention": "undecided", "accuracy": "met"}
    (folder / "general.jsonl").unlink()
    assert states(modelled)["retention"] == "undecided"


def test_rows_remember_the_models_that_they_judged_whatever_snapshot_they_are_in(modelled, keep_model):
    """One more item made a new digest, and the count began anew with 20 of 21 rows shared."""
    project = modelled.project
    first = keep(modelled).document["openings"]["rows"]
    assert (first["others"], first["rows"]) == (0.0, 0)
    assert keep(modelled, value=0.8).document["openings"]["rows"] == first, "the same model again counts nothing"
    project.add_annotator("ann")
    for n in range(60, 90):
        project.add_items([{"id": f"i-{n}", "text": f"text number {n} of its own", "group": f"g-{n}"}])
        project.judge(f"i-{n}", "sentiment", annotator="ann", answer="neutral")
    grown = project.snapshot("sentiment", name="v2")
    assert grown.digest != modelled.snapshot.digest
    second = keep(modelled, keep_model(project, grown.digest, "m-2"), grown).document["openings"]["rows"]
    assert (second["rows"], second["of"]) == (first["of"], len(list(grown.rows("test"))))
    assert second["others"] == pytest.approx(first["of"] / second["of"])
    assert keep(modelled).document["openings"]["rows"] == first, "who came first stays first"


def test_the_gate_asks_more_of_a_model_on_rows_that_have_judged_others(modelled, keep_model):
    gated(modelled.project, "accuracy.low >= 0.7")
    for k in range(5):
        model = keep_model(modelled.project, modelled.snapshot.digest, f"m-{k}")
        found = keep(modelled, model, value=0.75, half=0.04).document["release"]
        assert found["decision"] == ("undecided" if k else "met")
    (bound,) = (each for each in found["bounds"] if each["figure"] == "accuracy")
    assert bound["estimate"]["confidence"] == pytest.approx(1 - 0.05 / 25)
    assert "99.8 % confidence" in bound["summary"].replace("\u00a0", " ")
    assert gate.check_release(modelled.project, model).decision.state == "undecided"
    assert gate.check_release(modelled.project, modelled.project.model("m-0")).decision.state == "met"


def test_prompts_of_a_suite_are_counted_too(suited, keep_model):
    assert keep(suited, suites=suited.sections).document["openings"]["house"] == {"others": 0.0, "rows": 0, "of": 6}
    other = keep_model(suited.project, suited.snapshot.digest, "m-2")
    assert keep(suited, other, suites=suited.sections).document["openings"]["house"] == {"others": 1.0, "rows": 6, "of": 6}
