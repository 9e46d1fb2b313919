import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.statistics import holm_adjust

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_worked_example():
    assert holm_adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(P_VALUES, st.floats(0.001, 0.5))
def test_adjusted_values_decide_as_holm_does_step_by_step(p_values, alpha):
    rejected = set()
    order = np.argsort(p_values, kind="stable")
    for step, index in enumerate(order):
        if p_values[index] * (len(p_values) - step) > alpha:
            break
        rejected.add(int(index))
    assert {int(i) for i in np.flatnonzero(holm_adjust(p_values) <= alpha)} == rejected


def test_family_error_is_held():
    p_values = np.random.default_rng(0).random((4000, 8))
    wrong = np.mean([holm_adjust(row).min() <= 0.05 for row in p_values])
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize("p_values", [[], [0.5, float("nan")], [1.2]])
def test_bad_p_values(p_values):
    with pytest.raises(UserError):
        holm_adjust(p_values)
