"""What each command prints, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_init_says_what_comes_next(run, tmp_path):
    ran = run("init", tmp_path / "new")
    assert ran.out.startswith(f"made {tmp_path / 'new'}; next: preceptor question add FILE, preceptor import FILE")
    assert "[gate]" in ran.out
    assert run("init", tmp_path / "other", "--json").document == {"project": str(tmp_path / "other"), "bounds": []}


def test_questions_are_added_listed_and_shown(run, shop):
    Path("clear.json").write_text('{"name": "clear", "kind": "rating", "options": [1, 2, 3], "panel": 5}')
    ran = run("question", "add", "clear.json", "--json")
    assert ran.document == {
        "name": "clear",
        "kind": "rating",
        "version": 1,
        "options": [1, 2, 3],
        "instructions": "",
        "settings": {"panel": 5},
    }
    assert run("question", "show", "clear", "--json").document == ran.document
    assert [row["name"] for row in run("question", "list", "--json").document["questions"]] == ["sentiment", "clear"]
    assert "negative, positive" in run("question", "list").out


def test_import_says_what_it_did(run, judged_shop):
    ran = run("import", "reviews.jsonl", "--question", "sentiment")
    assert ran.out == (
        "reviews.jsonl (jsonl): 120 rows read, 0 new items, 0 new judgments, 0 without an answer, 120 known already, 0 skipped\n"
    )
    Path("bad.csv").write_text("item,label\nr-1,positive\nr-1,maybe\n")
    ran = run("import", "bad.csv", "--question", "sentiment", "--max-bad", 1)
    assert "  skipped bad.csv:3: column 'label': 'maybe' is not an option of 'sentiment'\n" in ran.out


def test_status_aggregate_and_people(run, judged_shop):
    status = run("status", "--json").document
    assert (status["items"], status["judgments"]) == (60, 120)
    assert status["questions"][0]["agreement"]["value"] == 1
    assert "next: freeze what is known" in run("status").out
    document = run("aggregate", "sentiment", "--json").document
    assert len(document["items"]) == 60
    assert document["items"][0]["answer"] == "negative"
    assert set(document["annotators"]) == {"ann", "bob"}
    assert "… and 40 more" in run("aggregate", "sentiment").out
    assert run("aggregate", "sentiment", "--method", "majority", "--json").document["method"] == "majority"
    people = run("people", "list", "--json").document["people"]
    assert [(row["annotator"], row["judgments"]) for row in people] == [("ann", 60), ("bob", 60)]
    ran = run("people", "retract", "ann", "--by", "owner", "--reason", "guessed", "--json")
    nothing = {"snapshots": [], "models": [], "aliases": {}, "answers": 0, "decided_about": []}
    assert ran.document == {"annotator": "ann", "judgments": 60, "affected": nothing}
    assert run("status", "--json").document["judgments"] == 60


def test_snapshots_are_created_shown_compared_and_checked(run, judged_shop):
    made = run("snapshot", "create", "--name", "v1", "--json").document
    assert len(made["digest"]) == 64
    assert sum(made["rows"].values()) == 60
    assert made["digest"] in run("snapshot", "create", "--name", "v1").out
    assert run("snapshot", "show", "v1", "--json").document["rows"] == made["rows"]
    assert [row["name"] for row in run("snapshot", "list", "--json").document["snapshots"]] == ["v1"]
    run("people", "retract", "bob", "--by", "owner", "--reason", "guessed")
    later = run("snapshot", "create", "--name", "v2", "--json").document
    assert later["digest"] != made["digest"]
    diff = run("snapshot", "diff", "v1", "v2", "--json").document
    assert (diff["added"], diff["removed"], diff["splits"]) == ([], [], {})
    assert len(diff["targets"]) > 0
    assert diff["people"] == {"came": {}, "went": {"bob": 60}}
    assert "0 came, 0 went" in run("snapshot", "diff", "v1", "v2").out
    checks = {row["check"]: row["found"] for row in run("snapshot", "check", "v1", "--without-vectors", "--json").document["checks"]}
    assert checks["groups on two sides"] == checks["leaks"] == 0


@pytest.mark.parametrize(("what", "rows"), [("items", 60), ("judgments", 120), ("consensus", 60), ("v1", 60)])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_everything_goes_out_in_every_format(run, judged_shop, what, rows, ending):
    from preceptor.formats import read

    run("snapshot", "create", "--name", "v1")
    assert run("export", what, f"out.{ending}", "--json").document == {"file": f"out.{ending}", "rows": rows}
    assert sum(1 for _ in read(f"out.{ending}")) == rows


def test_lineage_leads_back_and_forward(run, judged_shop):
    digest = run("snapshot", "create", "--name", "v1", "--json").document["digest"]
    assert run("lineage", "v1", "--json").document["annotators"] == {"ann": 60, "bob": 60}
    assert run("lineage", "ann", "--json").document["snapshots"] == [{"name": "v1", "digest": digest, "rows": 60}]
    assert "judgments: 120" in run("lineage", "v1").out


def test_doctor_speaks_in_words(run):
    assert run("doctor").code == 0
    assert {"torch", "disk"} <= {row["what"] for row in run("doctor", "--json").document["findings"]}


def test_another_folders_project(run, judged_shop, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run("status", "--project", judged_shop, "--json").document["items"] == 60


def test_a_batch_for_the_model_comes_first(run, shop, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    words = ["bad", "awful", "broken", "poor", "worst", "good", "great", "love", "fine", "best"]
    rows = [{"id": f"r-{n}", "text": " ".join(words[n % 10 :: n // 10 + 1])} for n in range(30)]
    Path("more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("import", "more.jsonl").code == 0
    batch = run("select", "--size", "5", "--json").document
    assert (batch["question"], batch["population"], batch["items"][0]["stream"]) == ("sentiment", 30, "random")
    shown = run("select", "sentiment", "--size", "3")
    assert shown.code == 0, shown.err
    assert f"3 of {30 - len(batch['items'])} unjudged items come first" in shown.out
    assert run("select", "--size", "0").code == 2
