import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from preceptor import UserError
from preceptor.consensus import fit_pairwise

OUTCOMES = np.array(["left", "right", "tie"], dtype=object)


def simulate(rng, options=8, people=25, each=24, taste=0.0, prompts=0, context=0.0, tie=-0.5, bias=0.2, spread=1.0, reliability=None):
    """True strengths (mean 0) and columns; people have own tastes of sd `taste`, prompts favour options with sd `context`."""
    strength = rng.normal(size=options) * spread
    strength -= strength.mean()
    annotator = np.repeat(np.arange(people), each)
    n = len(annotator)
    left = rng.integers(options, size=n)
    right = (left + rng.integers(1, options, size=n)) % options
    delta = strength[left] - strength[right] + bias
    own = taste * rng.normal(size=(people, options))
    delta = delta + own[annotator, left] - own[annotator, right]
    columns = {"left": left, "right": right, "annotator": annotator}
    if prompts:
        prompt, favour = rng.integers(prompts, size=n), context * rng.normal(size=(prompts, options))
        delta = delta + favour[prompt, left] - favour[prompt, right]
        columns["prompt"] = prompt
    odds = np.exp(np.stack([delta / 2, -delta / 2, np.full(n, tie)]))
    share = np.cumsum(odds / odds.sum(axis=0), axis=0)
    drawn = (rng.random(n) > share).sum(axis=0).clip(0, 2)
    if reliability is not None:
        exchanged = (rng.random(n) > reliability(rng, people)[annotator]) & (drawn < 2)
        drawn = np.where(exchanged, 1 - drawn, drawn)
    return strength, {**columns, "winner": OUTCOMES[drawn]}


def spammers(rng, people):
    return np.where(rng.random(people) < 0.25, 0.5, 1.0)


WORLDS = {
    "plain": {},
    "no ties": {"tie": -60.0},
    "20 people": {"people": 20, "each": 30, "options": 10},
    "own tastes": {"taste": 0.5},
    "a quarter guesses": {"reliability": spammers},
    "one judgment each": {"people": 600, "each": 1},
    "prompts matter": {"people": 30, "each": 30, "prompts": 30, "context": 0.7},
}


def coverage(world, runs):
    """Share of true strengths, and of true differences of the first two, inside their intervals."""
    strengths, differences = [], []
    for seed in range(runs):
        truth, columns = simulate(np.random.default_rng(seed), **world)
        result = fit_pairwise(**columns, reliability="reliability" in world)  # whose truth is that of the reliable
        assert result.converged
        strengths += [estimate.low <= truth[option] <= estimate.high for option, estimate in result.strengths.items()]
        gap = result.difference(0, 1)
        differences.append(gap.low <= truth[0] - truth[1] <= gap.high)
    return float(np.mean(strengths)), float(np.mean(differences))


@pytest.mark.parametrize("world", ["plain", "own tastes", "a quarter guesses"])
def test_intervals_cover_the_true_strengths(world):
    covered, _ = coverage(WORLDS[world], 100)
    assert 0.91 <= covered <= 0.99  # 92 to 98 % within the error of 100 runs


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_intervals_cover_in_a_thousand_simulations(world):
    covered, of_differences = coverage(WORLDS[world], 1000)
    assert 0.92 <= covered <= 0.98
    assert 0.92 <= of_differences <= 0.98


def test_five_people_are_not_taken_for_many():
    covered, _ = coverage({"people": 5, "each": 60, "taste": 0.5}, 60)
    assert covered >= 0.93
    result = fit_pairwise(**simulate(np.random.default_rng(0), people=5, each=60)[1])
    assert any("few annotators (5" in note for note in result.notes)
    assert "wild bootstrap" in result.strengths[0].method


def test_two_options_give_the_log_odds_of_their_wins():
    winner = ["left", "right", "left", "right", "left", "right", "right", "left"] * 500
    result = fit_pairwise(left=["a", "b"] * 2000, right=["b", "a"] * 2000, winner=winner)
    assert result.difference("a", "b").value == pytest.approx(logit(3 / 4), abs=0.01)
    assert result.order_bias.value == pytest.approx(0, abs=1e-3)
    assert result.win_rate("a", "b").value == pytest.approx(0.75, abs=0.002)


def voted(rng, lead, taste=0.0, careless=0.0, people=20, each=20):
    """Two options by people with leads of their own around one, some of whom guess."""
    who = np.repeat(np.arange(people), each)
    own, guesses = lead + taste * rng.normal(size=people), rng.random(people) < careless
    first, on_left = rng.random(len(who)) < np.where(guesses, 0.5, expit(own))[who], rng.random(len(who)) < 0.5
    sides = {"left": np.where(on_left, "a", "b"), "right": np.where(on_left, "b", "a")}
    return {**sides, "winner": np.where(first == on_left, "left", "right"), "annotator": who}


