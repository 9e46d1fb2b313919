"""The whole loop by commands, from an empty folder to a released model and back along its lineage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor.formats import read

OPTIONS = ("-o", "epochs=8", "-o", "learning_rate=0.003", "-o", "dtype=float32", "-o", "evals_per_epoch=1")


@pytest.fixture
def folder(tmp_path: Path, tiny_cache: Path, write_reviews, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a file of reviews, a question, and a tiny model in the place of minilm."""
    write_reviews(tmp_path / "reviews.csv")
    question = {"name": "sentiment", "kind": "choice", "options": ["negative", "neutral", "positive"], "instructions": "How does it sound?"}
    (tmp_path / "sentiment.json").write_text(json.dumps(question))
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def done(run, folder, monkeypatch):
    """Runs a command in the project `shop`, with --json, to its end; its document."""

    def call(*args):
        ran = run(*args, "--json", "--project", "shop")
        assert ran.code == 0, ran.err
        return ran.document

    assert run("init", "shop", "--json").document == {"project": str(folder / "shop"), "bounds": []}
    return call


COLUMNS = ("--text", "review", "--label", "sentiment", "--annotator", "who", "--group", "customer")


def collect(done) -> None:
    """The collecting half: question, import, status, aggregate."""
    assert done("question", "add", "sentiment.json")["version"] == 1
    (report,) = done("import", "reviews.csv", "--question", "sentiment", *COLUMNS)["files"]
    assert (report["read"], report["judgments"], report["skipped"]) == (360, 360, [])
    status = done("status")
    assert (status["items"], status["judgments"]) == (report["items"], 360)
    assert 0.5 < status["questions"][0]["agreement"]["value"] < 1
    consensus = done("aggregate", "sentiment")
    assert len(consensus["items"]) == report["items"]
    assert set(consensus["annotators"]) == {"ann-1", "ann-2", "ann-3"}


def test_from_an_empty_folder_to_a_release(done, run, folder):
    collect(done)
    snapshot = done("snapshot", "create", "sentiment", "--name", "v1")
    assert min(snapshot["rows"].values()) > 0
    assert {check["check"]: check["found"] for check in snapshot["checks"]}["leaks"] == 0

    trained = done("train", "classify", "--snapshot", "v1", "--base", "minilm", *OPTIONS)
    assert {"model", "metrics", "validation", "seconds", "peak_memory_bytes"} <= trained.keys()
    assert done("train", "classify", "--snapshot", "v1", "--base", "minilm", *OPTIONS)["model"] == trained["model"]

    never = run("release", trained["model"], "--by", "owner", "--project", "shop")
    assert (never.code, "never evaluated" in never.err) == (1, True)
    report = done("evaluate", trained["model"], "--out", "report.html")
    accuracy = report["models"]["tuned"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["value"] > 0.6
    assert report["openings"]["rows"]["others"] == 0
    assert report["release"]["decision"] == "unbounded"
    assert run("release", trained["model"], "--by", "owner", "--project", "shop").code == 3
    assert json.loads((folder / "report.json").read_text()) == report
    assert "<html" in (folder / "report.html").read_text()

    toml = folder / "shop" / "preceptor.toml"
    toml.write_text(toml.read_text().replace("bounds = []", 'bounds = ["accuracy.low >= 0.999"]'))
    refused = run("release", trained["model"], "--by", "owner", "--json", "--project", "shop")
    assert refused.code == 3
    assert "is not released" in refused.document["error"]["message"]
    made = done("release", trained["model"], "--by", "owner", "--override", "a test of the loop")
    assert made["decision"] == "overridden: a test of the loop"

    lineage = done("lineage", trained["model"])
    assert (lineage["snapshot"], lineage["judgments"]["count"]) == (snapshot["digest"], 360)
    assert set(lineage["annotators"]) == {"ann-1", "ann-2", "ann-3"}
    bare, first, second = (release["decision"] for release in lineage["releases"])
    assert (bare, first in ("missed", "undecided"), second) == ("unbounded", True, made["decision"])
    assert done("lineage", "ann-1")["models"] == [trained["model"]]

    assert done("export", "v1", "v1.jsonl")["rows"] == sum(snapshot["rows"].values()) == sum(1 for _ in read("v1.jsonl"))
    assert done("people", "retract", "ann-3", "--by", "owner", "--reason", "guessed")["judgments"] > 0
    assert done("lineage", trained["model"])["retracted_since"] > 0


def test_one_file_to_a_report(run, folder):
    ran = run("quickstart", "reviews.csv", *COLUMNS, "--epochs", "2", "--out", "mine", "--json")
    assert ran.code == 0, ran.err
    assert ran.document["models"]["tuned"]["accuracy"]["method"]
    assert (folder / "mine" / "report.html").exists()
    assert json.loads((folder / "mine" / "report.json").read_text()) == ran.document
    again = run("quickstart", "reviews.csv", *COLUMNS, "--epochs", "2", "--out", "mine")
    assert again.code == 0, again.err
    assert "mine/report.html" in again.out
    assert run("status", "--project", "mine", "--json").document["judgments"] == 360


@pytest.mark.parametrize(
    ("args", "where", "what"),
    [
        (("--text", "reveiw", "--label", "sentiment"), "reviews.csv:2", "no column 'reveiw', did you mean 'review'"),
        (("--text", "review", "--label", "review"), "reviews.csv", "180 different values in 360 rows"),
        (("--text", "review", "--label", "sentiment", "--base", "nothing"), "", "no base model 'nothing'"),
    ],
)
def test_a_quickstart_that_cannot_be(run, folder, args, where, what):
    ran = run("quickstart", "reviews.csv", *args, "--out", "mine")
    assert (ran.code, ran.out) == (1, "")
    assert where in ran.err
    assert what in ran.err


def test_the_collecting_half_on_either_database(database_url, done, run, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    assert run("init", "shop").code == 0  # which makes the tables where there are none
    collect(done)
    snapshot = done("snapshot", "create", "sentiment", "--name", "v1")
    monkeypatch.delenv("PRECEPTOR_DATABASE")
    collect(done)
    assert done("snapshot", "create", "sentiment", "--name", "v1")["digest"] == snapshot["digest"]
