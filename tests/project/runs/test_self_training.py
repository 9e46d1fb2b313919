"""Self-training through a project: its unjudged items are read, its people are asked, and the model is one like any other."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from preceptor import Project
from tiny_models import save_encoder

ANSWERS = ("negative", "neutral", "positive")
WORDS = ("bad awful broken poor", "box cable blue page", "good great love fine")
OPTIONS = ("rounds=1", "epochs=1", "learning_rate=3e-3", "dtype=float32")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr("preceptor.training.self_training.MIN_STEPS", 4)


def made(folder, judged, unjudged):
    project = Project.create(folder)
    project.add_question("sentiment", "choice", list(ANSWERS))
    words = [WORDS[number % 3].split() for number in range(judged + unjudged)]
    texts = [f"text {n}: {each[n // 3 % 4]} and {each[n // 12 % 4]} it is, number {n * 7919 % 1000}" for n, each in enumerate(words)]
    project.add_items([{"id": f"i-{number}", "text": text} for number, text in enumerate(texts)])
    project.add_annotator("ann")
    for number in range(judged):
        project.judge(f"i-{number}", "sentiment", annotator="ann", answer=ANSWERS[number % 3])
    project.snapshot("sentiment", name="v1", seed=1)
    return project


def command(folder, base, *more):
    words = [word for option in OPTIONS for word in ("-o", option)]
    return ["train", "self_training", "--project", folder, "--snapshot", "v1", "--base", base, *words, *more]


def test_the_model_is_evaluated_and_proved_like_any_other(tmp_path, run):
    base = save_encoder("bert", tmp_path / "tiny-bert")
    made(tmp_path / "shop", 60, 60).close()
    done = run(*command(tmp_path / "shop", base, "--json"))
    assert done.code == 0, done.err
    trained = json.loads(done.out)
    with closing(Project.open(tmp_path / "shop")) as project:
        model = project.model(trained["model"])
        assert 0 < model.manifest["self_training"]["texts"] <= 60
        assert "accuracy" in project.evaluate(model).estimates
    proved = run("verify", model.id, "--project", tmp_path / "shop", "--base", base)
    assert proved.code == 0, proved.out


def test_people_are_asked_and_the_same_command_goes_on(tmp_path, run):
    base = save_encoder("bert", tmp_path / "tiny-bert")
    made(tmp_path / "shop", 60, 60).close()
    asking = command(tmp_path / "shop", base, "-o", "queries_per_round=4", "--human-feedback")
    waiting = run(*asking)
    assert waiting.code == 3, waiting.err
    assert "4 of 4 texts of round 1 wait for people's labels" in waiting.out
    with closing(Project.open(tmp_path / "shop")) as project:
        asked = set()
        for person in ("bob", "eve"):
            project.add_annotator(person)
            for _ in range(4):  # what the run asks about comes first
                work = project.next(person, "sentiment")
                project.submit(work.slot, person, ANSWERS[int(work.item[2:]) % 3])
                asked.add(work.item)
        assert len(asked) == 4
        assert min(int(item[2:]) for item in asked) >= 60
    done = run(*asking, "--json")
    assert done.code == 0, done.err
    with closing(Project.open(tmp_path / "shop")) as project:
        assert project.model(json.loads(done.out)["model"]).manifest["self_training"]["people_answered"] == 4


def test_new_items_are_looked_at_once_even_where_no_round_helps(tmp_path, monkeypatch):
    """The model is then that of people's labels alone, each time the very same."""
    monkeypatch.setattr("preceptor.training.noisy_student.RoundComparison.hurts", property(lambda verdict: True))
    base, trained = save_encoder("bert", tmp_path / "tiny-bert"), []
    with closing(made(tmp_path / "shop", 60, 60)) as project:

        def train():
            seen = project.train(
                "self_training",
                snapshot="v1",
                base=base,
                rounds=1,
                adapter="head",
                dtype="float32",
                progress=lambda told: trained.append(told),
            )
            stages, trained[:] = len(trained), []
            return seen, stages

        first, stages = train()
        assert stages > 0
        assert train() == (first, 0)
        for number in range(2):
            project.add_items([{"id": f"new-{number}", "text": f"poor cable {number}, it came late and blue"}])
            again, stages = train()
            assert (again.id, stages > 0) == (first.id, True), "what came is looked at"
            again, stages = train()
            assert (again.id, stages) == (first.id, 0), "and not a second time"


def test_without_an_item_that_nobody_judged_it_is_refused_in_one_line(tmp_path, run):
    base = save_encoder("bert", tmp_path / "tiny-bert")
    made(tmp_path / "shop", 60, 0).close()
    refused = run(*command(tmp_path / "shop", base))
    assert refused.code == 1
    assert "there is nothing to self-train on" in refused.err
    assert len(refused.err.strip().splitlines()) <= 2
