"""What the definitions of several kinds have in common: checked settings, and options that are distinct texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.registry import did_you_mean


def known_settings(question: Question, *names: str) -> None:
    """UserError for a setting that this kind doesn't have."""
    if unknown := sorted(map(str, set(question.settings) - set(names))):
        hint = f"settings: {', '.join(names)}" if names else f"a {question.kind} has no settings"
        raise UserError(f"a {question.kind} has no setting {unknown[0]!r}{did_you_mean(unknown[0], names)}", hint)


def flag(question: Question, name: str, default: bool) -> bool:
    """A setting that is true or false."""
    value = question.settings.get(name, default)
    if not isinstance(value, bool):
        raise UserError(f"{name} is true or false, not {value!r}")
    return value


def whole_number(question: Question, name: str, default: Any, *, least: int, most: int) -> Any:
    """A setting that is a whole number from `least` to `most`; `default` where it isn't given."""
    value = question.settings.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def distinct_texts(options: Sequence[Any], whose: str, *, least: int) -> None:
    """UserError unless there are at least `least` options, each a text that isn't empty, and none of them twice."""
    if len(options) < least:
        number = "one option" if least == 1 else "two options" if least == 2 else f"{least} options"
        raise UserError(f"{whose} needs at least {number}", 'options = ["yes", "no"]')
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise UserError(f"each option must be a text that isn't empty, not {list(options)!r}")
    if len(set(options)) < len(options):
        raise UserError(f"an option stands twice in {list(options)!r}")


def no_options(question: Question) -> None:
    """UserError where a kind that has no options is given some."""
    if question.options:
        raise UserError(f"a {question.kind} has no options, not {list(question.options)!r:.60}", "leave them out")
