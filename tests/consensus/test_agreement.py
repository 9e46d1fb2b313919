import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor import UserError
from preceptor.consensus import Judgments, agreement

NONE = None
FOUR_BY_TWELVE = [  # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C and following
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
    [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
]
THREE_BY_FIFTEEN = [
    [NONE, NONE, NONE, NONE, NONE, 3, 4, 1, 2, 1, 1, 3, 3, NONE, 3],
    [1, NONE, 2, 1, 3, 3, 4, 3, NONE, NONE, NONE, NONE, NONE, NONE, NONE],
    [NONE, NONE, 2, 1, 3, 4, 4, NONE, 2, 1, 1, 3, 3, NONE, 4],
]


def table(rows, **options):
    cells = [(u, f"c{c}", value) for c, row in enumerate(rows) for u, value in enumerate(row)]
    item, annotator, answer = zip(*cells, strict=True)
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer, **options)


def crowd(rng, items, judges=5, answers=3, skill=0.7):
    """Everyone gives the true answer with probability `skill`, else any; half of the answers are missing."""
    truth = rng.integers(answers, size=items)
    given = np.where(rng.random((judges, items)) < skill, truth, rng.integers(answers, size=(judges, items)))
    asked = rng.random((judges, items)) < 0.5
    judge, item = np.nonzero(asked)
    return Judgments.from_columns(item=item, annotator=judge, answer=given[judge, item])


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)])
def test_krippendorff_worked_example(level, alpha):
    estimate = agreement(table(FOUR_BY_TWELVE), level)
    assert estimate.value == pytest.approx(alpha, abs=5e-4)
    assert estimate.n == 11  # the unit with one value can't disagree
    assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.691), ("ordinal", 0.807), ("interval", 0.811)])
def test_fifteen_units_with_many_missing(level, alpha):
    assert agreement(table(THREE_BY_FIFTEEN), level).value == pytest.approx(alpha, abs=5e-4)


def slow_alpha(j, level):
    """The definition, pair by pair."""
    values = np.array(j.answers, dtype=float)
    k = j.n_answers
    coincidence = np.zeros((k, k))
    for i in range(j.n_items):
        answers = j.answer_code[j.item_code == i]
        for a in range(len(answers)):
            for b in range(len(answers)):
                if a != b:
                    coincidence[answers[a], answers[b]] += 1 / (len(answers) - 1)
    margin = coincidence.sum(axis=0)
    n = margin.sum()
    metric = np.zeros((k, k))
    for a in range(k):
        for b in range(k):
            lo, hi = min(a, b), max(a, b)
            metric[a, b] = {
                "nominal": float(a != b),
                "ordinal": (margin[lo : hi + 1].sum() - (margin[a] + margin[b]) / 2) ** 2,
                "interval": (values[a] - values[b]) ** 2,
                "ratio": ((values[a] - values[b]) / ((values[a] + values[b]) or 1)) ** 2,
            }[level]
    return 1 - (n - 1) * (coincidence * metric).sum() / (np.outer(margin, margin) * metric).sum()


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equals_the_definition(level, seed):
    j = crowd(np.random.default_rng(seed), items=12, answers=4)
    assert agreement(j, level, replicates=1).value == pytest.approx(slow_alpha(j, level), abs=1e-9)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_folding_equal_units_changes_no_resample(level):
    """Alpha of a resample equals alpha of the drawn items laid out one by one."""
    from preceptor.consensus.agreement import _LEVELS, AgreementUnits

    j = crowd(np.random.default_rng(1), items=30)
    units = AgreementUnits.from_judgments(j)
    assert len(units.copies) < units.copies.sum()
    weights = np.random.default_rng(2).multinomial(25, units.copies / units.copies.sum()).astype(float)
    rows = [(f"{u}-{c}", f"w{m}", k) for u in range(len(weights)) for c in range(int(weights[u])) for m, k in enumerate(votes_of(units, u))]
    item, annotator, answer = zip(*rows, strict=True)
    spelled = Judgments.from_columns(item=item, annotator=annotator, answer=[j.answers[k] for k in answer], answers=j.answers)
    assert _LEVELS[level](units, j)(weights[None])[0] == pytest.approx(agreement(spelled, level, replicates=1).value, abs=1e-9)


def votes_of(units, u):
    return np.repeat(np.arange(units.votes.shape[1]), units.votes.toarray()[u].astype(int))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), level=st.sampled_from(["nominal", "ordinal", "interval"]))
