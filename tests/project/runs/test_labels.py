"""A question of several labels from people's ticks to a release: frozen, learnt, proved, measured, let out."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.cli.train import format_dry_run
from preceptor.errors import GateRefused
from preceptor.formats.durable_files import CHECKSUMS_FILE, rewrite_with_checksum
from preceptor.runs import prediction
from preceptor.runs.training import preview_training

WORDS = {"praise": "good great love fine best", "complaint": "bad awful broken poor worst", "parts": "box cable page two blue"}
FAST = {"learning_rate": 1e-2, "epochs": 4, "batch_size": 8, "dtype": "float32", "evals_per_epoch": 1, "patience": 9, "min_steps": 1}


def sentences(count):
    """Texts of which each label applies where three of its words stand; one in eight has none."""
    drawn = random.Random(0)
    for number in range(count):
        labels = [label for label in WORDS if drawn.random() < 0.5]
        words = [word for label in labels for word in drawn.choices(WORDS[label].split(), k=3)]
        yield {"id": f"i-{number}", "text": " ".join([*words, str(number)]), "group": f"g-{number // 2}"}, labels


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_cache):
    """A project of 240 texts, each ticked by two people of whom one errs at times; a snapshot, a model and its report."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PRECEPTOR_CACHE", str(tiny_cache))
        project = Project.create(tmp_path_factory.mktemp("made") / "topics", gate={"bounds": ["f1.praise.low >= 0.2"]})
        project.add_question("topics", "multilabel", list(WORDS))
        told, errs = list(sentences(240)), random.Random(1)
        project.add_items(row for row, _ in told)
        for name in ("ann", "bob"):
            project.add_annotator(name)
        for row, labels in told:
            project.judge(row["id"], "topics", annotator="ann", answer=labels)
            slip = [label for label in WORDS if (label in labels) != (errs.random() < 0.05)]
            project.judge(row["id"], "topics", annotator="bob", answer=slip)
        project.snapshot("topics", name="v1")
        model = project.train("classify", snapshot="v1", base="minilm", **FAST)
        yield project, model, project.evaluate(model), {row["id"]: labels for row, labels in told}
        project.close()


def test_a_snapshot_has_the_probability_of_each_label(made):
    project, _, _, told = made
    snapshot = project.load_snapshot("v1")
    assert snapshot.target_kind == "multilabel"
    assert snapshot.answers == tuple(WORDS)
    rows = list(snapshot.rows())
    assert all(set(row.target) == set(WORDS) for row in rows)
    assert np.mean([set(row.labels) == set(told[row.id]) for row in rows]) > 0.9
    assert sum(snapshot.summary()["answers"]["train"].values()) == sum(len(row.labels) for row in snapshot.rows("train"))
    exported = {row["id"]: row["answer"] for row in project.export("v1")}
    assert exported == {row.id: list(row.labels) for row in rows}


