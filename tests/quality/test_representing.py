"""Whether a set is like live inputs: alike samples pass, planted differences are found, and the farthest texts are named."""

import numpy as np
import pytest
from scipy.special import ndtr

from preceptor.errors import UserError
from preceptor.quality.covariate_shift import detect_covariate_shift, grouped_auroc


def test_alike_samples_are_told_apart_at_the_level_at_most():
    apart, lacking = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        found = detect_covariate_shift(rng.normal(size=(300, 20)), rng.normal(size=(100, 20)), seed=seed)
        apart.append(found.auroc.low > 0.5)
        lacking.append(found.has_gaps)
    assert np.mean(apart) <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / 120) + 0.01
    assert np.mean(lacking) <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / 120)


def test_conversations_of_one_person_count_as_one():
    """Groups of near copies: without them, alike samples would be told apart by whose they are."""
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ours, theirs = np.repeat(np.arange(60), 5), np.repeat(np.arange(40), 4)
        mine = rng.normal(size=(60, 20))[ours] + 0.5 * rng.normal(size=(300, 20))
        live = rng.normal(size=(40, 20))[theirs] + 0.5 * rng.normal(size=(160, 20))
        found = detect_covariate_shift(mine, live, groups=ours, live_groups=theirs, seed=seed)
        assert found.auroc.n == 40
        wrong += not found.representative
    assert wrong <= 5


def test_the_area_s_interval_covers():
    truth, covered = ndtr(0.5 / np.sqrt(2)), []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        score = np.concatenate([rng.normal(size=200), rng.normal(0.5, 1, 100)])
        second = np.repeat([False, True], [200, 100])
        found = grouped_auroc(score, second, rng.integers(5, size=300), np.arange(300))
        covered.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_the_area_is_the_share_of_pairs():
    score, second = np.array([1.0, 2, 3, 2]), np.array([False, False, True, True])
    assert grouped_auroc(score, second, np.zeros(4, np.int64), np.arange(4)).value == pytest.approx(3.5 / 4)
    sure = grouped_auroc(np.arange(40.0), np.arange(40) >= 20, np.zeros(40, np.int64), np.arange(40))
    assert (sure.value, sure.high) == (1, 1)
    assert 0.8 < sure.low < 0.9


def test_what_the_set_lacks_is_named_the_farthest_first():
    rng = np.random.default_rng(0)
    directions = np.eye(10)
    ours = directions[rng.integers(4, size=400)] + 0.1 * rng.normal(size=(400, 10))
    live = directions[np.repeat([0, 1, 2, 3, 7], [40, 40, 40, 40, 40])] + 0.1 * rng.normal(size=(200, 10))
    found = detect_covariate_shift(ours, live, most=10)
    assert not found.representative
    assert found.auroc.low > 0.5
    assert found.distant_share.low < 0.25 < found.distant_share.high
    assert len(found.distant_inputs) == 10
    assert all(160 <= far.live_index < 200 for far in found.distant_inputs)
    assert [far.distance for far in found.distant_inputs] == sorted((far.distance for far in found.distant_inputs), reverse=True)
    assert found.summary.startswith("the model will meet texts that the set lacks: ")
    assert found.distant_inputs[0].reason.startswith("the nearest text of the set is ")


def test_alike_samples_are_said_to_be():
    rng = np.random.default_rng(1)
    found = detect_covariate_shift(rng.normal(size=(200, 8)), rng.normal(size=(100, 8)))
    assert found.representative
    assert found.summary.startswith("nothing shows that the model will meet other texts: ")


@pytest.mark.parametrize(
    ("ours", "live", "told"),
    [
        (np.ones((30, 3)), np.ones((5, 3)), "5 texts are too few"),
        (np.ones((30, 3)), np.ones((30, 4)), "vectors of 3 and 4"),
        (np.full((30, 3), np.nan), np.ones((30, 3)), "finite"),
    ],
)
def test_what_does_not_fit_is_refused(ours, live, told):
    with pytest.raises(UserError, match=told):
        detect_covariate_shift(ours, live)


def test_identical_texts_on_both_sides_are_no_difference():
    assert detect_covariate_shift(np.ones((50, 3)), np.ones((50, 3))).representative
