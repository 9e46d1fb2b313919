from __future__ import annotations

import json

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from preceptor.training import TrainingRun, recipes
from preceptor.training.callbacks import LOG_FILE, MetricsLog
from tiny_models import made_snapshot, save_decoder

FAST = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 8, "dtype": "float32", "rank": 4}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def train(run):
    return recipes.get("sft")(run, recipes.get("sft").Options(**FAST))


@pytest.fixture
def base(tmp_path):
    return save_decoder("llama", tmp_path / "tiny-llama")


def test_the_log_tells_each_step_and_evaluation_and_stays_with_the_model(base, tmp_path):
    told = []

    def look(progress):
        told.append((progress.done, len(lines(tmp_path / "run" / LOG_FILE)), progress.fields))

    model = train(TrainingRun(tmp_path / "run", base, made_snapshot(), progress=look))
    found = lines(model.path / LOG_FILE)
    steps, evaluations = [line for line in found if "batch_loss" in line], [line for line in found if "eval_loss" in line]
    assert [line["step"] for line in steps] == list(range(1, model.manifest["steps"] + 1))
    assert [line["eval_loss"] for line in evaluations] == [entry["validation_loss"] for entry in model.manifest["history"]]
    assert all(line["stage"] == "training" and line["rows"] <= 8 for line in steps)
    assert all(count >= done for done, count, _ in told)  # a line is in the file before the step is told
    assert told[-1][2]["seconds_left"] == 0
    assert 0 < told[0][2]["seconds"] < told[-1][2]["seconds"]


def test_an_interrupted_run_logs_no_step_twice(base, tmp_path):
    def stop(progress):
        if progress.done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TrainingRun(tmp_path / "run", base, made_snapshot(), progress=stop))
    with (tmp_path / "run" / LOG_FILE).open("a") as file:
        file.write('{"stage": "training", "st')  # as a kill may leave it
    model = train(TrainingRun(tmp_path / "run", base, made_snapshot()))
    steps = [line["step"] for line in lines(model.path / LOG_FILE) if "batch_loss" in line]
    assert steps == list(range(1, model.manifest["steps"] + 1))


def test_what_was_logged_of_other_stages_stays(tmp_path):
    for stage in ("trying", "training"):
        for step in (1, 2, 3):
            MetricsLog(tmp_path, stage).write(step, {"x": step})
    MetricsLog(tmp_path, "training").begin(1)
    assert [(line["stage"], line["step"]) for line in lines(tmp_path / LOG_FILE)] == [("trying", n) for n in (1, 2, 3)] + [("training", 1)]


class Stand(TrainerCallback):
    """In place of TensorBoard's: the same attribute says where, and what it was told is kept."""

    told: list = []  # noqa: RUF012 (the Trainer makes the instance)

    def __init__(self):
        self.logging_dir = None

    def on_log(self, args, state, control, logs=None, **_):
        self.told.append((self.logging_dir, state.global_step, dict(logs)))


def test_loggers_of_the_trainer_are_told_of_the_training_alone(base, tmp_path, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Stand)
    monkeypatch.setattr(Stand, "told", [])
    monkeypatch.setattr("preceptor.training.hyperparameters.SWEEP_STEPS", 2)
    options = recipes.get("sft").Options(**{**FAST, "learning_rate": None, "epochs": 1})
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    (tmp_path / "run" / "tensorboard" / "events").write_text("x")
    model = recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot(), loggers=("tensorboard",)), options)
    assert {folder for folder, _, _ in Stand.told} == {str(tmp_path / "run" / "tensorboard")}
    losses = [logs["eval_loss"] for _, _, logs in Stand.told if "eval_loss" in logs]
    assert losses == [entry["validation_loss"] for entry in model.manifest["history"]]
    assert (model.path / "tensorboard" / "events").read_text() == "x"
