"""One level over many comparisons."""

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.quality.significance import benjamini_hochberg, check_significance_level


def test_the_paper_s_example():
    """Benjamini & Hochberg 1995, section 4: of 15 tests at 0.05 the first four are kept."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    shuffled = np.random.default_rng(0).permutation(15)
    adjusted = benjamini_hochberg(np.array(p)[shuffled])
    assert sorted(shuffled[adjusted <= 0.05].tolist()) == [0, 1, 2, 3]


def test_tests_that_are_left_out_count():
    assert benjamini_hochberg([0.01], tests=10).tolist() == pytest.approx([0.1])
    assert benjamini_hochberg([]).tolist() == []


@pytest.mark.parametrize("level", [0, 1, -0.1, float("nan")])
def test_a_level_is_a_share(level):
    with pytest.raises(UserError, match="level"):
        check_significance_level(level)
