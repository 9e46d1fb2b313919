import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import compare_paired, mcnemar


def test_published_mcnemar():
    assert mcnemar(10, 3) == pytest.approx(0.0923, abs=5e-5)
    assert mcnemar(3, 10) == mcnemar(10, 3)
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    with pytest.raises(UserError):
        mcnemar(-1, 2)


def test_single_items_give_bonett_and_price():
    """One item added to each kind of disagreement: here 10 and 3 of 60 become 11 and 4 of 62."""
    a = np.array([1] * 10 + [0] * 3 + [1] * 47)
    b = np.array([0] * 10 + [1] * 3 + [1] * 47)
    estimate = compare_paired(a, b)
    centre = 7 / 62
    half = 2.0 * np.sqrt((15 / 62 - centre**2) / 62)
    assert estimate.value == pytest.approx(7 / 60)
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half), abs=0.003)


def test_the_same_answers_are_no_proof_of_the_same_system():
    same = np.ones(50)
    estimate = compare_paired(same, same)
    assert estimate.value == 0
    assert -0.1 < estimate.low < -0.04 < 0.04 < estimate.high < 0.1
    scores = np.random.default_rng(0).random(50)
    assert 0.03 < compare_paired(scores, scores).high < 0.1
    assert compare_paired(scores, scores, within=(0, np.inf)).high == np.inf


def test_numbers_give_students_paired_t():
    """Student's sleep data (1908): drug 1 and drug 2 on the same ten people."""
    one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    two = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    estimate = compare_paired(one, two)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((-1.58, -2.4599, -0.7001), abs=1e-4)
    assert estimate.n == 10


def test_swapping_mirrors():
    rng = np.random.default_rng(1)
    a, b, clusters = rng.integers(2, size=80), rng.integers(2, size=80), np.arange(80) // 4
    forth, back = compare_paired(a, b, clusters=clusters), compare_paired(b, a, clusters=clusters)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.n == 20


def test_pairing_pays():
    rng = np.random.default_rng(2)
    hard = rng.random(400)
    a, b = (hard < 0.85).astype(float), (hard + 0.05 * rng.normal(size=400) < 0.80).astype(float)
    estimate = compare_paired(a, b)
    unpaired_half = 1.96 * np.sqrt((a.var() + b.var()) / 400)
    assert (estimate.high - estimate.low) / 2 < 0.7 * unpaired_half


@pytest.mark.parametrize(("first_only", "second_only"), [(0.02, 0.01), (0.05, 0.05), (0.1, 0.02), (0.4, 0.1)])
@pytest.mark.parametrize("n", [20, 100])
def test_rare_disagreement_is_covered(coverage, n, first_only, second_only):
    """A t interval covers 0.44 of the first cell at n = 20 and 0.86 at n = 100."""
    rng = np.random.default_rng(n)
    kinds = rng.choice(3, p=[first_only, second_only, 1 - first_only - second_only], size=(1500, n))
    share = coverage((compare_paired(row == 0, row == 1) for row in kinds), first_only - second_only)
    assert share >= 0.94


@pytest.mark.parametrize("groups", [5, 10, 30])
@pytest.mark.parametrize(("first_only", "second_only"), [(0.05, 0.02), (0.2, 0.1)])
def test_clusters_are_covered(coverage, groups, first_only, second_only):
    """Correlation 0.3 within clusters of ten; a t interval over clusters covers 0.77 to 0.96 here."""
    rng = np.random.default_rng(groups)
    clusters = np.repeat(np.arange(groups), 10)

    def draw():
        shares = rng.dirichlet(np.array([first_only, second_only, 1 - first_only - second_only]) * 7 / 3, groups)[clusters]
        kind = (rng.random(len(clusters))[:, None] > shares.cumsum(axis=1)).sum(axis=1)
        return compare_paired(kind == 0, kind == 1, clusters=clusters)

    assert coverage((draw() for _ in range(1000)), first_only - second_only) >= 0.935


def test_unequal_columns_are_refused():
    with pytest.raises(UserError, match="a has 2 rows and b has 1"):
        compare_paired([1, 0], [1])


@pytest.mark.parametrize("counts", [(float("nan"), 2), (2, float("inf")), (1.5, 2)])
def test_mcnemar_needs_counts(counts):
    with pytest.raises(UserError, match="not a count of items"):
        mcnemar(*counts)
