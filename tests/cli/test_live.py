"""`preceptor monitor` and `preceptor calibrate`: what is told, what is chosen, and what can't be."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import Project
from preceptor.monitoring.answer_confidence import get_threshold, set_threshold, store_calibration
from preceptor.monitoring.response_log import ResponseLog
from preceptor.statistics import token_features


@pytest.fixture
def folder(tmp_path):
    """A project that has served twenty answers of a calibrated model."""
    project = Project.create(tmp_path / "shop")
    rng = np.random.default_rng(0)
    said = [-rng.exponential(0.3, size=4) for _ in range(200)]
    right = [float(rng.random() < np.exp(each.mean())) for each in said]
    store_calibration(project, "m-1", [token_features(each) for each in said], right, [f"g-{k}" for k in range(200)], "a test")
    for number in range(20):
        turns = [{"role": "user", "content": f"ask {number}"}]
        ResponseLog(project).log_response(f"chatcmpl-{number}", model="m-1", turns=turns, text="so", confidence=0.8, inclusion=1.0)
    project.close()
    return tmp_path / "shop"


def test_everything_is_told_with_its_interval(run, folder):
    found = run("monitor", "--project", folder, "--json").document
    (served,) = found["served"]
    assert (served["name"], served["answers"], served["quality"]["drawn"], served["quality"]["good"]) == ("m-1", 20, 20, None)
    for point in served["risk_coverage"]:
        assert point["risk"]["low"] <= point["risk"]["value"] <= point["risk"]["high"]
        assert point["cost_a_month"]["low"] <= point["cost_a_month"]["value"] <= point["cost_a_month"]["high"]
    assert {each["what"] for each in served["watched"]} >= {"live quality", "confidence"}
    words = run("monitor", "--project", folder).out
    assert "errors of the others" in words
    assert "0 of 20 drawn answers judged" in words


def test_confidence_that_says_nothing_is_warned_of(run, folder):
    assert "warning" not in run("monitor", "--project", folder).out
    project = Project.open(folder)
    features, right = np.random.default_rng(0).normal(size=(200, 3)), [0.0, 1.0] * 100
    store_calibration(project, "m-1", features, right, [str(each) for each in range(200)], "a test")
    project.close()
    assert "warning: its confidence may say nothing" in run("monitor", "--project", folder).out
    assert "0.50 is chance" in run("monitor", "--project", folder, "--json").document["served"][0]["warning"]


def test_a_share_is_chosen(run, folder):
    chosen = run("alias", "set-threshold", "m-1", "--share", "0.2", "--by", "mia", "--project", folder, "--json").document
    project = Project.open(folder)
    assert get_threshold(project, "m-1") == chosen["threshold"]
    project.close()
    assert f"chosen by mia: below {chosen['threshold']:.3f}" in run("monitor", "--project", folder).out


def test_a_threshold_left_to_a_model_that_nothing_calibrates_sends_all_to_people_and_is_told(run, folder):
    """Fail-safe, and loud: an alias moves on to a new model, and the manager's choice stays with it."""
    project = Project.open(folder)
    set_threshold(project, "support:production", "m-1", threshold=0.7, by="mia")
    turns = [{"role": "user", "content": "ask"}]
    ResponseLog(project).log_response("chatcmpl-x", model="smollm2", alias="support:production", turns=turns, text="so")
    project.close()
    moved = run("alias", "set", "support:production", "smollm2", "--by", "ann", "--override", "a test", "--project", folder)
    assert "people answer all its calls: preceptor calibrate smollm2" in moved.out
    assert "smollm2 is a base" in run("calibrate", "support:production", "--project", folder).err
    assert "people answer all its calls" in run("monitor", "support:production", "--project", folder).out
    (served,) = run("monitor", "support:production", "--project", folder, "--json").document["served"]
    assert (served["calibration"], served["threshold"]["share"], served["threshold"]["risk"]) == (None, 1.0, None)


def test_what_cannot_be(run, folder):
    assert run("monitor", "--share", "0.2", "--project", folder).code == 2
    assert run("alias", "set-threshold", "m-1", "--by", "mia", "--project", folder).code == 2
    assert run("alias", "set-threshold", "m-1", "--share", "2", "--project", folder).code == 2
    assert run("calibrate", "smollm2", "--live", "--temperature", "1", "--project", folder).code == 2
    for arguments, words in (
        (("alias", "set-threshold", "m-1", "--share", "0.2"), "name of the person"),
        (("alias", "set-threshold", "m-2", "--share", "0.2", "--by", "mia"), "nothing says how sure"),
        (("monitor", "m-2"), "was not called"),
        (("calibrate", "smollm2"), "is a base"),
        (("calibrate", "m-9"), "m-9"),
        (("calibrate", "smollm2", "--live"), "people have judged no answer"),
    ):
        ran = run(*arguments, "--project", folder)
        assert ran.code == 1
        assert words in ran.err
