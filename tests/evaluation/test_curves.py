from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from preceptor.reporting.charts import learning_rate_chart, loss_curve_chart, training_curves_svg

HISTORY = [
    {"step": 4, "train_loss": 2.0, "validation_loss": 2.1},
    {"step": 8, "train_loss": 1.2, "validation_loss": 1.6},
    {"step": 12, "train_loss": 0.7, "validation_loss": 1.9},
]
SWEEP = [
    {"learning_rate": 1e-4, "validation_loss": 2.0, "above_best": 0.1, "error": 0.2},
    {"learning_rate": 2e-4, "validation_loss": 1.9, "above_best": 0.0, "error": 0.0},
    {"learning_rate": 5e-4, "validation_loss": None, "above_best": None, "error": None},
]
TRAINING = {"history": HISTORY, "best_step": 8, "sweep": SWEEP, "learning_rate": 1e-4}


def words(picture):
    return [part.text for part in ElementTree.fromstring(picture).iter() if part.tag.endswith("text")]


def lines(picture, kind):
    return [part for part in ElementTree.fromstring(picture).iter() if part.get("class") == kind]


def test_both_losses_are_drawn_and_the_kept_step_is_marked():
    picture = loss_curve_chart("Losses", TRAINING)
    assert {"kept", "training loss", "validation loss"} <= set(words(picture))
    (a,), (b,) = ([line for line in lines(picture, kind) if line.tag.endswith("path")] for kind in ("line-a", "line-b"))
    assert a.get("d").count("L") == b.get("d").count("L") == 2
    (mark,) = lines(picture, "mark")
    middle = float(a.get("d").removeprefix("M").split("L")[1].split()[0])
    assert float(mark.get("x1")) == pytest.approx(middle, abs=0.1)


def test_rates_have_their_errors_and_the_one_used_is_marked():
    picture = learning_rate_chart("Rates", TRAINING)
    assert "used" in words(picture)
    bars = [line for line in lines(picture, "line-a") if line.tag.endswith("line")]
    heights = [abs(float(bar.get("y1")) - float(bar.get("y2"))) for bar in bars]
    assert heights[0] > 50
    assert heights[1] == 0  # the best differs from itself by nothing; the rate that diverged isn't drawn


def test_what_was_not_measured_is_not_drawn():
    assert loss_curve_chart("Losses", {}) is None
    assert learning_rate_chart("Rates", {"sweep": SWEEP[1:]}) is None
    assert training_curves_svg({"history": []}) is None
    assert len(lines(training_curves_svg({"history": HISTORY}), "axis")) == 1


def test_the_file_stands_alone():
    found = training_curves_svg(TRAINING)
    root = ElementTree.fromstring(found)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    starts = [part.get("transform") for part in root if part.tag.endswith("}g")]
    assert len(starts) == 2
    ends = [float(start.rstrip(")").split()[1]) for start in starts]
    assert ends[0] < ends[1] < float(root.get("viewBox").split()[3])
    assert "--accent" in found
    assert "http" not in found.replace("http://www.w3.org/2000/svg", "")
