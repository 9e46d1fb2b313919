"""The posterior of a panel's mean rating: exact against enumeration, calibrated on simulated panels, blind to what wasn't bought."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.panel_rating import PanelRating, rating_distributions
from preceptor.planning import StopRule, target_judgment_counts

SCALE = tuple(range(-4, 5))
CLASSES = {"scale": SCALE, "cuts": (-0.5, 0.5), "labels": ("negative", "neutral", "positive")}


def judged(ratings, counts, answers=SCALE):
    """Judgments of the first `counts` ratings of each row."""
    rows = [(item, person, int(ratings[item, person])) for item, count in enumerate(counts) for person in range(count)]
    item, annotator, answer = zip(*rows, strict=True)
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=answers)


def panels(items, raters, seed):
    """Ratings by panels that agree more or less, on items that are more or less clear."""
    random = np.random.default_rng(seed)
    centre, spread = random.uniform(-3.2, 3.2, items), random.uniform(0.4, 1.8, items)
    return np.clip(np.rint(random.normal(centre[:, None], spread[:, None], (items, raters))), -4, 4)


def classes(means):
    return PanelRating(PanelRating.Options(**CLASSES)).classes(means)


def test_a_mean_on_a_cut_belongs_to_the_class_nearer_the_middle():
    assert classes(np.array([-0.51, -0.5, -0.49, 0.49, 0.5, 0.51])).tolist() == [0, 1, 1, 1, 1, 2]


def test_every_distribution_of_the_dictionary_is_one():
    means, table = rating_distributions(np.asarray(SCALE, dtype=float))
    assert np.allclose(table.sum(axis=1), 1)
    assert (table > 0).all()
    assert np.allclose(means, table @ SCALE)


@pytest.mark.parametrize("panel", [1, 2, 3, 4])
def test_a_small_panel_is_exact(panel):
    """The same posterior as enumerating every way in which the rest of the panel could answer, under the same mixture."""
    scale, cuts = (1, 2, 3), (1.7, 2.4)
    random = np.random.default_rng(panel)
    counts = np.append(random.integers(1, panel + 1, 11), panel)
    judgments = judged(random.integers(1, 4, (12, panel)), counts, scale)
    method = PanelRating(PanelRating.Options(scale=scale, cuts=cuts, labels=("low", "middle", "high"), panel=panel))
    fitted = method.fit(judgments)
    _, table = rating_distributions(np.asarray(scale, dtype=float))
    shares, _ = method._shares(judgments.votes, table)
    for item in range(12):
        votes = judgments.votes[item]
        member = shares * np.prod(table**votes, axis=1)
        member /= member.sum()
        expected, mean = np.zeros(3), 0.0
        for rest in product(range(3), repeat=panel - counts[item]):
            chance = member @ np.prod(table[:, list(rest)], axis=1)
            of_all = (votes @ scale + sum(scale[point] for point in rest)) / panel
            expected[method.classes(np.array([of_all]))[0]] += chance
            mean += chance * of_all
        assert fitted.posterior[item] == pytest.approx(expected, abs=1e-9)
        assert fitted.value[item] == pytest.approx(mean)


def test_a_whole_panel_leaves_no_doubt():
    ratings = panels(60, 20, seed=1)
    fitted = aggregate(judged(ratings, np.full(60, 20)), "rating", **CLASSES, panel=20)
    assert np.array_equal(fitted.posterior.argmax(axis=1), classes(ratings.mean(axis=1)))
    assert fitted.certainty.min() == pytest.approx(1)
    assert fitted.value == pytest.approx(ratings.mean(axis=1))
    assert np.allclose(fitted.spread, 0, atol=1e-6)


@pytest.mark.parametrize("bought", [2, 5, 10])
def test_claimed_certainty_is_realised(bought):
    """Of many items, as many are right as the posteriors say, over all and among those in each band of certainty."""
    ratings = panels(4000, 20, seed=bought)
    fitted = aggregate(judged(ratings, np.full(4000, bought)), "rating", **CLASSES, panel=20)
    right = fitted.posterior.argmax(axis=1) == classes(ratings.mean(axis=1))
    assert right.mean() == pytest.approx(fitted.certainty.mean(), abs=0.012)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        band = (fitted.certainty >= low) & (fitted.certainty < high)
        chance = np.sqrt(0.25 / band.sum())
        assert right[band].mean() == pytest.approx(fitted.certainty[band].mean(), abs=0.02 + 2 * chance)


def test_value_and_spread_describe_the_panels_mean():
    ratings = panels(3000, 20, seed=9)
    fitted = aggregate(judged(ratings, np.full(3000, 4)), "rating", **CLASSES, panel=20)
    error = (ratings.mean(axis=1) - fitted.value) / fitted.spread
    assert abs(error.mean()) < 0.05
    assert error.std() == pytest.approx(1, abs=0.08)


def test_without_a_panel_the_mean_is_of_everybody():
    ratings = panels(500, 400, seed=3)
    fitted = aggregate(judged(ratings[:, :20], np.full(500, 20)), "rating", **CLASSES)
    assert np.abs(fitted.value - ratings.mean(axis=1)).mean() < 0.2
    assert fitted.certainty.max() <= 1
    assert np.median(fitted.certainty) < 1, "everybody was not asked"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_posteriors_sum_to_one_and_order_changes_nothing(data):
    count = data.draw(st.integers(1, 30))
    cell = st.tuples(st.integers(0, 6), st.integers(0, 9), st.sampled_from(SCALE))
    rows = data.draw(st.lists(cell, min_size=count, max_size=count, unique_by=lambda row: row[:2]))
    options = {**CLASSES, "panel": data.draw(st.sampled_from([None, 1, 5, 20]))}
    shuffled = data.draw(st.permutations(rows))
    first, second = (
        aggregate(Judgments.from_columns(item=i, annotator=a, answer=r, answers=SCALE), "rating", **options)
        for i, a, r in (zip(*rows, strict=True), zip(*shuffled, strict=True))
    )
    assert np.allclose(first.posterior.sum(axis=1), 1)
    assert (first.posterior >= 0).all()
    assert first.items == second.items
    assert np.array_equal(first.posterior, second.posterior)


def test_turning_the_scale_round_turns_the_classes_round():
    ratings, counts = panels(80, 20, seed=5), np.random.default_rng(5).integers(1, 8, 80)
    there = aggregate(judged(ratings, counts), "rating", **CLASSES, panel=20)
    back = aggregate(judged(-ratings, counts), "rating", **CLASSES, panel=20)
    assert np.allclose(there.posterior, back.posterior[:, ::-1], atol=1e-3)


def test_shifting_and_stretching_the_scale_changes_no_class():
    ratings, counts = panels(80, 20, seed=6), np.random.default_rng(6).integers(1, 8, 80)
    there = aggregate(judged(ratings, counts), "rating", **CLASSES, panel=20)
    scale = tuple(10 + 0.5 * point for point in SCALE)
    moved = {"scale": scale, "cuts": (9.75, 10.25), "labels": CLASSES["labels"], "panel": 20}
    rows = [(item, person, 10 + 0.5 * ratings[item, person]) for item, count in enumerate(counts) for person in range(count)]
    item, annotator, answer = zip(*rows, strict=True)
    here = aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=scale), "rating", **moved)
    assert np.allclose(there.posterior, here.posterior, atol=1e-6)
    assert np.allclose(10 + 0.5 * there.value, here.value)


def test_known_answers_stand():
    ratings = panels(30, 20, seed=7)
    fitted = aggregate(judged(ratings, np.full(30, 3)), "rating", gold={0: "neutral", 1: "positive", 99: "negative"}, **CLASSES, panel=20)
    assert fitted.top[:2] == ("neutral", "positive")
    assert np.allclose(fitted.posterior.sum(axis=1), 1)


def spend(ratings, rule, raters=20):
    """Counts bought of each item when the stop rule decides after each round, and the posterior at the end."""
    counts = np.full(len(ratings), rule.min_judgments)
    while True:
        fitted = aggregate(judged(ratings, counts), "rating", **CLASSES, panel=raters)
        more = target_judgment_counts(fitted, dict(enumerate(counts.tolist())), rule)
        new = np.array([more[item] for item in range(len(ratings))])
        if np.array_equal(new, counts):
            return counts, fitted
        counts = new


def test_the_stop_rule_sees_bought_judgments_only():
    """All ratings that weren't bought are replaced by what would raise if anybody looked; nothing changes."""
    rule = StopRule(confidence_threshold=0.95, min_judgments=2, max_judgments=20)
    ratings = panels(150, 20, seed=8)
    counts, fitted = spend(ratings, rule)
    hidden = ratings.copy()
    hidden[np.arange(20) >= counts[:, None]] = np.nan  # int(nan) raises
    again, blind = spend(hidden, rule)
    assert np.array_equal(again, counts)
    assert np.array_equal(blind.posterior, fitted.posterior)


def test_adaptive_redundancy_beats_fixed_at_the_same_cost():
    rule = StopRule(confidence_threshold=0.97, min_judgments=2, max_judgments=20)
    ratings = panels(400, 20, seed=10)
    truth = classes(ratings.mean(axis=1))
    counts, fitted = spend(ratings, rule)
    fixed = np.full(400, round(counts.mean()))
    other = aggregate(judged(ratings, fixed), "rating", **CLASSES, panel=20)
    adaptive, same_cost = (np.mean(each.posterior.argmax(axis=1) == truth) for each in (fitted, other))
    assert counts.mean() < 10
    assert adaptive > same_cost + 0.01
    assert adaptive > 0.97
