"""From people's comparisons to a model that prefers what they do, measured on pairs that it never saw."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.runs.parity_check import check_parity
from preferring_rows import compared
from tiny_models import save_decoder

OPTIONS = {"learning_rate": 5e-3, "epochs": 3, "batch_size": 16, "dtype": "float32"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project in which three people, right four times in five, compared pairs, and a model trained on what they said."""
    folder = tmp_path_factory.mktemp("pairs")
    base = save_decoder("llama", folder / "base")
    with closing(Project.create(folder / "project")) as project:
        project.add_question("better", kind="compare", instructions="Which answer is better?")
        rows, draw = compared(90, 7), random.Random(0)
        project.add_items(
            {"id": row.id, "content": {**row.content, "prompt": f"{row.content['prompt']} {n}"}} for n, row in enumerate(rows)
        )
        for row in rows:
            best = int(max(("0", "1"), key=lambda place, row=row: row.target[place]))
            for person in ("ann", "ben", "cem"):
                said = "tie" if draw.random() < 0.05 else best if draw.random() < 0.85 else 1 - best
                project.add_annotator(person)
                project.judge(row.id, "better", annotator=person, answer=said)
        snapshot = project.snapshot("better", name="v1")
        yield project, project.train("dpo", snapshot=snapshot, base=base, **OPTIONS), base


def test_the_report_says_how_often_and_how_surely_it_sides_with_people(made):
    project, model, base = made
    report = project.evaluate(model, base=base)
    estimates = report.estimates
    assert estimates["accuracy"].value >= 0.8
    assert estimates["accuracy"].low > 0.5
    assert 0.2 < estimates["log_loss"].value < 0.693
    assert {"brier", "calibration_error", "longer_wins", "likelier", "tuned_minus_base_likelier"} <= set(estimates)
    assert report.document["models"]["base"]["likelier"]["value"] <= report.document["models"]["tuned"]["likelier"]["value"]
    assert report.document["pairs"]["measured"] == report.document["rows"]["count"]
    assert report.document["parity"]["passed"]
    page = report.to_html()
    for words in ("more probable one, token for token", "Is it as certain as it should be?", "the answer that people prefer"):
        assert words in page
    assert "accuracy" in report.to_markdown()


def test_truth_that_is_given_decides(made):
    project, model, base = made
    rows = list(project.load_snapshot("v1").rows("test"))
    turned = {row.id: str(1 - int(max(("0", "1"), key=lambda place, row=row: row.target.get(place, 0)))) for row in rows}
    right, wrong = (project.evaluate(model, base=base, truth=truth).estimates["accuracy"].value for truth in (None, turned))
    assert wrong < 0.5 < right
    with pytest.raises(UserError, match="the true answer '7' of item"):
        project.evaluate(model, base=base, truth={rows[0].id: "7"})


def test_without_its_base_it_is_not_measured(made):
    project, model, _ = made
    with pytest.raises(UserError, match="is not at hand, and preferences are measured against it"):
        project.evaluate(model)


def test_parity_holds_and_the_model_writes(made):
    project, model, base = made
    assert check_parity(project, model, base=base)["passed"]
    assert model.manifest["answers"] == []


def test_dry_run_and_training_by_command(made, run):
    project, _, base = made
    asked = ["train", "dpo", "--project", project.folder, "--snapshot", "v1", "--base", base]
    shown = run(*asked, "--dry-run")
    assert shown.code == 0
    assert "is better than, at" in shown.out
    seen = json.loads(run(*asked, "--dry-run", "--json").out)
    rows = len(list(project.load_snapshot("v1").rows("train")))
    assert seen["pairs"]["train"] + sum(seen["left_out"]["train"].values()) == rows
    options = [part for name, value in {**OPTIONS, "loss_type": "hard", "epochs": 1}.items() for part in ("-o", f"{name}={value}")]
    trained = run(*asked, *options, "--json")
    assert trained.code == 0, trained.err
    assert np.isfinite(json.loads(trained.out)["validation"]["log_loss"])
    refused = run(*asked, "-o", "loss_type=kto")
    assert refused.code != 0
    assert "loss_type" in refused.err


def test_a_correction_project_trains_on_what_was_corrected(tmp_path: Path):
    base = save_decoder("llama", tmp_path / "base")
    with closing(Project.create(tmp_path / "project")) as project:
        project.add_question("corrected", kind="write", correct=True)
        rows = compared(40, 3, probability=0.9)
        project.add_annotator("ann")
        for number, row in enumerate(rows):
            best = int(max(("0", "1"), key=lambda place, row=row: row.target[place]))
            draft, text = row.content["responses"][1 - best], row.content["responses"][best]
            project.add_items([{"id": row.id, "content": {"prompt": f"{row.content['prompt']} {number}", "completion": draft}}])
            project.judge(row.id, "corrected", annotator="ann", answer={"text": text, "from": draft})
        model = project.train("dpo", snapshot=project.snapshot("corrected"), base=base, **OPTIONS)
        assert model.manifest["preference"]["accuracy"]["value"] >= 0.8
        assert check_parity(project, model, base=base)["passed"]