def test_order_and_names_are_irrelevant(seed, level):
    rng = np.random.default_rng(seed)
    j = crowd(rng, items=15)
    shuffled = rng.permutation(len(j))
    names = rng.permutation(j.n_annotators)
    again = Judgments.from_columns(
        item=-j.item_code[shuffled], annotator=names[j.annotator_code[shuffled]], answer=j.answer_code[shuffled], answers=j.answers
    )
    assert agreement(again, level, replicates=1).value == pytest.approx(agreement(j, level, replicates=1).value, abs=1e-12)


def test_interval_level_ignores_shift_and_scale():
    j = table(FOUR_BY_TWELVE)
    moved = table([[v if v is None else 1e6 + 100 * v for v in row] for row in FOUR_BY_TWELVE])
    assert agreement(moved, "interval").value == pytest.approx(agreement(j, "interval").value, abs=1e-9)


def test_more_values_in_the_list_change_nothing():
    wide = table(FOUR_BY_TWELVE, answers=range(1, 1000))
    assert agreement(wide, "ordinal").value == pytest.approx(0.815, abs=5e-4)
    assert agreement(wide, "interval").value == pytest.approx(0.849, abs=5e-4)


def test_a_shared_vote_pairs_with_others_only():
    # b gave x and y: half a vote each. Pairs: a–b agree half, so observed agreement on item 1 is 1/2.
    j = Judgments.from_columns(item=[1, 1, 1, 2, 2], annotator=["a", "b", "b", "a", "b"], answer=["x", "x", "y", "y", "y"])
    margin = np.array([1.5, 2.5])
    expected = (16 - (margin**2).sum()) / 3
    assert agreement(j, replicates=1).value == pytest.approx(1 - 1.0 / expected)
    alone = Judgments.from_columns(item=[1, 1], annotator=["b", "b"], answer=["x", "y"])
    assert math.isnan(agreement(alone).value)


def test_shared_votes_on_all_levels_agree_on_two_values():
    """With two values all levels are one metric up to scale (ratio too, as it has one distance)."""
    rng = np.random.default_rng(3)
    item, person, answer = rng.integers(20, size=150), rng.integers(5, size=150), rng.integers(1, 3, size=150)
    j = Judgments.from_columns(item=item, annotator=person, answer=answer)
    assert (j.weight < 1).any()
    values = [agreement(j, level, replicates=1).value for level in ("nominal", "ordinal", "interval", "ratio")]
    assert values == pytest.approx([values[0]] * 4, abs=1e-9)


def test_repeats_all_count_each_answer():
    j = Judgments.from_columns(item=[1, 1, 2, 2], annotator=["a", "a", "a", "a"], answer=["x", "x", "y", "x"], repeats="all")
    spelled = Judgments.from_columns(item=[1, 1, 2, 2], annotator=["a", "b", "a", "b"], answer=["x", "x", "y", "x"])
    assert agreement(j).value == agreement(spelled).value


def test_a_single_value_leaves_alpha_undefined():
    estimate = agreement(Judgments.from_columns(item=[1, 1, 2, 2], annotator=list("abab"), answer=["x"] * 4))
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert "single value" in estimate.method
    numbers = Judgments.from_columns(item=[1, 1, 2, 2], annotator=list("abab"), answer=[0.7] * 4, answers=[0.1, 0.7, 99.0])
    assert math.isnan(agreement(numbers, "interval").value)


def test_one_vote_an_item_leaves_alpha_undefined():
    estimate = agreement(Judgments.from_columns(item=[1, 2], annotator=["a", "a"], answer=["x", "y"]))
    assert math.isnan(estimate.value)
    assert estimate.n == 0
    assert "two votes" in estimate.method


def test_perfect_agreement_on_few_items_is_not_certain():
    few = agreement(Judgments.from_columns(item=[1, 1, 2, 2], annotator=list("abab"), answer=["x", "x", "y", "y"]))
    assert (few.value, few.high) == (1.0, 1.0)
    assert few.low < 0.3
    many = agreement(
        Judgments.from_columns(item=np.repeat(np.arange(1000), 2), annotator=[0, 1] * 1000, answer=np.repeat(np.arange(1000) % 2, 2))
    )
    assert many.low > 0.99


@pytest.mark.parametrize(("level", "answers"), [("interval", ["x", "y"]), ("ratio", [-1, 1]), ("rank", [1, 2])])
def test_unfit_levels_are_refused(level, answers):
    j = Judgments.from_columns(item=[1, 1], annotator=["a", "b"], answer=answers)
    with pytest.raises(UserError):
        agreement(j, level)


