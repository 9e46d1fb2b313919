"""The default method: what it says of itself, how gold corrects it, and that it holds on real crowds."""

import csv

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.auto import GoldCorrection, apply_power, fit_heldout_temperature
from preceptor.testing import simulate_crowd

CROWDS = ("dog", "face_sentiment", "music_genre", "product_pairs", "snow_rte", "sp", "tweet_sentiment_1000", "weather_amt", "zencrowd_us")


def read(folder):
    """Judgments of a crowd, and its gold."""
    with (folder / "judgments.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "gold.csv").open() as file:
        gold = {row["item"]: row["answer"] for row in csv.DictReader(file)}
    columns = {"item": "item", "annotator": "worker", "answer": "answer"}
    return Judgments.from_columns(**{name: [row[column] for row in rows] for name, column in columns.items()}), gold


def figures(consensus, gold):
    """Accuracy and log loss on gold."""
    column = {answer: k for k, answer in enumerate(consensus.answers)}
    row = {item: i for i, item in enumerate(consensus.items)}
    rows = consensus.posterior[[row[item] for item in gold if item in row]]
    key = np.array([column[answer] for item, answer in gold.items() if item in row])
    return (rows.argmax(axis=1) == key).mean(), -np.log(np.maximum(rows[np.arange(len(key)), key], 1e-6)).mean()


def test_without_gold_it_tells_the_spread_of_methods():
    c = aggregate(Judgments.from_columns(**simulate_crowd().columns))
    assert c.method == "auto"
    assert any(note.startswith("no gold") and "majority" in note for note in c.notes)


def test_with_gold_it_tells_what_gold_did():
    crowd = simulate_crowd(items=200)
    c = aggregate(Judgments.from_columns(**crowd.columns), gold=dict(list(crowd.truth.items())[:50]))
    assert "corrected by 50 gold answers" in c.notes
    assert not any(note.startswith("no gold") for note in c.notes)
    few = aggregate(Judgments.from_columns(**crowd.columns), gold=dict(list(crowd.truth.items())[:5]))
    assert any("5 gold answers correct little" in note for note in few.notes)


def test_adversaries_in_the_majority_are_seen_through_with_gold():
    rng = np.random.default_rng(4)
    truth = rng.integers(2, size=400)
    item = np.repeat(np.arange(400), 5)
    annotator = np.concatenate([rng.permutation(10)[:5] for _ in range(400)])
    right = rng.random(2000) < np.where(annotator < 3, 0.9, 0.1)
    j = Judgments.from_columns(item=item, annotator=annotator, answer=np.where(right, truth[item], 1 - truth[item]))
    c = aggregate(j, gold=dict(enumerate(truth[:30])))
    assert (c.posterior.argmax(axis=1) == truth).mean() > 0.93
    assert any("fitted to gold" in note for note in c.notes)


def test_independent_people_are_not_tempered_and_copies_are():
    crowd = simulate_crowd(items=400, annotators=15, per_item=5)
    columns = crowd.columns
    copies = {name: column + (column if name != "annotator" else [f"copy of {who}" for who in column]) for name, column in columns.items()}
    power = []
    for given in (columns, copies):
        j = Judgments.from_columns(**given)
        c = aggregate(j, "dawid_skene")
        power.append(fit_heldout_temperature(j, c.annotators.model, c.posterior))
    assert power[0] > 0.9
    assert apply_power(np.array([[0.9, 0.1]]), 0.5)[0, 0] == pytest.approx(0.75)


def test_a_temperature_flattens_where_answers_vary_more_than_the_model_says():
    """Items differ in difficulty; a model without it is too sure, and held-out judgments tell."""
    rng = np.random.default_rng(2)
    truth = rng.integers(2, size=500)
    right = rng.choice([0.55, 0.98], size=500)
    item = np.repeat(np.arange(500), 12)
    annotator = np.concatenate([rng.permutation(30)[:12] for _ in range(500)])
    answer = np.where(rng.random(len(item)) < right[item], truth[item], 1 - truth[item])
    j = Judgments.from_columns(item=item, annotator=annotator, answer=answer)
    c = aggregate(j, "dawid_skene")
    power = fit_heldout_temperature(j, c.annotators.model, c.posterior)
    assert power < 0.7
    key = dict(enumerate(truth))
    flat = apply_power(c.posterior, power)[np.arange(500), truth]
    assert -np.log(np.maximum(flat, 1e-6)).mean() < figures(c, key)[1]


def test_a_single_judgment_an_item_leaves_nothing_to_hold_out():
    j = Judgments.from_columns(item=[1, 2, 3], annotator=[1, 1, 2], answer=["x", "y", "x"])
    c = aggregate(j, "dawid_skene")
    assert fit_heldout_temperature(j, c.annotators.model, c.posterior) == 1.0


def test_the_correction_mends_sureness_and_shares_and_few_keys_move_it_little():
    rng = np.random.default_rng(0)
    key = rng.integers(2, size=2000)
    logit = 1.5 * (2 * key - 1) + rng.normal(0, 1.0, size=2000)
    right = 1 / (1 + np.exp(-3 * logit))
    oversure = np.stack([1 - 1 / (1 + np.exp(-9 * logit - 2)), 1 / (1 + np.exp(-9 * logit - 2))], axis=1)
    mended = GoldCorrection.fit(oversure, key)
    assert np.abs(mended(oversure)[:, 1] - right).mean() < 0.03
    one = GoldCorrection.fit(oversure[:1], key[:1])
    assert np.abs(one(oversure) - oversure).mean() < 0.03


def test_gold_is_corrected_without_looking_at_its_own_rows():
    crowd = simulate_crowd(items=300, seed=5)
    j, gold = Judgments.from_columns(**crowd.columns), dict(list(crowd.truth.items())[:100])
    rest = dict(list(crowd.truth.items())[100:])
    assert figures(aggregate(j, gold=gold), rest)[1] < figures(aggregate(j), rest)[1] + 0.01


def test_on_real_crowds_it_beats_majority_and_plain_dawid_skene(shared_data):
    """Nine crowds (two large ones are in the bench): mean accuracy and mean log loss."""
    found = {"auto": [], "majority": [], "plain": []}
    for name in CROWDS:
        j, gold = read(shared_data / "crowds" / name)
        found["auto"].append(figures(aggregate(j), gold))
        found["majority"].append(figures(aggregate(j, "majority"), gold))
        found["plain"].append(figures(aggregate(j, "dawid_skene", prior="none", smoothing=0), gold))
    accuracy, loss = ({name: np.mean([f[q] for f in rows]) for name, rows in found.items()} for q in (0, 1))
    assert accuracy["auto"] > max(accuracy["majority"], accuracy["plain"]) + 0.01
    assert loss["auto"] < 0.6 * min(loss["majority"], loss["plain"])


@pytest.mark.parametrize("name", ["zencrowd_us", "face_sentiment", "sp"])
def test_with_fifty_gold_answers_it_is_never_a_point_below_majority(shared_data, name):
    j, gold = read(shared_data / "crowds" / name)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(gold))
        pairs = list(gold.items())
        known, rest = dict(pairs[r] for r in order[:50]), dict(pairs[r] for r in order[50:])
        assert figures(aggregate(j, gold=known), rest)[0] > figures(aggregate(j, "majority"), rest)[0] - 0.01


@pytest.mark.parametrize("method", ["auto", "dawid_skene", "one_coin", "mace", "majority"])
def test_one_wrong_key_doesnt_turn_everyone_elses_answer(method):
    """One key against ten people who agree on a hundred items was taken to show that they are all adversaries."""
    items, people = range(100), range(10)
    rows = [(item, person, "yes" if item % 2 else "no") for item in items for person in people]
    item, annotator, answer = zip(*rows, strict=True)
    fitted = aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=answer), method, gold={0: "yes"})
    assert list(fitted.top)[1:] == ["yes" if item % 2 else "no" for item in items][1:]
