"""Prices of hosted models per token, listed or from a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.registry import suggest_name

MILLION = 1_000_000
PRICE_UNITS = (1_000, MILLION)  # tokens that prices are quoted for
PRICE_FIELDS = ("input", "output", "training", "per")  # of a model's table; the first two are required
MAX_PRICE = 1_000_000_000  # exclusive upper bound of a price


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Dollars for a million tokens of input, output and training."""

    input: float
    output: float
    training: float = 0.0

    def cost(self, read: float, written: float) -> float:
        """Return the dollars for so many input tokens (read) and output tokens (written)."""
        return (read * self.input + written * self.output) / MILLION


# OpenAI's public list for fine-tuned models, by prefix of the base's name; prices change: `parse_prices` reads custom ones.
LISTED_PRICES = {
    "gpt-3.5-turbo": TokenPrice(3.0, 6.0, 8.0),
    "gpt-4o": TokenPrice(3.75, 15.0, 25.0),
    "gpt-4o-mini": TokenPrice(0.3, 1.2, 3.0),
    "gpt-4.1": TokenPrice(3.0, 12.0, 25.0),
    "gpt-4.1-mini": TokenPrice(0.8, 3.2, 5.0),
    "gpt-4.1-nano": TokenPrice(0.2, 0.8, 1.5),
}
PRICES_HINT = '["gpt-4o-mini"] and below it input = 0.3, output = 1.2, training = 3.0: dollars for a million tokens (or per = 1000)'


def parse_prices(tables: Mapping[str, Any], *, where: str = "") -> dict[str, TokenPrice]:
    """Parse prices from a table for each model: `input`, `output` and, to train, `training`, in dollars for `per` tokens.

    per: 1000 or 1000000, a million where it is left out. Raises UserError for a price that is missing, negative or not a number.
    """
    found = {}
    for model, fields in tables.items():
        _check_price_fields(model, fields, where)
        per = fields.get("per", MILLION)
        if type(per) not in (int, float) or per not in PRICE_UNITS:
            said = f"{per:,}" if type(per) in (int, float) else repr(per)
            raise UserError(
                f"prices of {model!r} are for {said} tokens: per is {per!r}",
                "per = 1000, or per = 1000000, or no per: a million",
                where=where,
            )
        prices = {name: round(float(value) * MILLION / per, 9) for name, value in fields.items() if name != "per"}
        found[model] = TokenPrice(**prices)
    return found


def _check_price_fields(model: str, fields: Any, where: str) -> None:
    """Raise UserError for the first field that is no price, missing or unknown."""
    if not isinstance(fields, dict):
        raise UserError(f"{model!r} isn't priced: {fields!r} is no table of prices", PRICES_HINT, where=where)
    for name, value in fields.items():
        if name not in PRICE_FIELDS:
            raise UserError(
                f"{model!r} isn't priced: no field is called {name!r}{suggest_name(name, PRICE_FIELDS)}",
                f"fields: {', '.join(PRICE_FIELDS)}",
                where=where,
            )
        if name != "per" and not (type(value) in (int, float) and 0 <= value < MAX_PRICE):
            allowed = f"a number of dollars from 0 to {MAX_PRICE:,}"
            raise UserError(f"{model!r} isn't priced: {name} is {value!r}", f"{name} is {allowed}", where=where)
    if missing := [name for name in PRICE_FIELDS[:2] if name not in fields]:
        raise UserError(f"{model!r} isn't priced: {' and '.join(missing)} is missing", PRICES_HINT, where=where)


def find_price(model: str, table: Mapping[str, TokenPrice] = LISTED_PRICES) -> TokenPrice:
    """Return the price of a model, hosted under its own name or as `ft:base:organisation:suffix:id`; the longest known prefix counts.

    Raises UserError for a model without a known price.
    """
    base = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
    known = [name for name in table if model == name or base.startswith(name)]
    if not known:
        raise UserError(f"what {model} costs isn't known{suggest_name(model, table)}", "give its price: --prices FILE, with " + PRICES_HINT)
    return table[max(known, key=len)]