def test_a_dry_run_shows_what_is_read_and_the_answers(made, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project = made[0]
    seen = preview_training(project, "classify", project.load_snapshot("v1"), "minilm", seed=0, options={"max_tokens": 8})
    assert seen["rows"]["train"] == sum(1 for _ in project.load_snapshot("v1").rows("train"))
    assert max(seen["longest"].values()) == 8
    assert 0 < seen["filling"]["train"] <= seen["rows"]["train"]
    first = seen["examples"][0]
    assert set(first["target"]) == set(WORDS)
    assert not any(token["learnt"] for token in first["tokens"])
    assert "fill all tokens that are read" in format_dry_run(seen)


def test_the_report_has_sets_and_each_label_with_intervals(made):
    _, _, report, _ = made
    found = report.estimates
    assert {"accuracy", "macro_f1", "log_loss", "ece", "f1.praise", "f1.complaint", "f1.parts"} <= set(found)
    assert found["macro_f1"].value > 0.6
    assert found["f1.praise"].low > 0.2
    assert report.document["parity"]["passed"]
    html = report.to_html()
    assert "F1 of each label" in html
    assert "Parity holds: reloaded, alone, served, it gives the answers of 16 validation rows" in html
    shown = report.document["examples"]
    assert all(example["said"] != example["truth"] for example in shown)


def test_truth_may_be_given_and_must_be_of_the_labels(made):
    project, model, _, told = made
    given = project.evaluate(model, truth=told, split="validation")
    assert given.estimates["accuracy"].low >= 0
    rows = list(project.load_snapshot("v1").rows("validation"))
    said = prediction.predict_probabilities(project, model, [row.text for row in rows]) > 0.5
    sets = [{label for label, yes in zip(WORDS, each, strict=True) if yes} for each in said]
    match = np.mean([found == set(told[row.id]) for row, found in zip(rows, sets, strict=True)])
    assert given.estimates["accuracy"].value == pytest.approx(match)
    with pytest.raises(UserError, match=f"the true label 'irony' of item '{rows[0].id}' is not one of the snapshot"):
        project.evaluate(model, truth={rows[0].id: ["irony"]}, split="validation")


def test_it_is_released_by_its_bound_and_by_parity(made):
    project, model, _, _ = made
    project.evaluate(model)  # other tests may have left a report without parity
    decided = project.release(model, by="owner")
    assert [bound["figure"] for bound in decided.bounds] == ["parity", "f1.praise"]


def test_a_model_has_its_say_in_what_is_asked_next(made, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project, model, _, _ = made
    drawn, every = random.Random(2), " ".join(WORDS.values()).split()
    project.add_items({"id": f"new-{number}", "text": " ".join(drawn.choices(every, k=6))} for number in range(40))
    batch = project.prioritise("topics", model, size=10)
    assert [row["stream"] for row in batch["items"]].count("uncertain") == 4


def test_other_weights_are_not_measured_and_a_model_without_a_record_says_what_to_do(made, tmp_path):
    project, model, _, _ = made
    kept = tmp_path / "kept"
    shutil.copytree(model.path, kept)
    record = model.path / "parity.json"
    try:
        said = json.loads(record.read_text())
        said["rows"] = {id_: [2 * value for value in row] for id_, row in said["rows"].items()}
        rewrite_with_checksum(record, json.dumps(said).encode())
        with pytest.raises(UserError, match="is not measured, for parity fails") as caught:
            project.evaluate(model)
        assert f"preceptor verify {model.id}" in caught.value.hint
        record.unlink()
        (model.path / CHECKSUMS_FILE).unlink()
        with pytest.raises(UserError, match="has no record of what it said when it was trained") as caught:
            project.evaluate(model)
        assert caught.value.hint == "its folder is incomplete: train it anew"
    finally:
        shutil.copy(kept / "parity.json", record)
        shutil.copy(kept / CHECKSUMS_FILE, model.path / CHECKSUMS_FILE)


def test_recipes_for_one_answer_refuse_it(made, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project, _, _, _ = made
    with pytest.raises(UserError, match="several"):
        project.train("linear_probe", snapshot="v1", base="minilm")


def test_a_label_that_nobody_chose_is_named_before_training(project, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project.add_question("topics", "multilabel", [*WORDS, "irony"])
    project.add_annotator("ann")
    for row, labels in sentences(60):
        project.add_items([row])
        project.judge(row["id"], "topics", annotator="ann", answer=labels)
    made = project.snapshot("topics")
    assert "irony" in next(check["summary"] for check in made.summary()["checks"] if check["check"] == "rare labels")
    with pytest.raises(UserError, match="no training row has 'irony' as its answer"):
        project.train("classify", snapshot=made, base="minilm", **FAST)


def test_without_parity_no_release(made):
    project, model, report, _ = made
    from preceptor.runs import evaluation

    old = {name: part for name, part in report.document.items() if name not in ("parity", "release")}
    evaluation.store_report(project, model, project.load_snapshot("v1"), old, "test")
    with pytest.raises(GateRefused, match="parity"):
        project.release(model, by="owner")
    assert project.release(model, by="owner", override="seen by hand").decision == "overridden: seen by hand"
    project.evaluate(model)  # whose report is the newest for the other tests
