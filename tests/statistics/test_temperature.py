import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from preceptor.errors import UserError
from preceptor.statistics import apply_temperature, expected_calibration_error, fit_temperature, log_loss_rows


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_recovers_by_how_much_logits_are_too_large(factor):
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (20_000, 4))
    truth = (rng.random(20_000)[:, None] > softmax(honest, axis=1).cumsum(axis=1)).sum(axis=1)
    temperature = fit_temperature(factor * honest, truth)
    assert temperature == pytest.approx(factor, rel=0.03)
    assert expected_calibration_error(apply_temperature(factor * honest, temperature), truth) < 0.01


def test_soft_targets_recover_exactly():
    honest = np.random.default_rng(1).normal(size=(200, 3))
    assert fit_temperature(3 * honest, softmax(honest, axis=1)) == pytest.approx(3, rel=1e-3)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_never_worse_than_no_scaling_and_the_top_class_stays(seed):
    rng = np.random.default_rng(seed)
    logits, truth = 4 * rng.normal(size=(30, 3)), rng.integers(3, size=30)
    temperature = fit_temperature(logits, truth)
    assert np.exp(-3) <= temperature <= np.exp(3)
    scaled = apply_temperature(logits, temperature)
    assert (scaled.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert log_loss_rows(scaled, truth).mean() <= log_loss_rows(apply_temperature(logits, 1), truth).mean() + 1e-6


def test_log_probabilities_serve_as_logits():
    logits = np.random.default_rng(2).normal(size=(10, 3))
    assert apply_temperature(np.log(softmax(logits, axis=1)), 2) == pytest.approx(apply_temperature(logits, 2))


def test_bad_input():
    with pytest.raises(UserError) as error:
        fit_temperature([[0.0, 1.0], [0.0, np.nan]], [0, 1])
    assert error.value.where == "logits[1]"
    with pytest.raises(UserError):
        apply_temperature([[0.0, 1.0]], 0)
    with pytest.raises(UserError):
        fit_temperature([0.0, 1.0], [0, 1])
