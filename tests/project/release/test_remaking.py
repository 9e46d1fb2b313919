"""Retracting a person, and making again what rested on them: digests differ exactly where they should."""

from __future__ import annotations

import random

import pytest

from preceptor import Project
from preceptor.release.erasure import erase_items
from preceptor.release.retraction import retract_annotator
from preceptor.storage import erasures, events

WORDS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}
QUICK = {"l2": 1.0, "dtype": "float32"}
WHY = {"by": "owner", "reason": "guessed"}


def fill(folder, people):
    """A project of 60 texts, judged by these people; their snapshot is called v1."""
    project = Project.create(folder)
    project.add_question("sentiment", "choice", list(WORDS))
    rng, labels = random.Random(3), list(WORDS)
    texts = [
        " ".join(rng.choices(WORDS[labels[n % 3]].split(), k=4) + rng.choices(" ".join(WORDS.values()).split(), k=5)) for n in range(60)
    ]
    project.add_items({"id": f"i-{n}", "text": text, "group": f"g-{n // 2}"} for n, text in enumerate(texts))
    said = {"ann": random.Random(1), "bob": random.Random(2), "mallory": random.Random(4)}
    for n in range(60):
        for person, draw in said.items():
            answer = labels[n % 3] if draw.random() < (0.3 if person == "mallory" else 0.9) else draw.choice(labels)
            project.add_annotator(person)
            if person in people:
                project.judge(f"i-{n}", "sentiment", annotator=person, answer=answer)
    return project


@pytest.fixture
def poisoned(tmp_path, tiny_cache, monkeypatch):
    """v0 and a model of it know ann and bob; v1 knows mallory too, and so do a model of it and one that was trained from that."""
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project = fill(tmp_path / "poisoned", {"ann", "bob"})
    project.snapshot("sentiment", name="v0")
    rng = random.Random(4)
    project.add_annotator("mallory")
    for n in range(60):
        project.judge(f"i-{n}", "sentiment", annotator="mallory", answer=rng.choice(list(WORDS)))
    project.snapshot("sentiment", name="v1")
    yield project
    project.close()


def train(project, snapshot, base="minilm"):
    return project.train("linear_probe", snapshot=snapshot, base=base, **QUICK)


def test_what_rested_on_them_is_made_again_and_nothing_else(poisoned):
    clean, first = train(poisoned, "v0"), train(poisoned, "v1")
    second = train(poisoned, "v1", base=first.id)
    digests = {row["name"]: row["digest"] for row in poisoned.snapshots()}
    found = retract_annotator(poisoned, "mallory", **WHY, again=True)
    assert found["judgments"] == 60
    assert [each["name"] for each in found["affected"]["snapshots"]] == ["v1"]
    assert found["affected"]["models"] == [first.id, second.id]
    (snapshot,) = found["snapshots"]
    assert (snapshot["before"], snapshot["new_name"], snapshot["judgments_left"]) == (digests["v1"], "v1-remade", 0)
    assert snapshot["after"] == digests["v0"]  # ann and bob alone had said the same before mallory came
    again = {each["before"]: each["after"] for each in found["models"]}
    assert again == {first.id: clean.id, second.id: again[second.id]}
    assert poisoned.model(again[second.id]).manifest["base"] == clean.id
    assert found["untouched"]["snapshots"] == [{"name": "v0", "digest": digests["v0"]}]
    assert [each["model"] for each in found["untouched"]["models"]] == [clean.id]
    assert {row["name"]: row["digest"] for row in poisoned.snapshots()} == digests | {"v1-remade": digests["v0"]}
    with poisoned.database.reading() as connection:
        assert erasures.find_erasure(connection, "person", "mallory")["snapshots"] == [snapshot]
        assert list(events.read_events(connection))[-1]["kind"] == "model trained"


def test_the_same_again_finds_what_it_made(poisoned):
    train(poisoned, "v1")
    first, again = (retract_annotator(poisoned, "mallory", **WHY, again=True) for _ in range(2))
    assert len(first["snapshots"]) == len(first["models"]) == 1
    assert again["judgments"] == 0
    for part in ("snapshots", "models"):
        assert again[part] == [{**{name: first[part][0][name] for name in ("before", "after")}, "made_before": True}]


