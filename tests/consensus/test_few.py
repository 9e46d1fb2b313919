"""Few judgments: what everybody says is the answer, and neither habits nor common errors drive the answers away from the votes."""

from __future__ import annotations

import csv
from itertools import product

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.auto import select_item_kinds
from preceptor.testing import simulate_misleading_crowd


@pytest.mark.parametrize("method", ["auto", "majority", "dawid_skene", "one_coin", "mace", "glad"])
def test_what_all_of_a_few_say_is_the_answer(method, subtests):
    for answers, items, people in product([2, 3, 9], [1, 2, 3], [1, 2]):
        with subtests.test(answers=answers, items=items, people=people):
            judgments = Judgments.from_columns(
                item=[f"i-{item}" for item in range(items) for _ in range(people)],
                annotator=[f"p-{person}" for _ in range(items) for person in range(people)],
                answer=[1] * (items * people),
                answers=list(range(answers)),
            )
            assert set(aggregate(judgments, method).top) == {1}


def read(folder):
    """Judgments of a crowd, and its gold."""
    with (folder / "judgments.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "gold.csv").open() as file:
        gold = {row["item"]: row["answer"] for row in csv.DictReader(file)}
    columns = {"item": "item", "annotator": "worker", "answer": "answer"}
    return Judgments.from_columns(**{name: [row[column] for row in rows] for name, column in columns.items()}), gold


def split_accuracy(posterior, key):
    """Share of the items whose top answer is the key; a tie counts as its part."""
    top = posterior >= posterior.max(axis=1, keepdims=True) - 1e-9
    return float((top[np.arange(len(key)), key] / top.sum(axis=1)).mean())


def habitual_crowd(answers, per_item, seed):
    """300 items, 30 people: ten of them always give one answer, or any; the rest are right in 60 % of their answers."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(answers, size=300)
    item = np.repeat(np.arange(300), per_item)
    person = np.concatenate([rng.permutation(30)[:per_item] for _ in range(300)])
    favourite = np.where(np.arange(30) < 6, rng.integers(answers, size=30), -1)
    right = rng.random(len(item)) < np.where(person < 10, 0.0, 0.6)
    wrong = rng.integers(answers, size=len(item))
    answer = np.where(favourite[person] >= 0, favourite[person], np.where(right, truth[item], wrong))
    return Judgments.from_columns(item=item, annotator=person, answer=answer, answers=list(range(answers))), truth


@pytest.mark.parametrize("answers", [3, 5, 8])
@pytest.mark.parametrize("per_item", [2, 3, 5])
def test_many_answers_and_few_judgments_dont_fall_to_who_always_says_the_same(answers, per_item):
    """People with a favourite answer confirmed themselves: 27 to 40 points below the votes, and sure of it."""
    gains, claims = [], []
    for seed in range(2):
        judgments, truth = habitual_crowd(answers, per_item, seed)
        posterior = aggregate(judgments).posterior
        right = split_accuracy(posterior, truth)
        gains.append(right - split_accuracy(judgments.votes, truth))
        claims.append(posterior.max(axis=1).mean() - right)
    assert min(gains) > -0.005
    assert max(claims) < 0.12


@pytest.mark.parametrize(("name", "per_item"), [("snow_rte", 2), ("tweet_sentiment_1000", 2), ("weather_amt", 2), ("face_sentiment", 3)])
def test_a_real_crowd_thinned_is_not_below_its_votes(shared_data, name, per_item):
    judgments, gold = read(shared_data / "crowds" / name)
    known = [item for item in judgments.items if item in gold]
    rows = np.array([judgments.item_index[item] for item in known])
    key = np.array([judgments.answers.index(gold[item]) for item in known])
    gains = []
    for seed in range(2):
        order = np.lexsort((np.random.default_rng(seed).random(len(judgments)), judgments.item_code))
        place = np.empty(len(judgments), dtype=int)
        place[order] = np.arange(len(judgments)) - judgments.item_start[judgments.item_code[order]]
        few = judgments.select_rows(place < per_item)
        gains.append(split_accuracy(aggregate(few).posterior[rows], key) - split_accuracy(few.votes[rows], key))
    assert np.mean(gains) > -0.01  # the standard error of a mean of two is half a point to one


def test_held_out_judgments_choose_the_kinds_of_item_and_in_doubt_both_stand(shared_data):
    """Confusions that overturn the vote look like items on which everybody errs, and the other way round."""
    crowd = simulate_misleading_crowd(items=200)
    overturned = Judgments.from_columns(**crowd.columns)
    assert 1 in select_item_kinds(overturned, 2)
    found = aggregate(overturned)
    right = np.mean([answer == crowd.truth[item] for item, answer in zip(found.items, found.top, strict=True)])
    assert right > split_accuracy(overturned.votes, np.array([overturned.answers.index(a) for a in crowd.truth.values()])) + 0.2
    assert select_item_kinds(read(shared_data / "crowds" / "zencrowd_us")[0], 2) == (2,)
    assert select_item_kinds(overturned, 1) == (1,)
    assert select_item_kinds(Judgments.from_columns(item=[1], annotator=[1], answer=["x"]), 2) == (2,)
