"""The section of a selective prediction suite."""

from __future__ import annotations

import json

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.evaluation.suites import selective_prediction_section
from preceptor.reporting.charts import risk_coverage_chart
from preceptor.reporting.report import Report


def test_who_says_what_cannot_be_answered_is_right_to_say_so(answers):
    texts = ["I don't know.", "In 1969.", "I don't know.", "In 1970."]
    metadata = [{"answerable": False}, {"answerable": False}, {"answerable": True}, {}]
    section = selective_prediction_section(answers(texts, metadata=metadata), [0, 1, 0, 1], [0.2, 0.9, 0.3, 0.8], title="t")
    figures = section["figures"]
    assert figures["says_unknown"].value == 0.5
    assert figures["needless_unknown"].value == 0.5
    assert figures["error"].value == 0.5, "the second is wrong whatever was passed, the first is right"
    assert [example["id"] for example in section["examples"]] == ["1", "2"], "the surest error first"
    assert not section["examples"][0]["answerable"]


def test_a_well_calibrated_model_has_a_falling_curve_and_no_calibration_error(answers):
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, size=2000)
    right = (rng.random(2000) < sure).astype(float)
    section = selective_prediction_section(answers(["x"] * 2000), right, sure, title="t", coverages=(0.8, 0.2))
    risks = {point["coverage"]: point["risk"] for point in section["curve"]}
    assert risks[0.2].value < risks[0.8].value < section["figures"]["error"].value
    assert section["figures"]["selective_risk"] == risks[0.8]
    assert risks[1.0].value == pytest.approx(section["figures"]["error"].value)
    assert section["figures"]["ece"].value < 0.03
    assert section["figures"]["brier"].value == pytest.approx(np.mean((sure - right) ** 2))
    assert section["summary"][0].startswith("Were only the surest 80")


def test_the_curve_as_a_picture(answers):
    section = selective_prediction_section(answers(["x"] * 40), [1, 1, 0, 1] * 10, np.linspace(1, 0, 40), title="t")
    picture = str(risk_coverage_chart("Errors", [(point["coverage"], point["risk"]) for point in section["curve"]]))
    assert picture.startswith("<svg")
    assert "errors if 100" in picture


def test_ends_lie_where_figures_can(answers):
    figures = selective_prediction_section(answers(["x"] * 6), [1, 0, 1, 1, 0, 1], [0.98, 0.55, 0.99, 0.9, 0.4, 0.93], title="t")["figures"]
    assert all(0 <= found.low <= found.value <= found.high <= 1 for found in figures.values())


def test_log_probabilities_have_no_calibration_error(answers):
    section = selective_prediction_section(answers(["x"] * 40), [1, 0] * 20, -np.arange(1, 41), title="t")
    assert not {"ece", "brier"} & set(section["figures"])


def test_a_section_is_part_of_a_report(answers):
    metadata = [{"answerable": row % 2 == 0, "topic": "ab"[row < 80]} for row in range(160)]
    section = selective_prediction_section(
        answers(["x"] * 160, metadata=metadata), [1, 0] * 80, np.arange(160), title="t", slices=["topic"]
    )
    report = Report.from_document({"suites": {"sure": section}})
    assert "suites.sure.figures.selective_risk" in report.estimates
    assert json.loads(report.to_json())["suites"]["sure"]["slices"]["figure"] == "error"


@pytest.mark.parametrize("said", [False, "false", "no", 0, "0"])
def test_prompts_are_marked_in_more_than_one_way(answers, said):
    section = selective_prediction_section(answers(["I don't know.", "x"], metadata=[{"answerable": said}, {}]), [0, 1], [0, 1], title="t")
    assert section["figures"]["says_unknown"].value == 1


def test_verdicts_that_are_missing_are_told(answers):
    with pytest.raises(UserError, match="1 of 2 aren't finite numbers"):
        selective_prediction_section(answers(["x", "y"]), [1, np.nan], [0.5, 0.5], title="t")
    with pytest.raises(UserError, match="1 verdicts and 2 confidences for 2 answers"):
        selective_prediction_section(answers(["x", "y"]), [1], [0.5, 0.5], title="t")
