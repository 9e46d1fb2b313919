"""The gate's conditions on slices: met, missed or open as their intervals show, and silent about nothing."""

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.evaluation.release_bounds import check_regressions, check_slices
from preceptor.reporting.report import Report


def section(*differences, better="higher", left_out=0):
    found = [
        {"by": "topic", "slice": f"t{k}", "rows": 90, "difference": Estimate(value, value - half, value + half, 40, "t").to_dict()}
        for k, (value, half) in enumerate(differences)
    ]
    return {"figure": "accuracy", "better": better, "least": [30, 10], "left_out": left_out, "found": found}


@pytest.mark.parametrize(
    ("differences", "state"),
    [
        ([(0.0, 0.04), (0.08, 0.1)], "met"),
        ([(-0.02, 0.02), (0.3, 0.01)], "met"),
        ([(-0.08, 0.04), (0.0, 0.01)], "undecided"),
        ([(0.0, 0.06)], "undecided"),
        ([(-0.2, 0.05), (0.0, 0.2)], "missed"),
    ],
)
def test_a_slice_has_three_outcomes(differences, state):
    assert check_slices(0.05, section(*differences)).state == state


def test_where_less_is_better_a_slice_is_worse_when_it_has_more():
    assert check_slices(0.05, section((0.2, 0.05), better="lower")).state == "missed"
    assert check_slices(0.05, section((-0.2, 0.05), better="lower")).state == "met"


def test_words_name_the_worst_and_what_would_settle_it():
    found = check_slices(0.05, section((-0.02, 0.06), (0.0, 0.01), left_out=2))
    assert "topic t0 (2.0 points worse, plausibly −4.0 to +8.0) may be worse by more than 0.05" in found.summary
    assert found.more_units == 120  # four times the groups halve the interval, which then ends on the limit
    assert "About 120 more independent units of it would settle it" in found.summary
    assert "2 slices have fewer than 30 rows or 10 groups and aren't covered" in found.summary
    missed = check_slices(0.05, section((-0.3, 0.1), (-0.2, 0.1), (-0.25, 0.1), (-0.26, 0.1)))
    assert missed.summary.startswith("missed: worse by more than 0.05 (and 1 more): topic t0 (30.0 points worse")


@pytest.mark.parametrize(("given", "words"), [({}, "evaluate the model anew"), (section(left_out=4), "large enough to be tested")])
def test_without_slices_there_is_no_evidence(given, words):
    found = check_slices(0.05, given)
    assert found.state == "undecided"
    assert words in found.summary


def previous(value, half, *slices):
    difference = Estimate(value, value - half, value + half, 100, "t").to_dict()
    return {"model": "m-1", "rows": 300, "figures": {"accuracy": {"difference": difference}}, "slices": section(*slices)}


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (None, "met"),
        (previous(0.02, 0.03), "met"),
        (previous(0.0, 0.03), "undecided"),
        (previous(-0.1, 0.03), "missed"),
        (previous(0.05, 0.01, (-0.2, 0.05)), "missed"),
        ({"model": "m-1", "rows": 0, "why": "its report kept no rows"}, "undecided"),
        ({"model": "m-1", "rows": 0}, "undecided"),
    ],
)
def test_falling_behind_the_last_release(given, state):
    found = check_regressions(0.02, given)
    assert found.state == state
    assert found.summary.startswith({"undecided": "not enough evidence yet"}.get(state, state))


def test_an_interval_without_ends_decides_nothing():
    open_ended = {"by": "a", "slice": "b", "difference": Estimate(0.0, -np.inf, np.inf, 1, "none").to_dict()}
    found = check_slices(0.05, {"figure": "accuracy", "better": "higher", "found": [open_ended]})
    assert (found.state, found.more_units) == ("undecided", None)
    assert "no interval" in found.summary


def test_suites_figures_are_found_by_name():
    rate, other = Estimate(0.03, 0.01, 0.05, 90, "ppi"), Estimate(0.9, 0.8, 1.0, 50, "wilson")
    document = {
        "models": {"tuned": {"accuracy": other}},
        "suites": {
            "faithfulness": {"figures": {"hallucination": rate, "claimless": other}},
            "returns": {"figures": {"accuracy": rate, "bleu": rate}},
            "prices": {"figures": {"bleu": other}},
        },
    }
    estimates = Report.from_document(document).estimates
    assert estimates["hallucination"] == estimates["faithfulness.hallucination"] == rate
    assert estimates["accuracy"] == other, "the model's own comes before a suite's"
    assert estimates["returns.accuracy"] == rate
    assert "bleu" not in estimates, "two suites have it: say which"
    assert estimates["prices.bleu"] == other
    assert estimates["suites.prices.figures.bleu"] == other
