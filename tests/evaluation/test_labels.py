"""Figures of a model that says of each label whether it applies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.evaluation import classification_estimates, label_estimates, label_reliability
from preceptor.reporting.report import Report

LABELS = ("cat", "dog", "emu")
# four items by hand: the model gives {cat}, {cat, dog}, {}, {dog}; people gave {cat}, {dog}, {}, {dog, emu}
CHANCES = np.array([[0.9, 0.2, 0.1], [0.7, 0.8, 0.1], [0.3, 0.4, 0.2], [0.1, 0.6, 0.3]])
TRUTH = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]])
GROUPS = ["a", "a", "b", "c"]


def test_figures_match_a_count_by_hand():
    found = label_estimates(CHANCES, TRUTH, GROUPS, labels=LABELS)
    assert found["accuracy"].value == 2 / 4
    assert {label: each.value for label, each in found["f1"].items()} == pytest.approx({"cat": 2 / 3, "dog": 1.0, "emu": 0.0})
    assert found["macro_f1"].value == pytest.approx((2 / 3 + 1) / 3)
    by_hand = -np.log(np.where(TRUTH == 1, CHANCES, 1 - CHANCES)).sum(axis=1).mean()
    assert found["log_loss"].value == pytest.approx(by_hand)
    assert {found[name].n for name in ("accuracy", "macro_f1", "log_loss", "ece")} == {3}
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found["f1"].values())


def test_a_label_that_nobody_gave_has_no_figure_and_counts_for_none():
    with_more = label_estimates(
        np.hstack([CHANCES, np.full((4, 1), 0.1)]), np.hstack([TRUTH, np.zeros((4, 1))]), GROUPS, labels=(*LABELS, "yak")
    )
    assert set(with_more["f1"]) == set(LABELS)
    assert with_more["macro_f1"].value == label_estimates(CHANCES, TRUTH, GROUPS, labels=LABELS)["macro_f1"].value


def test_intervals_hold_what_a_larger_sample_shows():
    def world(seed, items):
        rng = np.random.default_rng(seed)
        skill = rng.normal(0, 0.5, items // 5).repeat(5)
        truth = rng.random((items, 3)) < (0.5, 0.3, 0.2)
        logits = np.where(truth, 1.0, -1.0) + rng.normal(0, 1, truth.shape) + skill[:, None]
        return 1 / (1 + np.exp(-logits)), truth.astype(int), np.repeat(np.arange(items // 5), 5)

    chances, truth, groups = world(0, 20_000)
    exact = label_estimates(chances, truth, groups, labels=LABELS)
    held = {"accuracy": 0, "macro_f1": 0, "log_loss": 0, "cat": 0}
    for seed in range(1, 41):
        found = label_estimates(*world(seed, 300), labels=LABELS)
        for name in held:
            small, whole = (each["f1"][name] if name == "cat" else each[name] for each in (found, exact))
            held[name] += small.low <= whole.value <= small.high
    assert min(held.values()) >= 34


def test_honest_probabilities_show_no_calibration_error():
    rng = np.random.default_rng(0)
    chances = rng.uniform(0, 1, (3000, 3))
    truth = (rng.random(chances.shape) < chances).astype(int)
    assert label_estimates(chances, truth, np.arange(3000), labels=LABELS)["ece"].low == 0
    surer = np.clip(0.5 + 1.8 * (chances - 0.5), 0.001, 0.999)
    assert label_estimates(surer, truth, np.arange(3000), labels=LABELS)["ece"].low > 0.02
    assert sum(point["count"] for point in label_reliability(chances, truth)) == 9000


@pytest.mark.parametrize(
    ("chances", "truth", "message"),
    [
        (CHANCES[:, :2], TRUTH, "of shape"),
        (CHANCES[:0], TRUTH[:0], "of shape"),
        (CHANCES, TRUTH * 0.4, "0 or 1"),
        (CHANCES * 3, TRUTH, "not a distribution"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(chances, truth, message):
    with pytest.raises(UserError, match=message):
        label_estimates(chances, truth, GROUPS[: len(chances)], labels=LABELS)


def test_a_page_shows_each_label_and_the_sets():
    found = label_estimates(CHANCES, TRUTH, GROUPS, labels=LABELS)
    example = {"id": "1", "text": "t", "people": {"cat": 0.9}, "model": {"cat": 0.7, "dog": 0.8}, "truth": "cat", "said": "cat, dog"}
    report = Report.from_document({"models": {"tuned": found}, "examples": [example]})
    assert report.estimates["f1.dog"].value == 1.0
    html = report.to_html()
    assert "F1 of each label" in html
    assert "People: cat. Model: cat, dog." in html


def test_answers_in_order_are_measured_by_how_far_off_they_are():
    probabilities, truth = np.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]), np.array([0, 0])
    found = classification_estimates(probabilities, truth, ["a", "b"], answers="abc", ordered=True)
    assert found["steps_off"].value == 1.0
    assert found["ranked_probability"].value == pytest.approx((0.3**2 + 0.1**2 + 0.8**2 + 0.6**2) / 4)
    assert found["steps_off"].high <= 2
    assert "steps_off" not in classification_estimates(probabilities, truth, ["a", "b"], answers="abc")
    assert math.isclose(found["accuracy"].value, 0.5)
