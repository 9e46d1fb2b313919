from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.project.config import Config, Training
from preceptor.project.training import loggers as module
from preceptor.project.training.loggers import VARIABLE, loggers


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """tensorboard and wandb are there, mlflow isn't."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "mlflow" else object())


def test_nothing_is_told_that_nobody_asked_for():
    assert loggers(Training()) == ()


def test_the_file_asks_and_the_variable_takes_precedence(monkeypatch):
    asked = Config.parse({"name": "p", "training": {"report_to": ["tensorboard"]}}, of="p").training
    assert loggers(asked) == ("tensorboard",)
    monkeypatch.setenv(VARIABLE, "wandb, tensorboard")
    assert loggers(asked) == ("wandb", "tensorboard")
    monkeypatch.setenv(VARIABLE, "")
    assert loggers(asked) == ()


def test_what_is_not_installed_is_told_before_anything_is_trained():
    with pytest.raises(UserError, match=r"go to mlflow, which isn't installed; pip install mlflow"):
        loggers(Training(report_to=("mlflow",)))


def test_an_unknown_name_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "tensorbord")
    with pytest.raises(UserError, match=r"PRECEPTOR_REPORT_TO.*'tensorboard', 'mlflow' or 'wandb'"):
        loggers(Training())


def test_the_settings_survive_the_file(tmp_path):
    Config.parse({"name": "p", "training": {"report_to": ["wandb"]}}, of="p").save(tmp_path)
    assert Config.load(tmp_path).training.report_to == ("wandb",)
