"""Confidence on real questions: what validation rows teach holds on questions that came later, and the sure ones are right more often."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from preceptor import Project
from preceptor.monitoring.answer_confidence import calibrate_confidence, estimate_confidence
from preceptor.runs import prediction
from preceptor.statistics import calibration_estimates, estimate_mean

TRAIN, TEST = 2500, 800


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_small_model_of_banking_questions_knows_how_sure_it_is(tmp_path, shared_rows):
    rows = shared_rows("tasks/banking77")
    rng = np.random.default_rng(0)
    some = {side: [row for row in rows if row["split"] == side] for side in ("train", "test")}
    train, test = (
        [some[side][at] for at in rng.permutation(len(some[side]))[:count]] for side, count in (("train", TRAIN), ("test", TEST))
    )
    project = Project.create(tmp_path / "bank")
    project.add_question("intent", "choice", sorted({row["label"] for row in rows}))
    with (tmp_path / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text", "label"], *([row["id"], row["text"], row["label"]] for row in train)])
    project.read(tmp_path / "train.csv", question="intent")
    model = project.train("linear_probe", snapshot=project.snapshot("intent"), base="minilm")
    found = calibrate_confidence(project, model.id)
    answers = project.load_snapshot(model.manifest["snapshot"]).answers
    chances = prediction.predict_probabilities(project, model, [row["text"] for row in test])
    right = np.array([answers[code] == row["label"] for code, row in zip(chances.argmax(axis=1), test, strict=True)], dtype=float)
    sure = np.array([estimate_confidence(project, model.id, [float(np.log(top))]) for top in chances.max(axis=1)])
    table = np.stack([1 - sure, sure], axis=1)
    told = {
        "validation": found["ece"],
        "test": calibration_estimates(table, right.astype(int)),
        "test, of the model's own probabilities": calibration_estimates(
            np.stack([1 - chances.max(axis=1), chances.max(axis=1)], axis=1), right.astype(int)
        ),
        "right": estimate_mean(right),
        "right, the surer half": estimate_mean(right[sure >= np.median(sure)]),
    }
    print("\n".join(f"{name}: {estimate}" for name, estimate in told.items()))
    assert told["test"].low < 0.03
    assert told["right, the surer half"].low > told["right"].high
    project.close()
