from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.planning.costs import HOURS_A_MONTH, Machine, Speed, Work, costs, hosted, local
from preceptor.providers.prices import Price, parse_prices

FEEDBACK = parse_prices({"feedback-api": {"per": 1000, "training": 0.04, "input": 0.04, "output": 0.04}})
WORK = Work(tokens=500_000, requests=100_000, reading=50)
MACHINE = Machine(0.10, training=Speed(330), reading=Speed(819))


def test_the_worked_example():
    """500,000 tokens at $0.04 per 1,000; 100,000 pieces of feedback a month at 50 tokens; beside a machine."""
    found = costs(WORK, FEEDBACK, MACHINE)
    api, machine, never_off = found.bills
    assert (api.training, api.month) == (20.0, 200.0)
    assert WORK.read == 5_000_000
    assert found.year(api) == 2420.0
    assert machine.training == pytest.approx(500_000 / 330 / 3600 * 0.10)
    assert machine.month == pytest.approx(5_000_000 / 819 / 3600 * 0.10)
    assert machine.hours["serving_per_month"] == pytest.approx(1.6958, abs=1e-4)
    assert never_off.month == pytest.approx(HOURS_A_MONTH * 0.10)
    document = found.to_dict()
    assert document["serving"]["tokens_per_month"] == 5_000_000
    assert [document["bills"][0][name] for name in ("training", "serving_per_month", "first_year")] == [20.0, 200.0, 2420.0]


def test_prices_for_a_thousand_and_for_a_million_are_the_same():
    million = parse_prices({"m": {"input": 40, "output": 40.0, "training": 40}})
    assert million["m"] == FEEDBACK["feedback-api"] == Price(40.0, 40.0, 40.0)
    assert parse_prices({"m": {"per": 1000, "input": 0.0003, "output": 0.0012}})["m"] == Price(0.3, 1.2)


def test_each_pass_and_each_token_has_its_price():
    price = Price(input=1.0, output=10.0, training=8.0)
    bill = hosted("m", price, Work(tokens=1_000_000, epochs=3, requests=1000, reading=500, writing=100))
    assert (bill.training, bill.month) == (24.0, 1.5)
    found = costs(Work(), {}, None, judgments=200, price=0.05)
    assert (found.people, found.bills) == (10.0, ())


def test_a_machine_that_only_trains_has_one_bill():
    assert len(local(MACHINE, Work(tokens=1000))) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Speed(0), "a speed of 0 tokens a second"),
        (lambda: Speed(float("nan")), "a speed of nan"),
        (lambda: local(Machine(0.1, training=Speed(1)), WORK), "how fast the machine is at reading isn't known"),
        (lambda: local(Machine(0.1, Speed(1), Speed(1)), WORK), "a month has 730"),
        (lambda: hosted("m", Price(1, 1), WORK), "to train m isn't known"),
        (lambda: costs(Work(), FEEDBACK, None), "nothing to cost"),
        (lambda: costs(WORK, FEEDBACK, None, judgments=1, price=-1.0), "price of a judgment can't be -1"),
        (lambda: costs(WORK, FEEDBACK, Machine(-0.1)), "price of an hour can't be -0.1"),
        (lambda: parse_prices({"m": {"input": 1, "output": -1}}), "'m' isn't priced"),
        (lambda: parse_prices({"m": {"input": 1}}), "'m' isn't priced"),
        (lambda: parse_prices({"m": {"input": 1, "output": 1, "per": 100}}), "prices of 'm' are for 100 tokens"),
    ],
)
def test_what_cant_be_costed_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()
