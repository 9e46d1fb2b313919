"""A model trained here as the base of the next: its encoder goes on, and everything downstream says so."""

from __future__ import annotations

import pytest
import torch

from preceptor import Project, UserError
from preceptor.models import load_classifier
from preceptor.runs.parity_check import check_parity

FAST = {"learning_rate": 1e-3, "epochs": 1, "min_steps": 2, "dtype": "float32"}


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_cache):
    patch = pytest.MonkeyPatch()
    patch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project = Project.create(tmp_path_factory.mktemp("bases") / "reviews")
    project.add_question("sentiment", "choice", ["bad", "good"])
    project.add_question("topic", "choice", ["box", "cable", "page"])
    project.add_items(
        {"id": f"i-{n}", "text": f"text number {n} of {'good' if n % 2 else 'bad'} {['box', 'cable', 'page'][n % 3]}"} for n in range(60)
    )
    for name in ("ann", "bob"):
        project.add_annotator(name)
    for n in range(60):
        project.judge(f"i-{n}", "sentiment", annotator="ann", answer=["bad", "good"][n % 2])
        project.judge(f"i-{n}", "topic", annotator="bob", answer=["box", "cable", "page"][n % 3])
    for question in ("sentiment", "topic"):
        project.snapshot(question, name=question)
    first = project.train("classify", snapshot="sentiment", base="minilm", **FAST)
    yield project, first
    project.close()
    patch.undo()


def test_a_classifier_with_other_answers_keeps_the_encoder(made):
    project, first = made
    second = project.train("linear_probe", snapshot="topic", base=first.id)
    assert second.manifest["base"] == first.id
    assert second.manifest["base_weights"] == first.manifest["weights"]
    before, after = load_classifier(first.path), load_classifier(second.path)
    assert list(after.config.id2label.values()) == ["box", "cable", "page"]
    assert all(torch.equal(weights, after.body.state_dict()[name]) for name, weights in before.body.state_dict().items())
    assert check_parity(project, second)["passed"]
    assert project.evaluate(second, split="validation").estimates["accuracy"].n > 0
    again = project.train("linear_probe", snapshot="topic", base=first.id[:8])
    assert again.id == second.id  # the beginning of an id is the same base


def test_lineage_goes_through_the_earlier_model(made):
    project, first = made
    second = project.train("classify", snapshot="topic", base=first.id, **FAST)
    third = project.train("setfit", snapshot="topic", base=second.id, **FAST)
    assert project.lineage(third.id)["earlier"] == [second.id, first.id]
    assert project.lineage(first.id)["earlier"] == []
    forward = project.lineage("ann")["models"]  # ann answered only what the first was trained on
    assert {first.id, second.id, third.id} <= set(forward)
    assert first.id not in project.lineage("bob")["models"]


def test_a_report_tells_of_rows_that_an_earlier_model_has_seen(made):
    project, first = made
    project.snapshot("topic", name="elsewhere", seed=7)
    second = project.train("linear_probe", snapshot="elsewhere", base=first.id)
    trained = {row.id for row in project.load_snapshot("sentiment").rows("train")}
    both = len(trained & {row.id for row in project.load_snapshot("elsewhere").rows("test")})
    report = project.evaluate(second)
    assert both > 0
    assert report.document["split"]["seen_before"] == both
    assert f"test items, {both} of which an earlier model of its line was trained on" in report.to_html()
    assert "test items that no training touched" in project.evaluate(first).to_html()


def test_what_cant_be_a_base_is_refused(made, tiny_chat):
    project, first = made
    with pytest.raises(UserError, match="m-nothing"):
        project.train("classify", snapshot="topic", base="m-nothing")
    with pytest.raises(UserError, match="is not a causal model"):
        project.train("in_context", snapshot="topic", base=first.id, shots=2)
    shown = project.train("in_context", snapshot="topic", base=tiny_chat, shots=1, max_tokens=40, calibration=2)
    with pytest.raises(UserError, match="has no weights of its own"):
        project.train("classify", snapshot="topic", base=shown.id)


def test_few_shot_is_measured_and_proved_with_its_base(made, tiny_chat):
    project, _ = made
    shown = project.train("in_context", snapshot="topic", base=tiny_chat, shots=1, max_tokens=40, calibration=2)
    report = project.evaluate(shown, base=tiny_chat)
    assert 0 <= report.estimates["accuracy"].low <= report.estimates["accuracy"].high <= 1
    assert check_parity(project, shown, base=tiny_chat)["passed"]
    with pytest.raises(UserError, match="not at hand; say where it lies"):
        project.evaluate(shown)
