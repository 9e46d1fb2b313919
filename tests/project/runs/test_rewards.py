"""Reward models and models of thumbs from people's judgments to a report on rows that they never saw, through a project."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from preceptor import Project, UserError
from preceptor.runs.parity_check import check_parity
from tiny_models import save_decoder, save_encoder

WORDS = ["red", "green", "blue", "one", "two", "three", "cat", "dog", "bird", "star"]
PEOPLE = ("ann", "ben", "cem")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three people, right six times in seven, compared answers and gave thumbs: those that mention the sun are better."""
    folder, draw = tmp_path_factory.mktemp("rewards"), random.Random(0)
    save_encoder("bert", folder / "encoder")
    save_decoder("llama", folder / "decoder")
    with closing(Project.create(folder / "project")) as made:
        made.add_question("better", kind="compare")
        made.add_question("helpful", kind="choice", options=["up", "down"])
        for number in range(90):
            asked = f"What comes after {', '.join(draw.sample(WORDS, 4))}?"
            things = draw.sample(["sun", "moon"], 2)
            answers = [f"It is the {thing}, {' '.join(draw.sample(WORDS, draw.randint(1, 3)))}." for thing in things]
            made.add_items([{"id": f"p-{number}", "content": {"prompt": asked, "responses": answers}}])
            made.add_items([{"id": f"t-{number}", "content": {"prompt": asked, "completion": answers[0]}}])
            for person in PEOPLE:
                best = int("sun" in answers[1]) ^ (draw.random() < 1 / 7)
                made.add_annotator(person)
                made.judge(f"p-{number}", "better", annotator=person, answer="tie" if draw.random() < 0.05 else best)
                made.judge(f"t-{number}", "helpful", annotator=person, answer="up" if best == 0 else "down")
        yield made


def base_of(project: Project, name: str) -> Path:
    return Path(project.folder).parent / name


def test_a_reward_model_is_proved_and_measured(project):
    snapshot = project.snapshot("better", name="pairs")
    options = {"learning_rate": 3e-3, "epochs": 4, "min_steps": 1, "dtype": "float32"}
    model = project.train("reward", snapshot=snapshot, base=base_of(project, "encoder"), **options)
    assert check_parity(project, model)["passed"]
    report = project.evaluate(model)
    estimates = report.estimates
    assert estimates["accuracy"].value > 0.8
    assert estimates["accuracy"].low > 0.5
    assert {"log_loss", "calibration_error", "longer_wins", "length_correlation", "accuracy_shorter_won"} <= set(estimates)
    assert report.document["pairs"]["measured"] == len(list(snapshot.rows("test")))
    page = report.to_html()
    assert "going by length alone is right so often" in page
    turned = {row.id: str(1 - int(max(("0", "1"), key=lambda place, row=row: row.target.get(place, 0)))) for row in snapshot.rows("test")}
    assert project.evaluate(model, truth=turned).estimates["accuracy"].value < 0.5


def test_a_model_of_thumbs_is_proved_and_measured(project, run):
    snapshot, base = project.snapshot("helpful", name="thumbs"), base_of(project, "decoder")
    options = {"learning_rate": 1e-2, "epochs": 2, "dtype": "float32", "beta": 0.5}
    flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    command = ["train", "kto", "--project", project.folder, "--snapshot", "thumbs", "--base", base, *flags]
    shown = json.loads(run(*command, "--dry-run", "--json").out)
    assert shown["rows"]["train"] == len(list(snapshot.rows("train")))
    assert shown["notes"] == ["'up' means good; 'down' means bad."]
    trained = run(*command, "--json")
    assert trained.code == 0
    model = project.model(json.loads(trained.out)["model"])
    assert check_parity(project, model, base=base)["passed"]
    report = project.evaluate(model, base=base)
    assert report.estimates["separation"].value > 0.8
    assert report.estimates["change_good"].value > report.estimates["change_bad"].value
    assert report.document["thumbs"]["measured"] == len(list(snapshot.rows("test")))
    assert "gained more than one called bad" in report.to_html()
    with pytest.raises(UserError, match="is not at hand, and what responses gained is measured against it"):
        project.evaluate(model)