def test_interval_covers_the_true_alpha():
    """95 % nominal, with 100 items and answers missing at random."""
    truth = agreement(crowd(np.random.default_rng(0), items=200_000), replicates=1).value
    hits = 0
    for seed in range(400):
        estimate = agreement(crowd(np.random.default_rng(seed + 1), items=100), replicates=300, seed=seed)
        hits += estimate.low <= truth <= estimate.high
    assert 0.92 <= hits / 400 <= 0.99


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize(("rate", "sees"), [(0.1, 0.7), (0.05, 0.95), (0.5, 0.8)])
def test_rare_answers_on_few_items_are_covered(n, rate, sees):
    """Two people who see the truth with one probability and else guess at the rate: alpha is its square. Resamples held 17 to 62 %."""
    rng, hits, runs = np.random.default_rng(n), 0, 0
    while runs < 120:
        truth = rng.random(n) < rate
        given = np.where(rng.random((2, n)) < sees, truth, rng.random((2, n)) < rate).astype(int)
        j = Judgments.from_columns(item=np.tile(np.arange(n), 2), annotator=np.repeat([0, 1], n), answer=given.ravel())
        estimate = agreement(j, replicates=200, seed=runs)
        if not math.isnan(estimate.value):
            runs += 1
            hits += estimate.low <= sees**2 <= estimate.high
            assert estimate.low < estimate.value <= estimate.high <= 1
    assert hits / runs >= 0.93


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_no_disagreement_seen_leaves_doubt_on_each_level(level):
    estimate = agreement(table([[1, 2, 2, 3], [1, 2, 2, 3]]), level)
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low < 0.7


def test_a_million_judgments_take_seconds():
    j = crowd(np.random.default_rng(0), items=400_000)
    start = time.perf_counter()
    estimate = agreement(j)
    assert time.perf_counter() - start < 10
    assert estimate.high - estimate.low < 0.01


def by_distance(answers, level):
    """Items × two people, as votes."""
    cells = [(item, person, answer) for item, pair in enumerate(answers) for person, answer in enumerate(pair)]
    item, annotator, answer = zip(*cells, strict=True)
    column = np.empty(len(answer), dtype=object)
    column[:] = answer
    return agreement(Judgments.from_columns(item=item, annotator=annotator, answer=column), level)


def test_masi_by_hand():
    """δ(a, ab) = 1 − ½·⅔ = ⅔, δ(a, b) = 1, δ(ab, b) = ⅔. Item 1: (a, ab), item 2: (a, a), item 3: (b, b).

    D_o = (2 · ⅔)/6 = 2/9. Of the 30 ordered pairs of six answers a a a ab b b: a–ab 6 · ⅔, a–b 12 · 1, ab–b 4 · ⅔:
    D_e = (4 + 12 + 8/3)/30 = 28/45. α = 1 − (2/9)/(28/45) = 9/14.
    """
    found = by_distance([(("a",), ("a", "b")), (("a",), ("a",)), (("b",), ("b",))], "sets")
    assert found.value == pytest.approx(9 / 14)
    assert found.n == 3


def test_distances_of_whole_answers():
    from preceptor.consensus.distances import DISTANCES

    assert DISTANCES["sets"]([(), ()])[0, 1] == 0
    assert DISTANCES["sets"]([("a",), ()])[0, 1] == 1
    assert DISTANCES["sets"]([("a", "b"), ("b", "c")])[0, 1] == pytest.approx(1 - 1 / 3 * 1 / 3)
    assert DISTANCES["spans"]([((0, 10, "X"),), ((5, 10, "X"), (12, 14, "Y"))])[0, 1] == pytest.approx(1 - 5 / 12)
    assert DISTANCES["spans"]([((0, 4, "X"),), ((0, 4, "Y"),), ()])[0, 1:].tolist() == [1, 1]
    assert DISTANCES["ranks"]([(0, 1, 2), (2, 1, 0), (0, 2, 1)])[0].tolist() == pytest.approx([0, 1, 0.25])
    assert DISTANCES["claims"]([((0, "yes"), (1, "no")), ((0, "yes"), (1, "yes"))])[0, 1] == 0.5
    alike = DISTANCES["texts"](["The cat sat on the mat.", "the cat  sat on the mat.", "The cat sat on a mat.", "Nothing of this kind"])[0]
    assert alike[1] == pytest.approx(0, abs=1e-9)
    assert 0 < alike[2] < 0.4 < alike[3]


def test_many_different_answers_are_sampled():
    rng = np.random.default_rng(0)
    words = [f"word{k}" for k in range(3000)]
    pairs = [((word,), (word,) if rng.random() < 0.7 else ("another", word)) for word in words]
    found = by_distance(pairs, "sets")
    assert found.n == 512
    assert found.value == pytest.approx(1 - 0.3 * 2 / 3, abs=0.05)
