"""What a model's words mean: learnt from verdicts, cheap to ask for, and a manager's share of calls that go to people."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.errors import NotFoundError
from preceptor.monitoring.answer_confidence import (
    _exclude_trained_rows,
    calibrate_confidence,
    estimate_confidence,
    find_temperature_mismatch,
    get_threshold,
    load_calibration,
    risk_coverage_curve,
    set_threshold,
    store_calibration,
    uninformative_warning,
)
from preceptor.monitoring.live_report import build_live_report
from preceptor.statistics import token_features
from preceptor.storage import aliases


@pytest.fixture
def calibrated(project):
    """The project, with a model that is right as often as its tokens say, four times in five on the whole."""
    rng = np.random.default_rng(0)
    said = [-rng.exponential(rng.choice([0.02, 0.4]), size=3) for _ in range(400)]
    right = [float(rng.random() < np.exp(np.mean(each))) for each in said]
    store_calibration(project, "m-1", [token_features(each) for each in said], right, [f"g-{k // 2}" for k in range(400)], "a test")
    return project


def test_a_sure_answer_is_probably_right(calibrated):
    sure, unsure = (estimate_confidence(calibrated, "m-1", said) for said in ([-0.01] * 3, [-1.2, -0.3, -0.9]))
    assert sure > 0.9 > 0.6 > unsure
    assert estimate_confidence(calibrated, "m-1", []) is None
    assert estimate_confidence(calibrated, "m-2", [-0.1]) is None, "nothing calibrates it"
    found = load_calibration(calibrated, "m-1")
    assert found["ece"].low == 0.0
    assert found["ece"].value < 0.05
    with pytest.raises(NotFoundError, match="nothing says how sure"):
        load_calibration(calibrated, "m-2")


def test_answers_drawn_otherwise_than_those_it_was_learnt_from_are_known(calibrated):
    assert find_temperature_mismatch(calibrated, "m-1", 1.0) is None, "nothing is known"
    features, right = np.random.default_rng(0).normal(size=(60, 3)), [0.0, 1.0] * 30
    store_calibration(calibrated, "m-1", features, right, list(map(str, range(60))), "a test", temperatures=[0.7, 0.2, 0.2])
    assert [find_temperature_mismatch(calibrated, "m-1", each) for each in (0.2, 0.5, 0.7)] == [None] * 3
    assert [find_temperature_mismatch(calibrated, "m-1", each) for each in (0.0, 1.0)] == [[0.2, 0.7]] * 2


def test_confidence_that_says_nothing_is_warned_of_with_its_interval(calibrated):
    assert uninformative_warning(load_calibration(calibrated, "m-1")["apart"]) == ""
    features, right = np.random.default_rng(0).normal(size=(200, 3)), [0.0, 1.0] * 100
    found = store_calibration(calibrated, "m-2", features, right, list(map(str, range(200))), "a test")["apart"]
    assert f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]" in uninformative_warning(found)
    assert found.low < 0.5


def test_fewer_errors_where_the_unsure_go_to_people(calibrated):
    points = risk_coverage_curve(load_calibration(calibrated, "m-1")["ranked"], (0.0, 0.2, 0.4))
    risks = [point["risk"]["value"] for point in points]
    assert risks[0] > risks[1] > risks[2]
    assert all(point["risk"]["low"] < point["risk"]["value"] < point["risk"]["high"] for point in points)
    assert points[1]["overall"]["value"] == pytest.approx(0.8 * risks[1])


def test_a_model_is_told_of_by_its_own_name_and_by_one_that_stands_for_it(calibrated):
    with calibrated.database.writing() as connection:
        aliases.add(connection, "support:production", "m-1", by="mia", reason="a test")
    assert [each.name for each in build_live_report(calibrated).served] == ["support:production"]
    for name in ("support:production", "m-1"):
        (told,) = build_live_report(calibrated, name).served
        assert (told.name, told.model, told.answer_count) == (name, "m-1", 0)
        assert told.risk_coverage
    with pytest.raises(NotFoundError, match="is no alias"):
        build_live_report(calibrated, "m-2")


def test_a_share_gives_the_threshold_that_stands_until_another_does(calibrated):
    assert get_threshold(calibrated, "m-1") is None
    chosen = set_threshold(calibrated, "support:production", "m-1", share=0.2, by="mia")
    assert chosen["share"] == pytest.approx(0.2, abs=0.01)
    assert get_threshold(calibrated, "m-1", "support:production") == chosen["threshold"]
    assert get_threshold(calibrated, "m-1") is None
    set_threshold(calibrated, "m-1", "m-1", threshold=0.5, by="mia")
    assert get_threshold(calibrated, "m-1", "other") == 0.5
    assert set_threshold(calibrated, "m-1", "m-1", share=0.0, by="mia")["share"] == 0.0
    for wrong in ({"share": 1.5}, {}, {"share": 0.1, "threshold": 0.1}, {"threshold": -0.1}):
        with pytest.raises(UserError, match="0 to 1"):
            set_threshold(calibrated, "m-1", "m-1", by="mia", **wrong)
    with pytest.raises(UserError, match="name of the person"):
        set_threshold(calibrated, "m-1", "m-1", share=0.1, by=" ")


def test_without_enough_verdicts_nothing_is_calibrated(tmp_path, tiny_cache, monkeypatch, write_reviews):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    made = Project.create(tmp_path / "p")
    made.add_question("sentiment", "choice", ["negative", "neutral", "positive"])
    made.read(write_reviews(tmp_path / "reviews.csv"), text="review", label="sentiment", annotator="who", group="customer")
    snapshot = made.snapshot("sentiment", name="v1")
    model = made.train("classify", snapshot=snapshot, base="minilm", epochs=1)
    with pytest.raises(UserError, match=r"18 verdicts, \d+ of them right"):
        calibrate_confidence(made, model.id)
    train, validation = ([*snapshot.rows(side)] for side in ("train", "validation"))
    assert _exclude_trained_rows(made, model, [*train, *validation]) == validation, "of rows that it was trained on it is too sure"
    with pytest.raises(UserError, match="was trained on all validation rows"):
        _exclude_trained_rows(made, model, train)
    with pytest.raises(UserError, match="people have judged no answer"):
        calibrate_confidence(made, model.id, live=True)
    with pytest.raises(UserError, match="is a base"):
        calibrate_confidence(made, "smollm2")
    made.close()
