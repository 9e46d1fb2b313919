"""What training and serving cost, hosted at a price a token beside a machine at a price an hour; and what people cost.

Arithmetic only: which prices and speeds hold is for the caller to know, and every speed says where it is from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.providers.prices import MILLION, Price

HOURS_A_MONTH = 730
MONTHS = 12


@dataclass(frozen=True)
class Work:
    """What is to be done. tokens and epochs: of training; requests: a month; reading and writing: tokens for each of these."""

    tokens: int = 0
    epochs: float = 1.0
    requests: int = 0
    reading: float = 0.0
    writing: float = 0.0

    @property
    def trained(self) -> float:
        """Tokens that training goes over, in all passes."""
        return self.tokens * self.epochs

    @property
    def read(self) -> float:
        """Tokens read a month."""
        return self.requests * self.reading

    @property
    def written(self) -> float:
        """Tokens written a month."""
        return self.requests * self.writing


@dataclass(frozen=True)
class Speed:
    """Tokens a second, and where that is known from, in words."""

    tokens: float
    source: str = "given"

    def __post_init__(self) -> None:
        if not 0 < self.tokens < float("inf"):
            raise UserError(f"a speed of {self.tokens:g} tokens a second does no work", "give what was measured, above 0")

    def hours(self, tokens: float) -> float:
        """How long so many tokens take."""
        return tokens / self.tokens / 3600


@dataclass(frozen=True)
class Machine:
    """A machine's price an hour, and how fast it trains, reads and writes; None: not known."""

    hour: float
    training: Speed | None = None
    reading: Speed | None = None
    writing: Speed | None = None

    def hours(self, **tokens: float) -> float:
        """How long it takes to train on, read or write so many tokens, by name. UserError where that speed isn't known."""
        if missing := [name for name, count in tokens.items() if count and getattr(self, name) is None]:
            raise UserError(
                f"how fast the machine is at {missing[0]} isn't known",
                f"{missing[0]} = N (tokens a second) under [local], or model = ID of a model that was trained here",
            )
        return float(sum(getattr(self, name).hours(count) for name, count in tokens.items() if count))


@dataclass(frozen=True)
class Bill:
    """What one way to have a model costs: to train once, and a month of serving. hours: of the machine, None where it is hosted."""

    name: str
    training: float
    month: float
    hours: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Costs:
    """Bills side by side. people: judgments and the price of one; machine: None where nothing local is compared."""

    work: Work
    bills: tuple[Bill, ...]
    judgments: int
    price: float
    currency: str
    machine: Machine | None = None

    @property
    def people(self) -> float:
        """What the judgments cost, whichever way the model is had."""
        return self.judgments * self.price

    def year(self, bill: Bill) -> float:
        """The first year: people and training once, and twelve months of serving."""
        return self.people + bill.training + MONTHS * bill.month

    def to_dict(self) -> dict[str, Any]:
        """A JSON document; money to a hundredth of a cent."""
        return {
            "currency": self.currency,
            "training": {"tokens": self.work.tokens, "epochs": self.work.epochs, "tokens_in_all": round(self.work.trained)},
            "serving": {
                "requests_per_month": self.work.requests,
                "tokens_per_month": round(self.work.read + self.work.written),
                "read_per_month": round(self.work.read),
                "written_per_month": round(self.work.written),
            },
            "people": {"judgments": self.judgments, "price": self.price, "cost": round(self.people, 4)},
            "bills": [self._bill(each) for each in self.bills],
            "machine": None if self.machine is None else asdict(self.machine),
        }

    def _bill(self, bill: Bill) -> dict[str, Any]:
        money = {"training": bill.training, "serving_per_month": bill.month, "first_year": self.year(bill)}
        hours = {} if bill.hours is None else {"hours": {name: round(each, 4) for name, each in bill.hours.items()}}
        return {"name": bill.name, **{name: round(value, 4) for name, value in money.items()}, **hours}


def hosted(name: str, price: Price, work: Work) -> Bill:
    """A provider's bill. UserError where it has no price for training and training is planned."""
    if work.trained and not price.training:
        raise UserError(f"what it costs to train {name} isn't known", "training = N beside its input and output, or leave out [training]")
    return Bill(name, work.trained * price.training / MILLION, price.of(work.read, work.written))


def local(machine: Machine, work: Work) -> tuple[Bill, ...]:
    """A machine's bill for the hours in which it works; and, where it serves, its bill if it is never switched off."""
    training, month = machine.hours(training=work.trained), machine.hours(reading=work.read, writing=work.written)
    if month > HOURS_A_MONTH:
        raise UserError(
            f"a month of this takes {month:,.0f} hours, and a month has {HOURS_A_MONTH}",
            "a faster machine, several (multiply its speed and its hour), or fewer requests",
        )
    working = Bill("this machine", training * machine.hour, month * machine.hour, {"training": training, "serving_per_month": month})
    if not month:
        return (working,)
    on = {"training": training, "serving_per_month": float(HOURS_A_MONTH)}
    return working, Bill("this machine, never off", training * machine.hour, HOURS_A_MONTH * machine.hour, on)


def costs(
    work: Work, prices: Mapping[str, Price], machine: Machine | None, *, judgments: int = 0, price: float = 0.0, currency: str = "USD"
) -> Costs:
    """Bills of each priced provider and of the machine. UserError where nothing is planned, or a price is no price."""
    _check(work, judgments, price, machine)
    bills: Sequence[Bill] = [hosted(name, each, work) for name, each in prices.items()]
    return Costs(work, (*bills, *(() if machine is None else local(machine, work))), judgments, price, currency, machine)


def _check(work: Work, judgments: int, price: float, machine: Machine | None) -> None:
    amounts = {**asdict(work), "judgments": judgments, "price of a judgment": price, "price of an hour": machine.hour if machine else 0.0}
    for name, value in amounts.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"{name} can't be {value!r}", "a number from 0 on")
    if not (work.trained or work.read or work.written or judgments):
        raise UserError("there is nothing to cost", "plan some [training] tokens, [serving] requests or [people] judgments")
