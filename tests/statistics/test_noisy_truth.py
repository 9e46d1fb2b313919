import importlib.util
from pathlib import Path

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import accuracy_against_consensus, rogan_gladen

PATH = Path(__file__).parents[2] / "benches" / "people_noise.py"
KNOWN = [(-0.106, -0.112, -0.153, -0.020, 0.009), (-0.137, -0.147, -0.199, -0.029, 0.003)]  # errors in the notes on algorithms, 6.8
ESTIMATORS = ("MV truth", "MAP", "mean T[m]", "Rogan-Gladen", "model inside DS")


@pytest.fixture(scope="module")
def noise():
    """The simulation that `python -m benches people_noise` runs."""
    spec = importlib.util.spec_from_file_location("people_noise", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_errors_of_estimators_are_as_known(noise):
    rows = noise.table([({}, setting) for setting in noise.INDEPENDENT[:2]], runs=40)
    for row, known in zip(rows, KNOWN, strict=True):
        assert [row[name] for name in ESTIMATORS] == pytest.approx(known, abs=0.025)


@pytest.mark.parametrize("misled", [0.0, 0.35, 0.45])
def test_the_default_design_is_off_by_at_most_one_point_when_all_err_together(noise, misled):
    """The consensus with the model inside is not."""
    row = noise.table([({}, (1500, 3, 0.8, 0.85, misled))], runs=80)[0]
    assert abs(row["default design"]) <= 0.01
    assert row["default holds"] >= 0.9
    assert row["sd, default design"] <= row["sd, experts alone"] + 0.002
    assert (abs(row["model inside DS"]) > 0.02) == (misled > 0)


def test_by_hand():
    assert rogan_gladen(0.3, 0.9, 0.8) == pytest.approx(0.1 / 0.7)
    assert rogan_gladen(0.7, 0.8, 0.8) == pytest.approx((0.7 + 0.8 - 1) / (2 * 0.8 - 1))
    assert rogan_gladen(0.1, 0.9, 0.8) == 0
    assert accuracy_against_consensus([1, 1, 1, 0] * 25, [0.8] * 100).value == pytest.approx(0.55 / 0.6)
    assert accuracy_against_consensus([1, 1, 1, 0] * 25, [0.8] * 100, answers=3).value == pytest.approx(0.65 / 0.7)


def test_intervals_hold_with_judgments_enough(coverage, noise):
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        crowd = noise.draw(rng, 400, 5, 0.85, 0.9)
        posterior = noise.fitted(crowd.votes, crowd.people)
        agrees = (posterior.argmax(axis=1) == crowd.model).astype(float)
        found.append(accuracy_against_consensus(agrees, posterior.max(axis=1), replicates=100))
    assert coverage(found, 0.9) >= 0.87
    assert found[0].method.endswith("certainties taken as true")


def test_the_consensus_is_fitted_anew_for_each_resample():
    rng, seen = np.random.default_rng(1), []

    def refit(items):
        seen.append(items)
        return rng.random(len(items)) < 0.8, np.full(len(items), 0.9)

    estimate = accuracy_against_consensus([1, 1, 1, 1, 0] * 20, [0.9] * 100, replicates=150, refit=refit)
    assert len(seen) == 150
    assert all(items.shape == (100,) for items in seen)
    assert estimate.value == pytest.approx(0.7 / 0.8)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.method.endswith("consensus refitted")


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda: rogan_gladen(0.5, 0.5, 0.5), "sensitivity"),
        (lambda: rogan_gladen(1.5, 0.9, 0.9), "positive[0]"),
        (lambda: accuracy_against_consensus([1, 0], [0.5, 0.5]), "certainty"),
        (lambda: accuracy_against_consensus([1, 0], [0.9]), "certainty"),
        (lambda: accuracy_against_consensus([], []), "agrees"),
        (lambda: accuracy_against_consensus([1, 0], [0.9, 0.9], replicates=10), "replicates"),
    ],
)
def test_bad_input(call, where):
    with pytest.raises(UserError) as error:
        call()
    assert error.value.where == where


@pytest.mark.parametrize("certainty", [1.0, 0.97, 0.9])
def test_agreement_on_every_item_is_no_certainty(certainty):
    """The exact lower limit of the agreement, corrected like the agreement itself; resamples have no other value than 1."""
    found = accuracy_against_consensus([1] * 30, [certainty] * 30)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx((0.025 ** (1 / 30) - (1 - certainty)) / (2 * certainty - 1))
    assert found.low < 0.99
