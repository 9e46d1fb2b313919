import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor import UserError
from preceptor.consensus import Judgments, aggregate


def simulate(rng, items=200, people=20, each=5, bias=0.8, noise=0.7, levels=None, scale=0.0):
    """Items N(0, 1.5²) rated by `each` of `people`, of whom everyone has a bias, a noise and, if `scale`, a scale."""
    truth = 1.5 * rng.normal(size=items)
    item = np.repeat(np.arange(items), each)
    annotator = np.concatenate([rng.permutation(people)[:each] for _ in range(items)])
    own, spread, gain = bias * rng.normal(size=people), noise * rng.uniform(0.5, 1.8, size=people), np.exp(scale * rng.normal(size=people))
    rated = own[annotator] + gain[annotator] * truth[item] + spread[annotator] * rng.normal(size=len(item))
    if levels is not None:
        rated = np.clip(np.rint(rated), -levels, levels)
    return truth, own, {"item": item, "annotator": annotator, "answer": rated}


def rmse(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


def means(j):
    numbers = np.asarray(j.answers, dtype=float)
    return j.votes @ numbers / j.votes.sum(axis=1)


@pytest.mark.parametrize("levels", [None, 4])
def test_nearer_to_the_truth_than_the_mean(levels):
    truth, own, columns = simulate(np.random.default_rng(0), levels=levels)
    j = Judgments.from_columns(**columns)
    c = aggregate(j, "ordinal")
    assert c.converged
    assert rmse(c.value - c.value.mean(), truth - truth.mean()) < 0.8 * rmse(means(j) - means(j).mean(), truth - truth.mean())
    biases = [c.annotators[person].bias for person in range(20)]
    assert np.corrcoef([b.value for b in biases], own)[0, 1] > 0.95
    assert c.posterior.sum(axis=1) == pytest.approx(np.ones(200))


def test_people_who_get_other_items_bias_the_mean_and_not_the_model():
    """The severe ones get the good items: plain means can't tell them from bad items; links between people can."""
    rng = np.random.default_rng(1)
    truth = np.sort(rng.normal(size=400))
    rows = [(i, int(np.clip(i * 20 // 400 + d, 0, 19))) for i in range(400) for d in (-3, -2, -1, 0, 1, 2, 3)]
    item, annotator = map(np.array, zip(*rows, strict=True))
    severe = np.linspace(1, -1, 20)
    answer = truth[item] + severe[annotator] + 0.5 * rng.normal(size=len(item))
    j = Judgments.from_columns(item=item, annotator=annotator, answer=answer)
    c = aggregate(j, "continuous")
    assert np.corrcoef(c.value, truth)[0, 1] > np.corrcoef(means(j), truth)[0, 1] + 0.05


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 500))
def test_one_persons_shift_changes_no_item(seed):
    _, _, columns = simulate(np.random.default_rng(seed), items=100, people=10)
    shifted = {**columns, "answer": columns["answer"] + (columns["annotator"] == 3)}
    a, b = (aggregate(Judgments.from_columns(**c), "ordinal") for c in (columns, shifted))
    gap = b.value - a.value
    assert np.abs(gap - gap.mean()).max() < 0.1  # up to shrinkage; the plain mean moves by 0.2 where person 3 is one of five
    assert b.annotators[3].bias.value - a.annotators[3].bias.value == pytest.approx(0.87, abs=0.12)  # 1 less their share in the mean of 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 500), shift=st.floats(-100, 100), unit=st.floats(0.01, 100))
def test_any_unit_and_origin_will_do(seed, shift, unit):
    _, _, columns = simulate(np.random.default_rng(seed), items=50, people=10, levels=3)
    moved = {**columns, "answer": shift + unit * columns["answer"]}
    a, b = (aggregate(Judgments.from_columns(**c), "ordinal") for c in (columns, moved))
    assert b.value == pytest.approx(shift + unit * a.value, rel=1e-6, abs=1e-6 * (abs(shift) + unit))
    assert b.posterior == pytest.approx(a.posterior, abs=1e-5)


def test_order_of_arrival_is_irrelevant():
    rng = np.random.default_rng(0)
    _, _, columns = simulate(rng)
    shuffled = rng.permutation(len(columns["item"]))
    a = aggregate(Judgments.from_columns(**columns), "ordinal")
    b = aggregate(Judgments.from_columns(**{name: column[shuffled] for name, column in columns.items()}), "ordinal")
    assert (a.value == b.value).all()


def test_spread_covers_the_truth():
    hits = []
    for seed in range(20):
        truth, own, columns = simulate(np.random.default_rng(seed), items=300, people=15)
        c = aggregate(Judgments.from_columns(**columns), "ordinal")
        error = c.value - truth - own.mean()  # the crowd's mean bias can't be known
        hits.append(np.abs(error - error.mean()) < 1.96 * c.spread)
    assert 0.91 < np.mean(hits) < 0.98


def test_a_slip_counts_for_little():
    rng = np.random.default_rng(0)
    truth, _, columns = simulate(rng, items=100, bias=0.0, noise=0.3)
    spoilt = columns["answer"].copy()
    spoilt[rng.choice(len(spoilt), size=15, replace=False)] += 15
    j = Judgments.from_columns(**{**columns, "answer": spoilt})
    assert rmse(aggregate(j, "ordinal").value, truth) < 0.4 * rmse(means(j), truth)


def test_names_are_taken_in_their_order():
    columns = {"item": [1, 1, 1, 2, 2, 2, 3, 3, 3], "annotator": list("abcabcabc")}
    answer = ["poor", "poor", "fair", "good", "fair", "good", "fair", "fair", "fair"]
    c = aggregate(Judgments.from_columns(**columns, answer=answer, answers=["poor", "fair", "good"]), "ordinal")
    assert c.top == ("poor", "good", "fair")
    assert c.value[0] < c.value[2] < c.value[1]


def test_gold_fixes_items_and_the_scale():
    truth, _, columns = simulate(np.random.default_rng(2), bias=0.0)
    columns["answer"] = columns["answer"] + 2.0  # everyone is two too high: only gold can tell
    gold = {i: truth[i] for i in range(40)}
    c = aggregate(Judgments.from_columns(**columns), "ordinal", gold=gold)
    assert c.value[:40] == pytest.approx(truth[:40])
    assert np.mean(c.value[40:] - truth[40:]) == pytest.approx(0, abs=0.15)
    assert np.mean([c.annotators[w].bias.value for w in range(20)]) == pytest.approx(2, abs=0.2)


def test_a_wrong_key_is_named():
    truth, _, columns = simulate(np.random.default_rng(2), noise=0.3)
    c = aggregate(Judgments.from_columns(**columns), "ordinal", gold={i: truth[i] for i in range(50)} | {7: truth[7] + 9})
    assert any("7 (key" in note for note in c.notes)


@pytest.mark.parametrize("rows", [([1], ["a"], [3.0]), ([1, 1], ["a", "b"], [3.0, 3.0]), ([1, 2, 3], list("aaa"), [1.0, 2.0, 5.0])])
def test_hardly_any_data_gives_something_finite(rows):
    item, annotator, answer = rows
    c = aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=answer), "ordinal")
    assert np.isfinite(c.value).all()
    assert c.posterior.sum(axis=1) == pytest.approx(np.ones(len(c.items)))


def test_an_item_without_ratings_gets_the_prior():
    c = aggregate(Judgments.from_columns(item=[1, 2, 2, 3], annotator=list("abaa"), answer=[None, 2, 4, 3]), "ordinal")
    assert np.isfinite(c.value[0])
    assert c.spread[0] > c.spread[1]


def test_fine_numbers_get_a_hundred_steps():
    _, _, columns = simulate(np.random.default_rng(0))
    c = aggregate(Judgments.from_columns(**columns), "continuous")
    assert c.posterior.shape == (200, 101)
    assert np.corrcoef(c.posterior @ np.array(c.answers), c.value)[0, 1] > 0.999


def test_unfit_keys_are_refused():
    j = Judgments.from_columns(item=[1, 2], annotator=["a", "b"], answer=[1.0, 2.0])
    with pytest.raises(UserError, match="neither a number"):
        aggregate(j, "ordinal", gold={1: "high"})


def correlations(folder, emotion=None):
    """Pearson's r with gold of the plain mean and of the model."""
    judgments, gold = (
        list(csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines())) for name in ("judgments.csv", "gold.csv")
    )
    rows = [row for row in judgments if emotion in (None, row.get("emotion"))]
    j = Judgments.from_columns(
        item=[row["item"] for row in rows], annotator=[row["worker"] for row in rows], answer=[float(row["answer"]) for row in rows]
    )
    key = {row["item"]: float(row["answer"]) for row in gold if emotion in (None, row.get("emotion"))}
    truth = np.array([key[item] for item in j.items])
    return np.corrcoef(means(j), truth)[0, 1], np.corrcoef(aggregate(j, "ordinal").value, truth)[0, 1]


def test_word_similarity_agrees_with_gold(shared_data):
    mean, model = correlations(shared_data / "crowds" / "snow_wordsim")
    assert model > 0.94
    assert model > mean - 0.01


def test_affect_agrees_with_gold_better_than_the_mean(shared_data):
    emotions = ["anger", "disgust", "fear", "joy", "sadness", "surprise", "valence"]
    mean, model = np.mean([correlations(shared_data / "crowds" / "snow_affect", emotion) for emotion in emotions], axis=0)
    assert model > 0.71
    assert model > mean
