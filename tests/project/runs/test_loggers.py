from __future__ import annotations

import pytest

from preceptor.config import ProjectConfig, TrainingLogOptions
from preceptor.errors import UserError
from preceptor.runs import training as module
from preceptor.runs.training import LOGGERS_VARIABLE, find_loggers


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """tensorboard and wandb are there, mlflow isn't."""
    monkeypatch.delenv(LOGGERS_VARIABLE, raising=False)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "mlflow" else object())


def test_nothing_is_told_that_nobody_asked_for():
    assert find_loggers(TrainingLogOptions()) == ()


def test_the_file_asks_and_the_variable_takes_precedence(monkeypatch):
    asked = ProjectConfig.parse({"name": "p", "training": {"report_to": ["tensorboard"]}}, of="p").training
    assert find_loggers(asked) == ("tensorboard",)
    monkeypatch.setenv(LOGGERS_VARIABLE, "wandb, tensorboard")
    assert find_loggers(asked) == ("wandb", "tensorboard")
    monkeypatch.setenv(LOGGERS_VARIABLE, "")
    assert find_loggers(asked) == ()


def test_what_is_not_installed_is_told_before_anything_is_trained():
    with pytest.raises(UserError, match=r"go to mlflow, which isn't installed; pip install mlflow"):
        find_loggers(TrainingLogOptions(report_to=("mlflow",)))


def test_an_unknown_name_is_refused(monkeypatch):
    monkeypatch.setenv(LOGGERS_VARIABLE, "tensorbord")
    with pytest.raises(UserError, match=r"PRECEPTOR_REPORT_TO.*'tensorboard', 'mlflow' or 'wandb'"):
        find_loggers(TrainingLogOptions())


def test_the_settings_survive_the_file(tmp_path):
    ProjectConfig.parse({"name": "p", "training": {"report_to": ["wandb"]}}, of="p").save(tmp_path)
    assert ProjectConfig.load(tmp_path).training.report_to == ("wandb",)
