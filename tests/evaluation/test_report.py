import json
import math

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.evaluation import ReleaseBound, decide_release
from preceptor.reporting.report import Report


def test_json_holds_the_document(document, tmp_path):
    Report.from_document(document).save_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == document


def test_html_is_saved_whole(document, tmp_path):
    Report.from_document(document).save_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"], "no temporary file is left"


def test_values_become_plain():
    estimate = Estimate(np.float64(0.7), 0.6, 0.8, np.int64(30), "t")
    report = Report.from_document({"seed": np.int64(3), "x": np.array([1.5, 2.0]), "consensus": {"accuracy": estimate}, 4: (1, None)})
    assert report.document == {"seed": 3, "x": [1.5, 2.0], "consensus": {"accuracy": {**estimate.to_dict(), "n": 30}}, "4": [1, None]}
    assert json.loads(report.to_json()) == report.document


def test_estimates_are_found_by_path_and_by_bare_name(document):
    estimates = Report.from_document(document).estimates
    assert estimates["accuracy"] == estimates["models.tuned.accuracy"] == Estimate.from_dict(document["models"]["tuned"]["accuracy"])
    assert estimates["tuned_minus_zero_shot"].value == 0.301
    assert estimates["consensus.certainty.realised"].n == 300
    assert estimates["learning_curve.4.accuracy"].value == pytest.approx(0.75, abs=0.01)
    assert (
        decide_release([ReleaseBound.parse("accuracy.low >= 0.72"), ReleaseBound.parse("models.zero_shot.ece <= 0.5")], estimates).state
        == "met"
    )


def test_a_report_about_another_model_names_its_figures(document):
    only = {"models": {"zero_shot": document["models"]["zero_shot"]}}
    assert Report.from_document(only).estimates["accuracy"].value == document["models"]["zero_shot"]["accuracy"]["value"]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, np.float32("nan")])
def test_numbers_that_are_not_finite_are_refused_by_their_place(wrong):
    with pytest.raises(UserError, match=r"training\.history\.1\.train_loss"):
        Report.from_document({"training": {"history": [{"train_loss": 1.0}, {"train_loss": wrong}]}})


def test_an_estimate_of_nan_is_refused():
    with pytest.raises(UserError, match=r"consensus\.accuracy\.value"):
        Report.from_document({"consensus": {"accuracy": Estimate(math.nan, 0.1, 0.2, 3, "t")}})


def test_an_end_without_bound_is_null_in_json_and_infinite_again_when_read():
    """One test document gives a log loss without an interval; its report could not be saved."""
    unbounded = Estimate(0.5, -math.inf, math.inf, 1, "no interval: one cluster")
    report = Report.from_document({"models": {"tuned": {"log_loss": unbounded}}, "learning_curve": [{"rows": 9, "log_loss": unbounded}]})
    stored = json.loads(report.to_json())["models"]["tuned"]["log_loss"]
    assert (stored["low"], stored["high"]) == (None, None)
    assert report.estimates["log_loss"] == unbounded
    assert Report.from_document(report.document).estimates == report.estimates
    assert "interval unknown" in report.to_html()