@pytest.mark.parametrize(("taste", "careless"), [(0.7, 0.0), (0.0, 0.3), (0.7, 0.3)])
@pytest.mark.parametrize("lead", [0.0, 0.2])
def test_tastes_and_careless_people_make_no_difference(lead, taste, careless):
    """With reliability learnt, equal options differ in 68 % of rounds with tastes, and a lead of 0.20 becomes 0.57."""
    rng = np.random.default_rng(0)
    average = (1 - careless) * expit(lead + taste * rng.normal(size=100_000)).mean() + careless / 2
    found = [fit_pairwise(**voted(rng, lead, taste, careless)).difference("a", "b") for _ in range(80)]
    assert np.mean([each.low <= logit(average) <= each.high for each in found]) >= 0.92  # of 80 runs
    assert np.mean([each.value for each in found]) == pytest.approx(logit(average), abs=0.05)


def test_recovers_strengths_ties_and_order_bias():
    truth, columns = simulate(np.random.default_rng(0), options=20, people=200, each=200, bias=0.4, tie=0.3)
    result = fit_pairwise(**columns)
    assert [result.strengths[option].value for option in range(20)] == pytest.approx(truth, abs=0.15)
    assert result.order_bias.value == pytest.approx(0.4, abs=0.06)
    assert result.tie_rate.value == pytest.approx(np.exp(0.3) / (2 + np.exp(0.3)), abs=0.02)
    assert np.diff([result.strengths[option].value for option in result.ranking]).max() <= 0
    assert result.notes == ()


def test_guessers_are_told_from_careful_people():
    _, columns = simulate(
        np.random.default_rng(1), people=40, each=60, reliability=lambda rng, people: np.where(np.arange(people) < 10, 0.5, 1.0)
    )
    result = fit_pairwise(**columns, reliability=True)
    found = np.array([result.annotators[person].value for person in range(40)])
    assert found[:10].max() < found[10:].min()
    assert found[10:].mean() > 0.95
    estimate = result.annotators[3]
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.n == 60


