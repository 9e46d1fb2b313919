"""What hosted models cost: a price a token, how many tokens a conversation has at most, and a budget that isn't passed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml
from preceptor.providers.provider import Message
from preceptor.registry import did_you_mean

MILLION = 1_000_000
UNITS = (1_000, MILLION)  # tokens that prices are quoted for
FIELDS = ("input", "output", "training", "per")  # of a model's table; the first two must be there
MOST = 1_000_000_000  # below which a price lies
BYTES_A_TOKEN = 2.5  # of UTF-8; English has about 4, so that an estimate lies above what is billed
TOKENS_A_TURN = 6  # what a chat template adds to each


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens."""

    input: float
    output: float
    training: float = 0.0

    def of(self, read: float, written: float) -> float:
        """Dollars for so many tokens read and written."""
        return (read * self.input + written * self.output) / MILLION


# OpenAI's public list for fine-tuned models, by the beginning of the base's name; prices change: `read_prices` takes one's own.
LISTED = {
    "gpt-3.5-turbo": Price(3.0, 6.0, 8.0),
    "gpt-4o": Price(3.75, 15.0, 25.0),
    "gpt-4o-mini": Price(0.3, 1.2, 3.0),
    "gpt-4.1": Price(3.0, 12.0, 25.0),
    "gpt-4.1-mini": Price(0.8, 3.2, 5.0),
    "gpt-4.1-nano": Price(0.2, 0.8, 1.5),
}
_EXAMPLE = '["gpt-4o-mini"] and below it input = 0.3, output = 1.2, training = 3.0: dollars for a million tokens (or per = 1000)'


def read_prices(path: str | Path) -> dict[str, Price]:
    """A price table from a TOML file: a table for each model, as `parse_prices` takes it."""
    try:
        tables = parse_toml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the prices can't be read: {error}", _EXAMPLE, where=str(path)) from None
    return parse_prices(tables, where=str(path))


def parse_prices(tables: Mapping[str, Any], *, where: str = "") -> dict[str, Price]:
    """Prices from a table for each model: `input`, `output` and, to train, `training`, in dollars for `per` tokens.

    per: 1000 or 1000000, a million where it is left out. UserError for a price that is missing, negative or no number.
    """
    found = {}
    for model, fields in tables.items():
        _check(model, fields, where)
        per = fields.get("per", MILLION)
        if type(per) not in (int, float) or per not in UNITS:
            said = f"{per:,}" if type(per) in (int, float) else repr(per)
            raise UserError(
                f"prices of {model!r} are for {said} tokens: per is {per!r}",
                "per = 1000, or per = 1000000, or no per: a million",
                where=where,
            )
        prices = {name: round(float(value) * MILLION / per, 9) for name, value in fields.items() if name != "per"}
        found[model] = Price(**prices)
    return found


def _check(model: str, fields: Any, where: str) -> None:
    """UserError for the first field that is no price, missing or unknown."""
    if not isinstance(fields, dict):
        raise UserError(f"{model!r} isn't priced: {fields!r} is no table of prices", _EXAMPLE, where=where)
    for name, value in fields.items():
        if name not in FIELDS:
            raise UserError(
                f"{model!r} isn't priced: no field is called {name!r}{did_you_mean(name, FIELDS)}",
                f"fields: {', '.join(FIELDS)}",
                where=where,
            )
        if name != "per" and not (type(value) in (int, float) and 0 <= value < MOST):
            allowed = f"a number of dollars from 0 to {MOST:,}"
            raise UserError(f"{model!r} isn't priced: {name} is {value!r}", f"{name} is {allowed}", where=where)
    if missing := [name for name in FIELDS[:2] if name not in fields]:
        raise UserError(f"{model!r} isn't priced: {' and '.join(missing)} is missing", _EXAMPLE, where=where)


def price_of(model: str, table: Mapping[str, Price] = LISTED) -> Price:
    """The price of a model, hosted under its own name or as `ft:base:organisation:suffix:id`; the longest known beginning counts."""
    base = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
    known = [name for name in table if model == name or base.startswith(name)]
    if not known:
        raise UserError(f"what {model} costs isn't known{did_you_mean(model, table)}", "give its price: --prices FILE, with " + _EXAMPLE)
    return table[max(known, key=len)]


def tokens_of(messages: Sequence[Message]) -> int:
    """How many tokens a conversation has: a careful estimate, which needs nobody's tokenizer."""
    return sum(TOKENS_A_TURN + text_tokens(str(turn["content"])) for turn in messages)


def text_tokens(text: str) -> int:
    """How many tokens a text has, carefully."""
    return int(len(text.encode("utf-8", "surrogatepass")) / BYTES_A_TOKEN) + 1


class Budget:
    """Dollars that may be spent, and those that were. Nothing is asked that could pass it."""

    def __init__(self, most: float, spent: float = 0.0) -> None:
        self.most, self.spent = most, spent

    def check(self, wanted: float, what: str) -> None:
        """UserError when so much more would pass it."""
        if wanted and self.spent + wanted > self.most:
            before = f", after {self.spent:.4f} USD before" if self.spent else ""
            hint = f"allow it: --max-cost {_above(self.spent + wanted):g}"
            raise UserError(f"{what} may cost {wanted:.4f} USD{before}, and {self.most:g} are allowed; nothing was sent", hint)


def _above(dollars: float) -> float:
    """The next amount that people write."""
    step = 0.0001 if dollars < 0.01 else 0.01
    return round(step * math.ceil(dollars / step), 4)
