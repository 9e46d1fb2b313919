"""Plan costs from a TOML file, with what the project knows filled in."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from preceptor.errors import UserError
from preceptor.evaluation.number_format import format_money
from preceptor.formats.toml import parse_toml
from preceptor.generation.hosted import estimate_text_tokens
from preceptor.planning.costs import CostComparison, MachineProfile, PlannedWork, TokenSpeed, compare_costs
from preceptor.planning.prices import LISTED_PRICES, TokenPrice, parse_prices
from preceptor.registry import OptionsBase, suggest_name

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.snapshot_rows import SnapshotRow


_LISTED_CURRENCY = "USD"
_UNLIMITED_TOKENS = 1_000_000_000  # no text is truncated when its tokens are counted


class TrainingCostOptions(OptionsBase):
    """Tokens to train on, or a snapshot whose training rows are counted with the tokenizer of a base model."""

    tokens: int | None = Field(None, ge=0, description="of one pass")
    snapshot: str | None = Field(None, description="count this one's training rows instead")
    base: str | None = Field(None, description="whose tokenizer counts; none: a careful estimate by bytes")
    epochs: float = Field(1.0, gt=0, description="passes")


class ServingCostOptions(OptionsBase):
    """A month's requests, and the tokens of each."""

    requests: int = Field(ge=0, description="a month")
    input: float = Field(ge=0, description="tokens read for each")
    output: float = Field(0.0, ge=0, description="tokens written for each")


class JudgmentCostOptions(OptionsBase):
    """The judgments that are requested from annotators."""

    judgments: int = Field(ge=0)
    price: float | None = Field(None, ge=0, description="of one; none: the project's")


class MachineCostOptions(OptionsBase):
    """A local machine; speeds in tokens per second."""

    machine_hour: float | None = Field(None, ge=0, description="price of an hour; none: the project's")
    training: float | None = Field(None, gt=0)
    reading: float | None = Field(None, gt=0)
    writing: float | None = Field(None, gt=0)
    model: str | None = Field(None, description="a model trained on it: then its speeds are those that were measured")


class CostPlanOptions(OptionsBase):
    """A file of planned costs, see docs/costs.md."""

    hosted: tuple[str, ...] = Field((), description="providers' models; none: all that the file prices")
    prices: dict[str, Any] = Field({}, description="a table for each model: input, output, training, and per = 1000 or 1000000")
    currency: str | None = Field(None, description="of these prices; none: the project's, or USD")
    training: TrainingCostOptions | None = None
    serving: ServingCostOptions | None = None
    annotators: JudgmentCostOptions | None = None
    local: MachineCostOptions | None = None