def test_those_who_choose_against_all_are_named():
    _, columns = simulate(
        np.random.default_rng(2), people=30, each=60, reliability=lambda rng, people: np.where(np.arange(people) < 2, 0.0, 1.0)
    )
    result = fit_pairwise(**columns, reliability=True)
    assert any("consistently against the others (0, 1)" in note for note in result.notes)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_exchanging_sides_changes_only_the_order_bias(seed):
    _, columns = simulate(np.random.default_rng(seed), people=20, each=10)
    exchanged = {"left": "right", "right": "left", "tie": "tie"}
    mirrored = {**columns, "left": columns["right"], "right": columns["left"], "winner": [exchanged[w] for w in columns["winner"]]}
    a, b = fit_pairwise(**columns), fit_pairwise(**mirrored)
    for option, estimate in a.strengths.items():
        assert b.strengths[option].value == pytest.approx(estimate.value, abs=1e-3)
        assert b.strengths[option].high == pytest.approx(estimate.high, abs=1e-2)
    assert b.order_bias.value == pytest.approx(-a.order_bias.value, abs=1e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_order_and_names_are_irrelevant(seed):
    rng = np.random.default_rng(seed)
    _, columns = simulate(rng, people=20, each=10)
    shuffled = rng.permutation(200)
    names = rng.permutation(8)
    again = {
        "left": [f"o{names[o]}" for o in columns["left"][shuffled]],
        "right": [f"o{names[o]}" for o in columns["right"][shuffled]],
        "winner": columns["winner"][shuffled],
        "annotator": -columns["annotator"][shuffled],
    }
    a, b = fit_pairwise(**columns), fit_pairwise(**again)
    for option, estimate in a.strengths.items():
        assert b.strengths[f"o{names[option]}"].value == pytest.approx(estimate.value, abs=1e-3)


def test_win_rates_are_complementary_and_as_the_matrix():
    _, columns = simulate(np.random.default_rng(0))
    result = fit_pairwise(**columns)
    one, other = result.win_rate(2, 5), result.win_rate(5, 2)
    assert one.value + other.value == pytest.approx(1)
    assert one.low == pytest.approx(1 - other.high)
    assert result.win_matrix[2, 5] == pytest.approx(one.value)
    assert result.win_matrix + result.win_matrix.T == pytest.approx(np.ones((8, 8)))


def test_win_rate_derivatives_equal_finite_differences():
    from preceptor.consensus.pairwise import _compute_win_rate

    for delta, tau in [(0.3, -0.5), (-2.0, 1.0), (5.0, -50.0)]:
        _, by_delta, by_tau = _compute_win_rate(delta, tau)
        h = 1e-6
        assert by_delta == pytest.approx((_compute_win_rate(delta + h, tau)[0] - _compute_win_rate(delta - h, tau)[0]) / (2 * h), abs=1e-8)
        assert by_tau == pytest.approx((_compute_win_rate(delta, tau + h)[0] - _compute_win_rate(delta, tau - h)[0]) / (2 * h), abs=1e-8)
        assert _compute_win_rate(delta, tau)[0] == pytest.approx(
            (np.exp(delta / 2) + np.exp(tau) / 2) / (np.exp(delta / 2) + np.exp(-delta / 2) + np.exp(tau))
        )


def test_separable_preferences_stay_finite_and_wide():
    result = fit_pairwise(left=["a", "b"] * 20, right=["b", "a"] * 20, winner=["left", "right"] * 20, annotator=[i // 2 for i in range(40)])
    gap = result.difference("a", "b")
    assert 1 < gap.low < gap.value < gap.high < 20
    assert gap.high - gap.low > 2
    assert any("only the prior keeps their distance finite" in note for note in result.notes)


def test_groups_never_compared_are_said():
    result = fit_pairwise(left=list("abcde"), right=list("badcc"), winner=["left", "left", "tie", "right", "left"], annotator=list("xyxyx"))
    assert result.components == (("c", "d", "e"), ("a", "b"))
    assert any("2 groups" in note for note in result.notes)
    assert (result.win_rate("a", "c").low, result.win_rate("a", "c").high) == (0.0, 1.0)
    assert result.difference("a", "c").high == np.inf
    assert np.isnan(result.win_matrix[0, 2])
    total = sum(result.strengths[option].value for option in "cde")
    assert total == pytest.approx(0, abs=1e-6)  # mean 0 within each group


def test_sides_never_exchanged_leave_order_bias_unknown():
    result = fit_pairwise(left=["a"] * 40, right=["b"] * 40, winner=["left", "left", "right", "tie"] * 10, annotator=np.arange(40) % 20)
    assert result.order_bias is None
    assert any("both orders" in note for note in result.notes)


def test_one_annotator_speaks_for_no_one_else():
    result = fit_pairwise(left=["a", "b"] * 20, right=["b", "a"] * 20, winner=["left", "left", "right", "tie"] * 10, annotator=["x"] * 40)
    assert any("one annotator" in note for note in result.notes)
    assert result.annotators == {}


def test_one_comparison_is_almost_no_evidence():
    result = fit_pairwise(left=["a"], right=["b"], winner=["left"], annotator=["x"])
    rate = result.win_rate("a", "b")
    assert rate.value > 0.5
    assert rate.low < 0.01


def test_answers_may_be_missing():
    columns = {"left": ["a", "b", "a"], "right": ["b", "a", "b"], "annotator": ["x", "y", "z"]}
    result = fit_pairwise(winner=["left", None, float("nan")], **columns)
    assert result.comparisons.missing == 2
    assert list(result.annotators) == []
    with pytest.raises(UserError, match="no comparison"):
        fit_pairwise(winner=[None] * 3, **columns)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"winner": ["left", "a"]}, "winner 'a' is unknown"),
        ({"winner": ["left"]}, "differ in length"),
        ({"left": ["a", None]}, "the left is missing"),
        ({"annotator": ["x", None]}, "the annotator is missing"),
        ({"right": ["b", "b"]}, "compared with itself"),
        ({"shrinkage": -1}, "shrinkage"),
        ({"strength": 1}, "no option is called 'strength'"),
    ],
)
def test_faults_are_named(fault, said):
    columns = {"left": ["a", "b"], "right": ["b", "a"], "winner": ["left", "tie"], "annotator": ["x", "y"]}
    with pytest.raises(UserError, match=said):
        fit_pairwise(**columns | fault)


def test_nothing_at_all_is_refused():
    with pytest.raises(UserError, match="no comparisons"):
        fit_pairwise(left=[], right=[], winner=[])


def test_pandas_series_are_columns_too():
    import pandas as pd

    frame = pd.DataFrame({"l": ["a", "b"] * 20, "r": ["b", "a"] * 20, "w": ["left", "tie"] * 20, "who": [f"p{i}" for i in range(20)] * 2})
    result = fit_pairwise(left=frame["l"], right=frame["r"], winner=frame["w"], annotator=frame["who"])
    assert result.strengths["a"].value > result.strengths["b"].value


def test_a_hundred_thousand_people_with_one_comparison_each():
    _, columns = simulate(np.random.default_rng(0), options=50, people=100_000, each=1)
    start = time.perf_counter()
    result = fit_pairwise(**columns)
    assert time.perf_counter() - start < 20
    assert result.strengths[0].n == 100_000
