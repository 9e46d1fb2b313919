"""What is bought for money: sums by hand, and a race against asking without looking at prices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.planning import allocate_judgments


def coin(right):
    return np.array([[right, 1 - right], [1 - right, right]])


PEOPLE = np.stack([coin(0.7), coin(0.95)])  # a beginner and an expert: 0.082 and 0.495 nats about even odds, six to one
EVEN = np.full((3, 2), 0.5)


@pytest.mark.parametrize(("dear", "asked"), [(3.0, 1), (9.0, 0)])
def test_the_better_person_is_asked_while_their_price_is_worth_it(dear, asked):
    asks = allocate_judgments(EVEN, PEOPLE, np.array([1.0, dear]), budget=9)
    assert {ask.person for ask in asks} == {asked}
    assert len(asks) == 3
    assert asks[0].gain == pytest.approx(np.log(2) + sum(p * np.log(p) for p in ((0.95, 0.05) if asked else (0.7, 0.3))))


def test_money_goes_where_least_is_known_and_is_never_overspent():
    posterior = np.array([[0.99, 0.01], [0.5, 0.5], [0.8, 0.2]])
    asks = allocate_judgments(posterior, PEOPLE[:1], np.array([1.0]), budget=2.5)
    assert [ask.item for ask in asks] == [1, 2]


def test_an_answer_that_cannot_turn_the_majority_is_still_worth_something():
    """At 0.9 the beginner's answer never turns it: the gain in accuracy is nothing, in entropy it isn't."""
    (ask,) = allocate_judgments(np.array([[0.9, 0.1]]), PEOPLE[:1], np.array([1.0]), budget=1)
    assert ask.gain > 0.02


def test_what_tells_less_than_it_costs_is_not_bought():
    assert allocate_judgments(EVEN, PEOPLE, np.array([1.0, 3.0]), budget=99, nat=1.0) == []
    assert {ask.person for ask in allocate_judgments(EVEN, PEOPLE, np.array([1.0, 3.0]), budget=99, nat=10.0)} == {1}


def test_limits_hold():
    may = np.array([[True, False], [True, True], [False, False]])
    asks = allocate_judgments(EVEN, PEOPLE, np.array([1.0, 3.0]), budget=99, may=may)
    assert sorted((ask.item, ask.person) for ask in asks) == [(0, 0), (1, 1)]
    assert sum(ask.person == 1 for ask in allocate_judgments(EVEN, PEOPLE, np.array([1.0, 3.0]), budget=99, most=1)) == 1


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8), st.lists(st.floats(0, 5), min_size=2, max_size=2), st.floats(0, 20))
def test_never_over_budget_and_never_twice_about_an_item(ones, prices, budget):
    asks = allocate_judgments(np.column_stack([ones, 1 - np.array(ones)]), PEOPLE, np.array(prices), budget=budget)
    assert sum(ask.price for ask in asks) <= budget + 1e-6
    assert len({ask.item for ask in asks}) == len(asks)


def test_the_same_money_makes_more_answers_right_than_any_one_price_class():
    rng = np.random.default_rng(0)
    price = np.array([1.0, 3.0])
    looked, cheap, dear = (np.mean([_race(rng, price, may) for _ in range(20)]) for may in (None, 0, 1))
    assert looked >= max(cheap, dear) - 0.004
    assert looked > min(cheap, dear) + 0.03


def _race(rng, price, only):
    """Share right after 900 are spent on 150 items in rounds of 90, by whoever is worth it or by one person only."""
    truth = rng.integers(2, size=150)
    posterior = np.full((150, 2), 0.5)
    may = None if only is None else np.tile(np.arange(2) == only, (150, 1))
    for _ in range(10):
        for ask in allocate_judgments(posterior, PEOPLE, price, budget=90, may=may):
            table = PEOPLE[ask.person]
            said = int(rng.random() < table[truth[ask.item], 1])
            posterior[ask.item] *= table[:, said]
            posterior[ask.item] /= posterior[ask.item].sum()
    return (posterior.argmax(axis=1) == truth).mean()


def test_shapes_and_prices_are_checked():
    for settings in ({"confusion": PEOPLE[:1]}, {"price": np.array([1.0, -1.0])}, {"may": np.ones((1, 1), bool)}):
        given_ = {"confusion": PEOPLE, "price": np.array([1.0, 2.0]), **settings}
        with pytest.raises(UserError):
            allocate_judgments(EVEN, given_.pop("confusion"), given_.pop("price"), budget=1, **given_)