def test_a_model_of_what_was_replaced_is_trained_on_what_replaced_it(poisoned):
    made = retract_annotator(poisoned, "mallory", **WHY, again=True)["snapshots"][0]
    late = train(poisoned, "v1")  # somebody took the old snapshot all the same
    (model,) = retract_annotator(poisoned, "mallory", **WHY, again=True)["models"]
    assert (model["before"], model["snapshot"]) == (late.id, made["after"])
    assert poisoned.model(model["after"]).manifest["snapshot"] == made["after"]


def test_a_snapshot_made_again_is_that_of_a_project_that_never_knew_them(tmp_path):
    known, never = fill(tmp_path / "known", {"ann", "bob", "mallory"}), fill(tmp_path / "never", {"ann", "bob"})
    known.snapshot("sentiment", name="v1", seed=5)
    known.add_annotator("late")
    known.judge("i-1", "sentiment", annotator="late", answer="neutral")  # came after the snapshot
    made = retract_annotator(known, "mallory", **WHY, again=True)["snapshots"][0]
    assert made["after"] == never.snapshot("sentiment", seed=5).digest != made["before"]
    for project in (known, never):
        project.close()


def test_only_what_a_snapshot_rests_on_changes_where_the_answers_stay(tmp_path):
    """By majority, a person who always agrees is no difference to the digest; still nothing may rest on them."""
    project = fill(tmp_path / "agreeing", {"ann"})
    project.add_annotator("echo")
    for n in range(60):
        said = project.lineage(f"i-{n}")["judgments"][0]["answer"]
        project.judge(f"i-{n}", "sentiment", annotator="echo", answer=said)
    before = project.snapshot("sentiment", name="v1", method="majority")
    (made,) = retract_annotator(project, "echo", **WHY, again=True)["snapshots"]
    assert (made["after"], made["judgments_left"]) == (before.digest, 0)
    assert project.lineage("v1")["annotators"] == {"ann": 60}
    assert project.lineage("echo")["snapshots"] == []
    project.close()


def test_what_cant_be_made_again_says_why(poisoned):
    model = train(poisoned, "v1")
    for person in ("ann", "bob"):
        retract_annotator(poisoned, person, **WHY)
    found = retract_annotator(poisoned, "mallory", **WHY, again=True)
    assert [each["after"] for each in found["snapshots"]] == [None]
    assert "nobody has judged" in found["snapshots"][0]["why"]
    assert [(each["before"], each["after"]) for each in found["models"]] == [(model.id, None)]


def test_an_erased_item_is_unlearnt_where_that_is_wished(poisoned):
    model = train(poisoned, "v1")
    found = erase_items(poisoned, ["i-4"], by="owner", reason="case 17", again=True)
    left = {each["before"]: each["after"] for each in found["left"]}
    assert {each["before"] for each in found["snapshots"]} == set(left.values())
    assert all(each["judgments_left"] == 0 and each["rows_after"] == 59 for each in found["snapshots"])
    (again,) = found["models"]
    assert again["before"] == model.id != again["after"]
    learnt = poisoned.load_snapshot(poisoned.model(again["after"]).manifest["snapshot"])
    assert "i-4" not in {row.id for row in learnt.rows()}
    assert found["search"]["found"] == 0
    assert poisoned.evaluate(again["after"]).estimates["accuracy"].n
    assert poisoned.lineage(model.id)["rows"] == 59  # what is left of what it was trained on


def test_the_command_lists_and_makes_again(poisoned, run):
    train(poisoned, "v1")
    args = ("people", "retract", "mallory", "--by", "owner", "--reason", "guessed", "--project", poisoned.folder)
    words = run(*args).out
    assert "60 judgments of 'mallory' no longer count" in words
    assert "the same command with --remake" in words
    made = run(*args, "--remake", "--json").document
    assert [each["judgments_left"] for each in made["snapshots"]] == [0]
    assert made["models"][0]["weights_before"] != made["models"][0]["weights_after"]