@dataclass(frozen=True)
class CostEstimate:
    """The estimated costs, and sentences about what they rest on."""

    costs: CostComparison
    summary_lines: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as a JSON object."""
        return {**self.costs.to_dict(), "summary": list(self.summary_lines)}


def plan_costs(path: str | Path, project: Project | None = None) -> CostEstimate:
    """Estimate the costs that a file plans.

    Raises UserError for a file that can't be read, unknown fields or models, and prices or speeds that neither the file nor the project
    has.
    """
    try:
        values = parse_toml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the costs can't be read: {error}", "a file as in docs/costs.md", where=str(path)) from None
    return _CostPlanner(CostPlanOptions.parse(values, of=str(path)), project, str(path)).estimate()


@dataclass(frozen=True)
class _CostPlanner:
    """A cost plan, and the project that may supply what it leaves out."""

    plan: CostPlanOptions
    project: Project | None
    where: str

    def estimate(self) -> CostEstimate:
        """Estimate the costs, with sentences about what each rests on."""
        prices, machine, judging = self._prices(), self._machine(), self.plan.annotators
        if not prices and machine is None and (self.plan.training or self.plan.serving):
            raise UserError("nobody is named who would do it", "price a model in [prices.NAME], name listed ones in hosted, or add [local]")
        price = 0.0 if judging is None else self._known_price("annotators", "price", judging.price, "judgment")
        judgments = 0 if judging is None else judging.judgments
        found = compare_costs(self._work, prices, machine, judgments=judgments, price=price, currency=self._currency)
        return CostEstimate(found, tuple(self._summary_lines(found)))

    @cached_property
    def _currency(self) -> str:
        if self.plan.currency is not None:
            return self.plan.currency
        return _LISTED_CURRENCY if self.project is None else self.project.config.cost.currency

    def _prices(self) -> dict[str, TokenPrice]:
        own = parse_prices(self.plan.prices, where=self.where)
        table = {**LISTED_PRICES, **own}
        for name in self.plan.hosted:
            if name not in table:
                hint = f"price it under [prices.{name}]; listed: {', '.join(LISTED_PRICES)}"
                raise UserError(f"what {name!r} costs isn't known{suggest_name(name, table)}", hint, where=self.where)
            if name not in own and self._currency != _LISTED_CURRENCY:
                raise UserError(
                    f"the listed price of {name} is in {_LISTED_CURRENCY}, the rest in {self._currency}", f"price it under [prices.{name}]"
                )
        return {name: table[name] for name in self.plan.hosted or own}

    @cached_property
    def _work(self) -> PlannedWork:
        training, serving = self.plan.training, self.plan.serving
        tokens, epochs = (0, 1.0) if training is None else (self._counted_tokens[0], training.epochs)
        monthly = (0, 0.0, 0.0) if serving is None else (serving.requests, serving.input, serving.output)
        return PlannedWork(tokens, epochs, *monthly)

    @cached_property
    def _counted_tokens(self) -> tuple[int, str]:
        """The tokens of one epoch, and how they were counted."""
        training = self.plan.training or TrainingCostOptions(tokens=0)
        if (training.tokens is None) == (training.snapshot is None):
            raise UserError("[training] takes tokens, or the snapshot to count them in", "tokens = 500_000", where=self.where)
        if training.tokens is not None:
            return training.tokens, "given"
        project = self._require_project(f"snapshot {training.snapshot}")
        rows = project.load_snapshot(str(training.snapshot)).rows("train")
        if training.base is None:
            return sum(estimate_text_tokens(_row_text(row)) for row in rows), "estimated from above by bytes"
        from preceptor.model_ancestry import resolve_base_folder
        from preceptor.models.batching import encode_texts
        from preceptor.models.loading import load_tokenizer

        tokenizer = load_tokenizer(resolve_base_folder(project, training.base))
        tokenizer.model_max_length = _UNLIMITED_TOKENS
        return sum(
            map(len, encode_texts(tokenizer, [_row_text(row) for row in rows], _UNLIMITED_TOKENS))
        ), f"counted with the tokenizer of {training.base}"

    def _machine(self) -> MachineProfile | None:
        local = self.plan.local
        if local is None:
            return None
        speeds = {} if local.model is None else _measured_speeds(self._require_project(f"model {local.model}"), local.model)
        given = {name: TokenSpeed(value) for name in ("training", "reading", "writing") if (value := getattr(local, name)) is not None}
        return MachineProfile(self._known_price("local", "machine_hour", local.machine_hour, "machine_hour"), **{**speeds, **given})

    def _known_price(self, part: str, name: str, given: float | None, field: str) -> float:
        """Return a price from the file, else the project's."""
        if given is not None:
            return given
        return float(getattr(self._require_project(f"the {name} of [{part}]").config.cost, field))

    def _require_project(self, what: str) -> Project:
        if self.project is None:
            raise UserError(
                f"{what} is a project's to know, and there is none here", "--project DIR, or give it in the file", where=self.where
            )
        return self.project

    def _summary_lines(self, found: CostComparison) -> list[str]:
        work, words = found.work, []
        if self.plan.training is not None:
            passes = "once" if work.epochs == 1 else f"{work.epochs:g} times: {work.training_tokens:,.0f} tokens"
            words.append(f"Training goes over {work.tokens:,} tokens ({self._counted_tokens[1]}), {passes}.")
        if self.plan.serving is not None:
            each = f"{work.reading:g} tokens read and {work.writing:g} written"
            total = f"{work.input_tokens_per_month + work.output_tokens_per_month:,.0f} tokens a month"
            words.append(f"Serving answers {work.requests:,} requests a month with {each} for each: {total}.")
        if found.machine is not None:
            speeds = [
                f"{name} {speed.tokens:,.0f} tokens a second ({speed.source})"
                for name in ("training", "reading", "writing")
                if (speed := getattr(found.machine, name)) is not None
            ]
            words.append(f"This machine costs {format_money(found.machine.hour, found.currency)} an hour: {', '.join(speeds)}.")
            words.append("The people who keep it running aren't counted.")
        if any(bill.hours is None for bill in found.bills):
            words.append("Hosted prices are those of the table that was given or built in; they change.")
        return words


def _measured_speeds(project: Project, name: str) -> Mapping[str, TokenSpeed]:
    """Return the training speed of a model; reading alone is faster, so that its cost is an upper bound."""
    model = project.model(name)
    speed = model.manifest.get("tokens_per_second")
    if not speed:
        hint = f"training = N and reading = N under [local]; {model.manifest['recipe']} doesn't note it"
        raise UserError(f"how fast {model.id} was trained isn't in its manifest", hint)
    return {
        "training": TokenSpeed(float(speed), f"measured when {model.id} was trained"),
        "reading": TokenSpeed(float(speed), f"as fast as {model.id} was trained; reading alone is faster"),
    }


def _row_text(row: SnapshotRow) -> str:
    return f"{row.text}\n{row.answer}"
