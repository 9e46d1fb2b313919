"""A file of prices: each mistake is told with the field, its value, and what is allowed."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.generation.hosted import read_prices
from preceptor.planning.prices import TokenPrice, parse_prices


def test_a_mistake_is_told_with_its_field_and_value(tmp_path, subtests):
    for fields, words in [
        ("input = -1\noutput = 1", "'a' isn't priced: input is -1; input is a number of dollars from 0"),
        ("input = 1\noutput = nan", "'a' isn't priced: output is nan; output is a number"),
        ("input = 1\noutput = inf", "output is inf"),
        ('input = "1"\noutput = 1', "input is '1'"),
        ("input = true\noutput = 1", "input is True"),
        ("input = 1\noutput = 1\ntraining = -3", "training is -3"),
        ("input = 1\nouput = 1", "no field is called 'ouput', did you mean 'output'? fields: input, output, training, per"),
        ("input = 1", "output is missing"),
        ("", "input and output is missing"),
        ("input = 1\noutput = 1\nper = 7", "prices of 'a' are for 7 tokens: per is 7; per = 1000, or per = 1000000"),
        ('input = 1\noutput = 1\nper = "1k"', "per is '1k'"),
    ]:
        with subtests.test(fields=fields, words=words):
            path = tmp_path / "prices.toml"
            path.write_text(f"[a]\n{fields}\n", encoding="utf-8")
            with pytest.raises(UserError) as error:
                read_prices(path)
            assert words in str(error.value)
            assert "prices.toml" in str(error.value)


def test_what_is_no_table_is_told():
    with pytest.raises(UserError, match="'a' isn't priced: 1 is no table of prices"):
        parse_prices({"a": 1})


def test_nothing_is_a_price():
    assert parse_prices({"a": {"input": 0, "output": 0}}) == {"a": TokenPrice(0.0, 0.0)}
