from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.planning.costs import HOURS_PER_MONTH, MachineProfile, PlannedWork, TokenSpeed, bill_hosted, bill_local, compare_costs
from preceptor.planning.prices import TokenPrice, parse_prices

FEEDBACK = parse_prices({"feedback-api": {"per": 1000, "training": 0.04, "input": 0.04, "output": 0.04}})
WORK = PlannedWork(tokens=500_000, requests=100_000, reading=50)
MACHINE = MachineProfile(0.10, training=TokenSpeed(330), reading=TokenSpeed(819))


def test_the_worked_example():
    """500,000 tokens at $0.04 per 1,000; 100,000 pieces of feedback a month at 50 tokens; beside a machine."""
    found = compare_costs(WORK, FEEDBACK, MACHINE)
    api, machine, never_off = found.bills
    assert (api.training, api.month) == (20.0, 200.0)
    assert WORK.input_tokens_per_month == 5_000_000
    assert found.first_year_cost(api) == 2420.0
    assert machine.training == pytest.approx(500_000 / 330 / 3600 * 0.10)
    assert machine.month == pytest.approx(5_000_000 / 819 / 3600 * 0.10)
    assert machine.hours["serving_per_month"] == pytest.approx(1.6958, abs=1e-4)
    assert never_off.month == pytest.approx(HOURS_PER_MONTH * 0.10)
    document = found.to_dict()
    assert document["serving"]["tokens_per_month"] == 5_000_000
    assert [document["bills"][0][name] for name in ("training", "serving_per_month", "first_year")] == [20.0, 200.0, 2420.0]


def test_prices_for_a_thousand_and_for_a_million_are_the_same():
    million = parse_prices({"m": {"input": 40, "output": 40.0, "training": 40}})
    assert million["m"] == FEEDBACK["feedback-api"] == TokenPrice(40.0, 40.0, 40.0)
    assert parse_prices({"m": {"per": 1000, "input": 0.0003, "output": 0.0012}})["m"] == TokenPrice(0.3, 1.2)


def test_each_pass_and_each_token_has_its_price():
    price = TokenPrice(input=1.0, output=10.0, training=8.0)
    bill = bill_hosted("m", price, PlannedWork(tokens=1_000_000, epochs=3, requests=1000, reading=500, writing=100))
    assert (bill.training, bill.month) == (24.0, 1.5)
    found = compare_costs(PlannedWork(), {}, None, judgments=200, price=0.05)
    assert (found.annotation_cost, found.bills) == (10.0, ())


def test_a_machine_that_only_trains_has_one_bill():
    assert len(bill_local(MACHINE, PlannedWork(tokens=1000))) == 1


def test_what_cant_be_costed_is_refused(subtests):
    for make, words in [
        (lambda: TokenSpeed(0), "a speed of 0 tokens a second"),
        (lambda: TokenSpeed(float("nan")), "a speed of nan"),
        (lambda: bill_local(MachineProfile(0.1, training=TokenSpeed(1)), WORK), "how fast the machine is at reading isn't known"),
        (lambda: bill_local(MachineProfile(0.1, TokenSpeed(1), TokenSpeed(1)), WORK), "a month has 730"),
        (lambda: bill_hosted("m", TokenPrice(1, 1), WORK), "to train m isn't known"),
        (lambda: compare_costs(PlannedWork(), FEEDBACK, None), "nothing to cost"),
        (lambda: compare_costs(WORK, FEEDBACK, None, judgments=1, price=-1.0), "price of a judgment can't be -1"),
        (lambda: compare_costs(WORK, FEEDBACK, MachineProfile(-0.1)), "price of an hour can't be -0.1"),
        (lambda: parse_prices({"m": {"input": 1, "output": -1}}), "'m' isn't priced"),
        (lambda: parse_prices({"m": {"input": 1}}), "'m' isn't priced"),
        (lambda: parse_prices({"m": {"input": 1, "output": 1, "per": 100}}), "prices of 'm' are for 100 tokens"),
    ]:
        with subtests.test(make=make, words=words), pytest.raises(UserError, match=words):
            make()
