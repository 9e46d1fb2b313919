"""Costs of training and serving, hosted at a price per token or on a machine at a price per hour, and of annotation.

Arithmetic only: the caller provides prices and speeds, and every speed names its source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.planning.prices import MILLION, TokenPrice

HOURS_PER_MONTH = 730
MONTHS_PER_YEAR = 12


@dataclass(frozen=True)
class PlannedWork:
    """The planned work. tokens and epochs: of training; requests: a month; reading and writing: tokens for each request."""

    tokens: int = 0
    epochs: float = 1.0
    requests: int = 0
    reading: float = 0.0
    writing: float = 0.0

    @property
    def training_tokens(self) -> float:
        """Tokens that training goes over, in all epochs."""
        return self.tokens * self.epochs

    @property
    def input_tokens_per_month(self) -> float:
        """Input tokens a month."""
        return self.requests * self.reading

    @property
    def output_tokens_per_month(self) -> float:
        """Output tokens a month."""
        return self.requests * self.writing


@dataclass(frozen=True)
class TokenSpeed:
    """Tokens a second, and the source of that figure, in words."""

    tokens: float
    source: str = "given"

    def __post_init__(self) -> None:
        if not 0 < self.tokens < float("inf"):
            raise UserError(f"a speed of {self.tokens:g} tokens a second does no work", "give what was measured, above 0")

    def hours(self, tokens: float) -> float:
        """Return how many hours so many tokens take."""
        return tokens / self.tokens / 3600


@dataclass(frozen=True)
class MachineProfile:
    """A machine's price an hour (`hour`), and its speeds of training, reading (input) and writing (output); None: not known."""

    hour: float
    training: TokenSpeed | None = None
    reading: TokenSpeed | None = None
    writing: TokenSpeed | None = None

    def hours(self, **tokens: float) -> float:
        """Return how many hours it takes to train on, read or write so many tokens, by name.

        Raises UserError where that speed isn't known.
        """
        if missing := [name for name, count in tokens.items() if count and getattr(self, name) is None]:
            raise UserError(
                f"how fast the machine is at {missing[0]} isn't known",
                f"{missing[0]} = N (tokens a second) under [local], or model = ID of a model that was trained here",
            )
        return float(sum(getattr(self, name).hours(count) for name, count in tokens.items() if count))


@dataclass(frozen=True)
class CostBill:
    """The cost of one way to have a model: of training once, and of a month of serving.

    hours: of the machine, by name, None where it is hosted.
    """

    name: str
    training: float
    month: float
    hours: Mapping[str, float] | None = None


@dataclass(frozen=True)
class CostComparison:
    """Bills side by side.

    judgments, price: their number and the price of one. machine: None where nothing local is compared.
    """

    work: PlannedWork
    bills: tuple[CostBill, ...]
    judgments: int
    price: float
    currency: str
    machine: MachineProfile | None = None

    @property
    def annotation_cost(self) -> float:
        """The cost of the judgments, which is the same for every bill."""
        return self.judgments * self.price

    def first_year_cost(self, bill: CostBill) -> float:
        """Return the cost of the first year: annotation and training once, and twelve months of serving."""
        return self.annotation_cost + bill.training + MONTHS_PER_YEAR * bill.month

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document; money to a hundredth of a cent."""
        return {
            "currency": self.currency,
            "training": {"tokens": self.work.tokens, "epochs": self.work.epochs, "tokens_in_all": round(self.work.training_tokens)},
            "serving": {
                "requests_per_month": self.work.requests,
                "tokens_per_month": round(self.work.input_tokens_per_month + self.work.output_tokens_per_month),
                "read_per_month": round(self.work.input_tokens_per_month),
                "written_per_month": round(self.work.output_tokens_per_month),
            },
            "annotators": {"judgments": self.judgments, "price": self.price, "cost": round(self.annotation_cost, 4)},
            "bills": [self._bill(each) for each in self.bills],
            "machine": None if self.machine is None else asdict(self.machine),
        }

    def _bill(self, bill: CostBill) -> dict[str, Any]:
        money = {"training": bill.training, "serving_per_month": bill.month, "first_year": self.first_year_cost(bill)}
        hours = {} if bill.hours is None else {"hours": {name: round(each, 4) for name, each in bill.hours.items()}}
        return {"name": bill.name, **{name: round(value, 4) for name, value in money.items()}, **hours}


def bill_hosted(name: str, price: TokenPrice, work: PlannedWork) -> CostBill:
    """Return a provider's bill; raises UserError where it has no price for training and training is planned."""
    if work.training_tokens and not price.training:
        raise UserError(f"what it costs to train {name} isn't known", "training = N beside its input and output, or leave out [training]")
    return CostBill(
        name, work.training_tokens * price.training / MILLION, price.cost(work.input_tokens_per_month, work.output_tokens_per_month)
    )


def bill_local(machine: MachineProfile, work: PlannedWork) -> tuple[CostBill, ...]:
    """Return a machine's bill for the hours in which it works; and, where it serves, its bill if it is never switched off.

    Raises UserError where a month of serving takes more hours than a month has.
    """
    training, month = (
        machine.hours(training=work.training_tokens),
        machine.hours(reading=work.input_tokens_per_month, writing=work.output_tokens_per_month),
    )
    if month > HOURS_PER_MONTH:
        raise UserError(
            f"a month of this takes {month:,.0f} hours, and a month has {HOURS_PER_MONTH}",
            "a faster machine, several (multiply its speed and its hour), or fewer requests",
        )
    working = CostBill("this machine", training * machine.hour, month * machine.hour, {"training": training, "serving_per_month": month})
    if not month:
        return (working,)
    on = {"training": training, "serving_per_month": float(HOURS_PER_MONTH)}
    return working, CostBill("this machine, never off", training * machine.hour, HOURS_PER_MONTH * machine.hour, on)


def compare_costs(
    work: PlannedWork,
    prices: Mapping[str, TokenPrice],
    machine: MachineProfile | None,
    *,
    judgments: int = 0,
    price: float = 0.0,
    currency: str = "USD",
) -> CostComparison:
    """Return bills of each priced provider and of the machine; raises UserError where nothing is planned, or for an invalid price."""
    _check_work(work, judgments, price, machine)
    bills: Sequence[CostBill] = [bill_hosted(name, each, work) for name, each in prices.items()]
    return CostComparison(work, (*bills, *(() if machine is None else bill_local(machine, work))), judgments, price, currency, machine)


def _check_work(work: PlannedWork, judgments: int, price: float, machine: MachineProfile | None) -> None:
    amounts = {**asdict(work), "judgments": judgments, "price of a judgment": price, "price of an hour": machine.hour if machine else 0.0}
    for name, value in amounts.items():
        if not 0 <= value < float("inf"):
            raise UserError(f"{name} can't be {value!r}", "a number from 0 on")
    if not (work.training_tokens or work.input_tokens_per_month or work.output_tokens_per_month or judgments):
        raise UserError("there is nothing to cost", "plan some [training] tokens, [serving] requests or [annotators] judgments")
