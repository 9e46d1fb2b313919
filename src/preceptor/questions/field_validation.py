"""Validate what several kinds of questions have in common, in answers and in definitions.

Answers: fields of a form, texts that can be stored, whole numbers, orders. Definitions: settings, and options that are distinct texts.
Every function raises UserError for what it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.registry import suggest_name
from preceptor.types import Question

MAX_TEXT_LENGTH = 1_000_000
"""Characters of a text in an answer: as many as a cell of a file may hold."""
MAX_WHOLE_NUMBER = 1_000_000_000
"""No place in a text, and no number of anything, is as large."""

FormFields = Mapping[str, Sequence[str]]


def single_value(fields: FormFields, name: str) -> str | None:
    r"""Return the one value of a form field; None where it wasn't posted. A form's line ends \r\n become \n."""
    values = fields.get(name) or ()
    if len(values) > 1:
        raise UserError(f"{name!r} was posted {len(values)} times", "choose one")
    return values[0].replace("\r\n", "\n") if values else None


def numbered_values(fields: FormFields, name: str) -> dict[int, str]:
    """Return the values of name.0, name.1, … by their numbers, in order."""
    found = {}
    for field in fields:
        _, dot, number = field.partition(".")
        if field.startswith(f"{name}.") and dot and number.isascii() and number.isdigit() and len(number) < 6:
            value = single_value(fields, field)
            if value is not None:
                found[int(number)] = value
    return dict(sorted(found.items()))


def parse_json_field(fields: FormFields, name: str) -> Any:
    """Return the value of a form field that holds JSON; None where it wasn't posted or is empty."""
    text = single_value(fields, name)
    if text is None or not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{name!r} can't be read as JSON", "the page's script fills this field: is JavaScript on?") from None


def parse_text(value: Any, what: str) -> str:
    """Return a text that can be stored and shown; raises UserError that names it by `what`."""
    if not isinstance(value, str):
        raise UserError(f"{what} must be a text, not {type(value).__name__} ({value!r:.60})")
    if len(value) > MAX_TEXT_LENGTH:
        raise UserError(f"{what} holds {len(value):,} characters; at most {MAX_TEXT_LENGTH:,} are allowed", "shorten it")
    if "\0" in value:
        raise UserError(f"{what} holds a NUL character", "remove it: databases can't store it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{what} holds half a character (a lone surrogate)", "type the text anew where it was cut") from None
    return value


def parse_whole_number(value: Any, what: str) -> int:
    """Return a whole number from 0 up, also given as text; raises UserError that names it by `what`."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) < 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_WHOLE_NUMBER:
        raise UserError(f"{what} must be a whole number from 0 up, not {value!r:.60}")
    return value


def parse_order(value: Any, count: int, what: str) -> list[int] | None:
    """Return a permutation of 0 … count − 1 as a list, also given as the text "1,0"; None where there is none."""
    if value is None or value == "":
        return None
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise UserError(f"{what} must be a list of numbers, not {value!r:.60}", f"for example {list(range(count))[::-1]}")
    order = [parse_whole_number(part, f"each number in {what}") for part in parts]
    if sorted(order) != list(range(count)):
        raise UserError(f"{what} must name each of the {count} responses once (0 to {count - 1}), not {order!r:.60}")
    return order


def parse_table(value: Any, what: str, *names: str) -> Mapping[str, Any]:
    """Return a table (dict); raises UserError where it is none or has other names than these."""
    if not isinstance(value, Mapping):
        raise UserError(f"{what} must be a table, not {value!r:.60}", f"with {', '.join(names)}")
    if unknown := sorted(map(str, set(value) - set(names))):
        raise UserError(f"{what} has no {unknown[0]!r}", f"it has {', '.join(names)}")
    return value


def item_responses(content: Mapping[str, Any], count: int) -> Sequence[str]:
    """Return the item's responses; raises UserError unless there are exactly `count`."""
    responses: Sequence[str] = content.get("responses") or ()
    if len(responses) != count:
        has = f"{len(responses)} responses" if responses else "no responses"
        raise UserError(f"the question is about {count} responses, and the item has {has}", f"set responses = {len(responses) or count}")
    return responses


def check_setting_names(question: Question, *names: str) -> None:
    """Raise UserError for a setting that this kind doesn't have."""
    if unknown := sorted(map(str, set(question.settings) - set(names))):
        hint = f"settings: {', '.join(names)}" if names else f"a {question.kind} has no settings"
        raise UserError(f"a {question.kind} has no setting {unknown[0]!r}{suggest_name(unknown[0], names)}", hint)


def boolean_setting(question: Question, name: str, default: bool) -> bool:
    """Return a setting that is true or false; `default` where it isn't given."""
    value = question.settings.get(name, default)
    if not isinstance(value, bool):
        raise UserError(f"{name} is true or false, not {value!r}")
    return value


def integer_setting(question: Question, name: str, default: Any, *, least: int, most: int) -> Any:
    """Return a setting that is a whole number from `least` to `most`; `default` where it isn't given."""
    value = question.settings.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def check_distinct_texts(options: Sequence[Any], whose: str, *, least: int) -> None:
    """Raise UserError unless there are at least `least` options, each a text that isn't empty, and no two alike."""
    if len(options) < least:
        number = "one option" if least == 1 else "two options" if least == 2 else f"{least} options"
        raise UserError(f"{whose} needs at least {number}", 'options = ["yes", "no"]')
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise UserError(f"each option must be a text that isn't empty, not {list(options)!r}")
    if len(set(options)) < len(options):
        raise UserError(f"an option stands twice in {list(options)!r}")


def check_no_options(question: Question) -> None:
    """Raise UserError where a kind that has no options is given some."""
    if question.options:
        raise UserError(f"a {question.kind} has no options, not {list(question.options)!r:.60}", "leave them out")
