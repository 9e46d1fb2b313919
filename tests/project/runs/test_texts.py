"""From a file of prompts and completions to a release: trained, measured beside its base, refused and let out."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager

import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.errors import DamagedFile, GateRefused
from preceptor.formats.durable_files import rewrite_with_checksum
from tiny_models import made_rows, save_decoder

OPTIONS = {"learning_rate": 1e-2, "epochs": 6, "batch_size": 16, "dtype": "float32", "rank": 8}
BOUNDS = ["log_probability.low >= -3", "tuned_minus_base_log_probability.low >= 0.5"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a model trained on 160 prompts and completions, and its report."""
    folder = tmp_path_factory.mktemp("made")
    answered = [(row.content["prompt"], next(iter(row.target))) for row in made_rows(160, 1)]
    rows = [{"prompt": f"{prompt} ({number})", "completion": answer} for number, (prompt, answer) in enumerate(answered)]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "answers", gate={"bounds": BOUNDS})
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    base = save_decoder("llama", folder / "base")
    model = project.train("sft", snapshot="v1", base=base, **OPTIONS)
    yield project, base, model, project.evaluate(model, base=base)
    project.close()


def test_the_figures_stand_beside_the_base(made):
    report = made[3]
    estimates, document = report.estimates, report.document
    for name in ("exact_match", "token_f1", "log_probability", "accuracy", "macro_f1"):
        assert {f"models.tuned.{name}", f"models.base.{name}", name} <= set(estimates)
    assert estimates["accuracy"] == estimates["exact_match"]
    assert estimates["tuned_minus_base_log_probability"].low > 0.5
    assert estimates["log_probability"].value == pytest.approx(
        estimates["models.base.log_probability"].value + estimates["tuned_minus_base_log_probability"].value
    )
    assert estimates["tuned_minus_base_token_f1"].value > 0.5
    assert document["parity"]["passed"]
    assert document["generation"]["max_tokens"] % 2 == 0
    assert document["generation"]["labels"] == 6
    assert document["split"] == {"name": "test", "seen_before": 0}
    first = document["examples"][0]
    assert {"prompt", "reference", "answers"} <= set(first)
    assert set(first["answers"]) == {"tuned", "base"}
    worst = [example["token_f1"] for example in document["examples"] if not example["exact_match"]]
    assert worst == sorted(worst)


def test_the_page_shows_texts_and_tokens(made):
    report = made[3]
    page = report.to_html()
    for words in ("What it writes, the worst first", "Base model", "twice the longest reference"):
        assert words in page
    assert "Parity holds" in page
    assert "<mark>&lt;|im_end|&gt;</mark>" in page, "the end of the answer is learnt"
    assert "<span>&lt;|im_start|&gt;</span>" in page, "the prompt is read"


@contextmanager
def gated(project, bound):
    """The same project under another gate."""
    config = project.folder / "preceptor.toml"
    kept = config.read_text()
    config.write_text(re.sub(r"bounds = .*", f"bounds = [{json.dumps(bound)}]", kept))
    other = Project.open(project.folder)
    assert other.config.gate.bounds == (bound,)
    try:
        yield other
    finally:
        other.close()
        config.write_text(kept)


def test_the_gate_lets_out_and_refuses(made, run):
    project, base, model, _ = made
    assert project.release(model, by="owner@example.org").decision == "released"
    with gated(project, "exact_match.low >= 0.9999") as strict:
        with pytest.raises(GateRefused, match="is not released"):
            strict.release(model, by="owner@example.org")
        here = ("--project", project.folder)
        again = run("evaluate", model.id, "--base", base, "--out", project.folder / "report.html", *here)
        assert again.code == 0
        assert "tuned_minus_base_exact_match" in again.out
        saved = json.loads((project.folder / "report.json").read_text())
        assert saved["openings"]["rows"]["others"] == 0, "the same model again"
        assert saved["release"]["decision"] in ("missed", "undecided")
        assert run("release", model.id, "--by", "owner@example.org", *here).code == 3


def test_without_the_base_the_model_stands_alone(made):
    project, _, model, _ = made
    with gated(project, "token_f1.low >= 0.1") as other:
        alone = other.evaluate(model, split="validation")
    assert set(alone.document["models"]) == {"tuned"}
    loss = min(at["validation_loss"] for at in model.manifest["history"])
    assert -alone.estimates["log_probability"].value == pytest.approx(loss, abs=1e-3), "what training measured on the same rows"
    assert alone.document["comparison"] == {}
    assert "was not at hand" in alone.to_html()


def test_a_gate_that_asks_for_the_base_needs_it_before_anything_is_measured(made):
    project, _, model, _ = made
    with pytest.raises(UserError, match="base is not at hand") as refused:
        project.evaluate(model)
    assert "--base DIR" in refused.value.hint


def test_a_model_that_was_altered_is_not_measured(made, tmp_path):
    project, base, model, _ = made
    template = model.path / "chat_template.jinja"
    shutil.copy(template, tmp_path / "kept")
    try:
        template.write_text("Hello. " + template.read_text())
        with pytest.raises(DamagedFile) as caught:
            project.evaluate(model, base=base)
        assert caught.value.where == str(template)
        rewrite_with_checksum(template, template.read_bytes())  # so that only what it says tells
        with pytest.raises(UserError, match="is not measured, for parity fails"):
            project.evaluate(model, base=base)
    finally:
        rewrite_with_checksum(template, (tmp_path / "kept").read_bytes())


def test_known_answers_take_the_place_of_the_files(made):
    project, base, model, _ = made
    rows = list(project.load_snapshot("v1").rows("validation"))
    truth = {row.id: {"text": "Nobody knows."} for row in rows}
    report = project.evaluate(model, truth=truth, split="validation", base=base)
    assert report.estimates["exact_match"].value == 0
    assert report.document["examples"][0]["reference"] == "Nobody knows."
