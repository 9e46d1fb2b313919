"""What commands share: the project they work on, results as a table or one JSON document, progress on stderr."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from preceptor.config import CostOptions
    from preceptor.training import TrainingProgress


Command = Callable[..., Any]
_MAX_NUMBER = 10**10  # more than any seed, count or sum that a command takes
TIME_FIELDS = ("created", "superseded", "answered", "deadline", "expires")  # fields that hold Unix times


def project_command(command: Command) -> Command:
    """Add --project and --json to a command, which gets the open project and whose return value is printed."""

    @click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder (default: the current one).")
    @_emit_result
    @functools.wraps(command)
    def run(folder: str, **values: Any) -> Any:
        from preceptor.project import Project

        project = Project.open(folder)
        try:
            return command(project, **values)
        finally:
            project.close()

    return run


def output_command(command: Command) -> Command:
    """Add --json to a command that needs no project, and print what it returns."""

    @_emit_result
    @functools.wraps(command)
    def run(**values: Any) -> Any:
        return command(**values)

    return run


def _emit_result(command: Command) -> Command:
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
    @functools.wraps(command)
    def run(as_json: bool, **values: Any) -> None:
        _check_numbers(click.get_current_context())
        result = command(**values)
        document, words, *code = result if isinstance(result, tuple) else (result, None)
        if as_json:
            click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))
        else:
            click.echo(words if words is not None else format_document(document))
        if code:
            sys.exit(code[0])

    return run


def _check_numbers(context: click.Context) -> None:
    """Raise BadParameter for a number that isn't finite, which passes every range check of click, or is too large to count to."""
    for parameter in context.command.params:
        given = context.params.get(parameter.name or "")
        for number in given if isinstance(given, tuple) else (given,):
            if isinstance(number, int | float) and not abs(number) <= _MAX_NUMBER:
                raise click.BadParameter(
                    f"{number!s:.40} is not a number between -{_MAX_NUMBER:,} and {_MAX_NUMBER:,}.", context, parameter
                )


def format_document(document: Any, indent: str = "") -> str:
    """Format a document as text: one line a field, nested ones indented; an estimate on one line."""
    if isinstance(document, Mapping):
        if {"value", "low", "high", "n", "method"} <= document.keys():
            return f"{format_interval(document)} (n = {document['n']}, {document['method']})"
        return "\n".join(_format_field(name, value, indent) for name, value in document.items())
    if isinstance(document, Sequence) and not isinstance(document, str):
        return "\n".join(f"{indent}- {format_document(part, indent + '  ').lstrip()}" for part in document) or f"{indent}none"
    return f"{document}"


def format_interval(estimate: Mapping[str, Any]) -> str:
    """Format a document's estimate as `value [low, high]`; an end that is null, since the data can't bound it, is `unknown`."""
    low, high = ("unknown" if estimate[end] is None else f"{estimate[end]:.3f}" for end in ("low", "high"))
    return f"{estimate['value']:.3f} [{low}, {high}]"


def format_time(value: float) -> str:
    """Format a Unix time as day and minute in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(value))


def _format_field(name: Any, value: Any, indent: str) -> str:
    if name in TIME_FIELDS and isinstance(value, float):
        value = format_time(value)
    nested = isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value
    text = format_document(value, indent + "  ") if nested else str(value if value not in (None, [], {}) else "none")
    if nested and ("\n" in text or isinstance(value, list)):
        return f"{indent}{name}:\n{text}"
    return f"{indent}{name}: {text.strip()}"


def format_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format rows as columns aligned by spaces."""
    cells = [list(head), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


@contextmanager
def progress_bar(price: CostOptions | None = None) -> Iterator[Callable[[TrainingProgress], None]]:
    """Yield a listener that shows progress on stderr: a bar on a terminal, elsewhere a line for each stage and each evaluation.

    price: the project's prices, among them that of an hour of this machine; with it, the cost of the run so far is shown.
    """
    meter = ProgressMeter(price)
    if not sys.stderr.isatty():
        yield _line_listener(meter)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(step: Any) -> None:
            if step.stage not in tasks:
                for task in tasks.values():
                    bars.update(task, completed=bars.tasks[task].total)
                tasks[step.stage] = bars.add_task(step.stage, total=step.total, figures="")
            bars.update(tasks[step.stage], completed=step.done, total=step.total, figures=meter.figures(step))

        yield show


def progress_printer(name: str) -> Callable[[int, int], None]:
    """Return a function that prints to stderr how many of how many steps of `name` are done."""

    def tell(done: int, total: int) -> None:
        click.echo(f"{name}: {done:,} of {total:,}", err=True)

    return tell


class ProgressMeter:
    """Figures of a training step beside its progress: losses, speed, the limit of tokens in memory, and the cost of the stages so far."""

    def __init__(self, price: CostOptions | None) -> None:
        self.price, self._seconds = price, dict[str, float]()

    def figures(self, step: TrainingProgress) -> str:
        """Return the figures that are known of a step, as one line."""
        from preceptor.evaluation.number_format import format_count, format_money

        fields = step.fields
        told = [f"{name.replace('_', ' ')} {fields[name]:.3f}" for name in _LOSSES if name in fields]
        told += [f"{format_count(fields[name])} {unit}" for name, unit in _SPEEDS if name in fields][:1]
        if "tokens_at_once" in fields:
            told.append(f"at most {format_count(fields['tokens_at_once'])} tokens at once, for want of memory")
        self._seconds[step.stage] = fields.get("seconds", 0.0)
        if self.price is not None and (seconds := sum(self._seconds.values())):
            told.append(f"{format_money(round(self.price.machine_hour * seconds / 3600, 4), self.price.currency)} so far")
        return ", ".join(told)


_LOSSES = ("training_loss", "validation_loss", "validation_accuracy")
_SPEEDS = (("tokens_per_second", "tokens/s"), ("texts_per_second", "texts/s"))


def _line_listener(meter: ProgressMeter) -> Callable[[TrainingProgress], None]:
    from preceptor.evaluation.number_format import format_duration

    seen: dict[str, float | None] = {}

    def show(step: TrainingProgress) -> None:
        if step.stage not in seen:
            click.echo(f"{step.stage} …", err=True)
            seen[step.stage] = None
        figures, validated = meter.figures(step), step.fields.get("validation_loss")
        if validated != seen[step.stage]:
            left = f", {format_duration(step.fields['seconds_left'])} left" if "seconds_left" in step.fields else ""
            click.echo(f"{step.stage}: step {step.done} of {step.total}{left}, {figures}", err=True)
            seen[step.stage] = validated

    return show
