"""Options that commands share: `-o key=value`, and how a hosted judge is reached."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from preceptor.errors import UserError

SEED = click.IntRange(0, 2**32 - 1)  # what numpy and torch both take
_HOSTED_JUDGE_OPTIONS = (
    click.option("--key-file", metavar="FILE", help="A file with the key of a hosted judge (default: the variable OPENAI_API_KEY)."),
    click.option("--base-url", metavar="URL", help="The hosted judge's service (default: the variable OPENAI_BASE_URL, or OpenAI)."),
    click.option(
        "--max-cost", default=0.0, show_default=True, type=click.FloatRange(min=0), help="Dollars that a hosted judge may cost in all."
    ),
    click.option("--prices", metavar="FILE", help="Your price table (TOML), where the list prices don't hold."),
)
HOSTED_JUDGE_FIELDS = ("key_file", "base_url", "max_cost", "prices")


def add_hosted_judge_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which a hosted judge is reached, whose parameters are `HOSTED_JUDGE_FIELDS`."""
    for option in reversed(_HOSTED_JUDGE_OPTIONS):
        command = option(command)
    return command


def parse_options(options: Sequence[str], *, taken: Sequence[str] = ()) -> dict[str, Any]:
    """Parse `key=value` options into a dict; a value is read as JSON where it is JSON, else as text.

    taken: keys that have an option of their own. Raises UserError for one of these, and for an option that isn't `key=value`.
    """
    pairs = [option.partition("=") for option in options]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise UserError(f"an option is written key=value, not {key!r}", "-o epochs=3")
        if key in taken:
            raise UserError(f"{key} isn't set by -o", f"--{key} VALUE")
    return {key: parse_option_value(text) for key, _, text in pairs}


def parse_option_value(text: str) -> Any:
    """Parse a value of the command line: as JSON where it is JSON, else as text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # numbers of thousands of digits and endless nesting too
        return text
