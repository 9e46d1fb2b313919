"""What evaluation confirms of general knowledge, on the half of the texts that no training has looked at."""

from __future__ import annotations

import json

import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.errors import GateRefused
from tiny_models import made_rows, save_decoder

WORDS = ["sun", "moon", "star", "dog", "cat", "tree"]
KNOWN = ["good", "great", "love", "fine", "best", "bad", "awful", "broken", "poor", "worst"]  # to the small encoder
TEXTS = [{"question": f"{WORDS[number % 6]} {number}?", "answer": f"{number}, {number + 1}"} for number in range(60)]
QUESTIONS = [{"question": f"{word} {number}?", "options": [word, "sun moon"], "answer": word} for number in range(8) for word in WORDS[1:]]
GENERAL = {"texts": ["texts.jsonl"], "suites": ["words.jsonl"]}
TRAIN = {"learning_rate": 1e-2, "epochs": 3, "batch_size": 16, "dtype": "float32", "evals_per_epoch": 1}


def project_with(folder, bound, texts=TEXTS):
    project = Project.create(folder, gate={"bounds": [bound]}, forgetting=GENERAL)
    for name, rows in (("texts", texts), ("words", QUESTIONS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A model that writes, trained so that it forgets, and its report."""
    folder = tmp_path_factory.mktemp("writer")
    answered = [(row.content["prompt"], next(iter(row.target))) for row in made_rows(120, 1)]
    rows = [{"prompt": f"{prompt} ({number})", "completion": answer} for number, (prompt, answer) in enumerate(answered)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = project_with(folder / "p", "retention.low >= 9")
    project.read(folder / "rows.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1")
    base = save_decoder("llama", folder / "base")
    model = project.train("sft", snapshot="v1", base=base, rank=8, **TRAIN)
    yield project, model, project.evaluate(model, base=base)
    project.close()


def test_a_report_confirms_what_training_measured_on_other_texts(writer):
    _, model, report = writer
    told, left = model.manifest["retention"], report.document["forgetting"]
    assert left["texts"] + told["texts"] == len(TEXTS), "the halves are disjoint"
    assert report.estimates["retention"].value == left["kept"]["value"]
    assert report.estimates["retention"].low < left["kept"]["value"] < report.estimates["retention"].high
    assert set(left["suites"]) == {"words"}
    assert {"before", "change", "counts", "chance"} <= set(left["suites"]["words"])


def test_the_page_shows_what_is_still_known(writer):
    page = writer[2].to_html()
    for words in ("What it still knows", "that no training has seen", "Change of general accuracy", "general knowledge kept"):
        assert words in page


def test_the_gate_can_ask_for_what_was_kept(writer):
    project, model, report = writer
    assert report.estimates["retention"].high < 9, "whatever tiny models forget"
    with pytest.raises(GateRefused, match="knowledge"):
        project.release(model, by="owner@example.org")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tiny_cache):
    folder = tmp_path_factory.mktemp("classifier")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PRECEPTOR_CACHE", str(tiny_cache))
        texts = [{"question": f"{a} {b}", "answer": f"{b} {a} {a}"} for a in KNOWN for b in KNOWN if a < b]
        project = project_with(folder / "p", "retention.low >= 0.5", texts)
        project.add_question("mood", "choice", ["good", "bad"])
        project.add_annotator("ann")
        for number in range(120):
            word = ("great love", "awful broken")[number % 2]
            project.add_items([{"id": f"i-{number}", "text": f"{word} {number}"}])
            project.judge(f"i-{number}", "mood", annotator="ann", answer=("good", "bad")[number % 2])
        project.snapshot("mood", name="v1")
        model = project.train("classify", snapshot="v1", base="minilm", min_steps=1, **TRAIN)
        yield project, model, project.evaluate(model)
        project.close()


def test_an_encoder_is_held_to_the_vectors_of_its_base(classifier):
    _, model, report = classifier
    left = report.document["forgetting"]
    assert left["texts"] + model.manifest["retention"]["texts"] == 45
    assert left["kept"]["value"] != 1, "its weights were trained"
    assert "What it still knows" in report.to_html()


def test_a_base_is_refused_where_there_is_nothing_to_compare_by(classifier, tmp_path):
    project, model, _ = classifier
    config = project.folder / "preceptor.toml"
    kept = config.read_text()
    config.write_text(kept.replace('texts = ["texts.jsonl"]', "texts = []").replace('suites = ["words.jsonl"]', "suites = []"))
    try:
        other = Project.open(project.folder)
        with pytest.raises(UserError, match="nothing to compare"):
            other.evaluate(model, base=tmp_path)
        other.close()
    finally:
        config.write_text(kept)
