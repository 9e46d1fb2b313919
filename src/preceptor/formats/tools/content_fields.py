"""Convert the fields of a tool's record, under whatever names, to the content of an item and back.

A tool's record has fields such as {"question", "answer", "source"}. An item has a text, a prompt with its completion or responses, or
messages. Names that say what a field is decide; else a single text is the text, and several become one text in which each follows its name.

    content, names = content_from_fields({"question": "2+2?", "answer": "4"})  # {"prompt", "completion"}, and the fields they were
    fields_from_content(content, names)                                        # the fields again
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

FieldNames = dict[str, Any]
"""Parts of a content to the names of their fields, where these differ from what `fields_from_content` would call them: a name, the
names of the responses, or [name, length] of each text in one that was put together."""

_TEXT_NAMES = ("text", "content", "sentence", "document", "passage", "review", "body")
_PROMPT_NAMES = ("prompt", "instruction", "question", "query", "input")
_COMPLETION_NAMES = ("completion", "response", "answer", "output", "reply")
_RESPONSE_NAME = re.compile(r"(completion|response|answer|output|reply|candidate|generation|text|option)?[-_ ]?([1-9]\d?|[a-d])")
_EXTRA_PARTS = ("sources", "claims", "format")
_JOIN = "\n\n"


@dataclass(frozen=True)
class PlacedField:
    """A field's text within the item's one text: `start` is where it begins there, in code points."""

    name: str
    start: int
    text: str


def content_from_fields(
    fields: Mapping[str, Any], shown: Collection[str] = (), responses: Collection[str] = ()
) -> tuple[dict[str, Any], FieldNames]:
    """Return an item's content, and the fields that it was made of; empty where no field holds a text.

    shown: the fields that annotators see, where that is known. responses: those that they compare.
    """
    seen = {name: value for name, value in fields.items() if (not shown or name in shown) and value is not None}
    texts = {name: value for name, value in seen.items() if isinstance(value, str)}
    content, names = _main_content(seen, texts, [name for name in responses if name in texts], bool(shown))
    if content:
        content |= {name: fields[name] for name in _EXTRA_PARTS if _has_expected_form(name, fields.get(name))}
    return content, names


def fields_from_content(content: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the fields of a content: under `names` as `content_from_fields` gave them, else under the parts' own names."""
    names = names or {}
    fields: dict[str, Any] = {}
    for part, value in content.items():
        if part == "responses":
            fields |= dict(zip(response_field_names(content, names), value, strict=True))
        elif part in ("text", "prompt", "completion"):
            fields |= {place.name: place.text for place in _place_in_text(value, names.get(part, part), part)}
        else:
            fields[names.get(part, part)] = value
    return fields


def collect_field_names(names: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields that a content was made of, where they aren't the parts' own."""
    found: set[str] = set()
    for name in names.values():
        found |= {name} if isinstance(name, str) else {each if isinstance(each, str) else each[0] for each in name}
    return found


def response_field_names(content: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> list[str]:
    """Return the names of the fields of an item's responses."""
    count = len(content.get("responses", ()))
    own = (names or {}).get("responses")
    if isinstance(own, list) and len(own) == count and all(isinstance(name, str) for name in own):
        return own
    return [f"response_{number}" for number in range(1, count + 1)]


def place_fields(content: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> list[PlacedField]:
    """Return where the texts of the fields are in the item's one text (see `preceptor.types.render_content`)."""
    names = names or {}
    if "messages" in content:
        return []
    parts = [(names.get(part, part), part, content[part]) for part in ("text", "prompt", "completion") if part in content]
    parts += [(name, name, text) for name, text in zip(response_field_names(content, names), content.get("responses", ()), strict=True)]
    found: list[PlacedField] = []
    start = 0
    for name, part, text in parts:
        found += [PlacedField(place.name, place.start + start, place.text) for place in _place_in_text(text, name, part)]
        start += len(text) + 1  # a line end separates them
    return found


def is_conversation(value: Any) -> bool:
    """Return whether a field holds messages with role and content."""
    return bool(value) and isinstance(value, list) and all(_is_turn(turn) for turn in value)


def record_remainder(original: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be kept of a record so that `complete_record` restores it from what is rebuilt: values, nulls, and absences."""
    other = {name: value for name, value in original.items() if name not in rebuilt or not equal_as_json(rebuilt[name], value)}
    kept: dict[str, Any] = {}
    if values := {name: value for name, value in other.items() if value is not None}:
        kept["fields"] = values
    if empty := [name for name, value in other.items() if value is None]:
        kept["empty"] = empty
    if absent := [name for name in rebuilt if name not in original]:
        kept["absent"] = absent
    return kept


def complete_record(rebuilt: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rebuilt record completed with what was kept of the original."""
    fields, empty, absent = (kept.get(name) or () for name in ("fields", "empty", "absent"))
    whole = {name: value for name, value in rebuilt.items() if name not in absent}
    return {**whole, **dict.fromkeys(empty), **dict(fields)}


def equal_as_json(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON, where 1, 1.0 and true are three values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    return _canonical_json(one) == _canonical_json(other) if isinstance(one, dict | list) else bool(one == other)


def _canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _main_content(seen: dict[str, Any], texts: dict[str, str], chosen: list[str], every: bool) -> tuple[dict[str, Any], FieldNames]:
    """Return the content's main part. every: all texts are shown, so none may be left out of it."""
    if "text" in texts and len(chosen) < 2 and not (every and len(texts) > 1):
        return {"text": texts["text"]}, {}
    compared = chosen if len(chosen) > 1 else find_response_fields(texts)
    rest = {name: text for name, text in texts.items() if name not in compared}
    conversations = [name for name, value in seen.items() if is_conversation(value)]
    if len(conversations) == 1:
        return _add_responses({"messages": seen[conversations[0]]}, _name_if_different("messages", conversations[0]), texts, compared)
    prompt = next((name for name in _PROMPT_NAMES if name in texts), None)
    if compared:
        asked, names = _prompt_of_responses(rest, prompt, every)
        return _add_responses(asked, names, texts, compared)
    completion = next((name for name in _COMPLETION_NAMES if name in texts), None)
    if prompt and completion and not (every and len(texts) > 2):
        return {"prompt": texts[prompt], "completion": texts[completion]}, {
            **_name_if_different("prompt", prompt),
            **_name_if_different("completion", completion),
        }
    return ({"prompt": texts["prompt"]}, {}) if prompt == "prompt" and not (every and len(texts) > 1) else _single_text(texts, every)


def _prompt_of_responses(rest: dict[str, str], prompt: str | None, every: bool) -> tuple[dict[str, Any], FieldNames]:
    """Return the prompt that the responses answer."""
    if every and len(rest) > 1:
        return {"prompt": _join_texts(rest)}, {"prompt": _text_lengths(rest)}
    likely = sorted(rest, key=lambda name: (name not in _TEXT_NAMES, -len(rest[name]), name))
    name = prompt or next(iter(likely), None)
    return ({"prompt": rest[name]}, _name_if_different("prompt", name)) if name in rest else ({}, {})


def _single_text(texts: dict[str, str], every: bool) -> tuple[dict[str, Any], FieldNames]:
    if not texts:
        return {}, {}
    likely = next((name for name in _TEXT_NAMES if name in texts), None) if not every else None
    name = likely or (next(iter(texts)) if len(texts) == 1 else None)
    return (
        ({"text": texts[name]}, _name_if_different("text", name))
        if name
        else ({"text": _join_texts(texts)}, {"text": _text_lengths(texts)})
    )


def _join_texts(texts: Mapping[str, str]) -> str:
    """Return several texts as one, each after its name."""
    return _JOIN.join(f"{name}: {text}" for name, text in texts.items())


def _text_lengths(texts: Mapping[str, str]) -> list[list[Any]]:
    return [[name, len(text)] for name, text in texts.items()]


def _place_in_text(text: str, name: Any, part: str) -> list[PlacedField]:
    """Return the fields that a text was joined from, with their places; a text that was changed since is one field."""
    if not isinstance(name, list):
        return [PlacedField(name, 0, text)]
    found, start = [], 0
    for each, length in name:
        start += len(each) + 2
        found.append(PlacedField(each, start, text[start : start + length]))
        start += length + len(_JOIN)
    return found if _join_texts({place.name: place.text for place in found}) == text else [PlacedField(part, 0, text)]


def _add_responses(
    content: dict[str, Any], names: FieldNames, texts: dict[str, str], compared: list[str]
) -> tuple[dict[str, Any], FieldNames]:
    if not compared:
        return content, names
    own = {} if compared == [f"response_{number}" for number in range(1, len(compared) + 1)] else {"responses": compared}
    return {**content, "responses": [texts[name] for name in compared]}, {**names, **own}


def find_response_fields(texts: Mapping[str, str]) -> list[str]:
    """Return the names of two or more fields that hold alternatives: response_1 and response_2, answer-a and answer-b, left and right."""
    stems: dict[str, list[str]] = {}
    for name in texts:
        if (found := _RESPONSE_NAME.fullmatch(name.lower())) and found[1]:
            stems.setdefault(found[1], []).append(name)
    several = [sorted(names, key=lambda name: (len(name), name)) for names in stems.values() if len(names) > 1]
    return several[0] if several else [side for side in ("left", "right") if "left" in texts and "right" in texts]


def _name_if_different(part: str, name: str | None) -> FieldNames:
    return {} if name in (part, None) else {part: name}


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def _has_expected_form(name: str, value: Any) -> bool:
    """Return whether a field holds what an item means by its name."""
    if name == "format":
        return value in ("text", "markdown")
    if not isinstance(value, list) or not value:
        return False
    if name == "claims":
        return all(isinstance(claim, str) for claim in value)
    return all(isinstance(source, str) or _is_source(source) for source in value)


def _is_source(source: Any) -> bool:
    return (
        isinstance(source, dict)
        and "text" in source
        and set(source) <= {"title", "text", "golden"}
        and all(isinstance(each, bool if part == "golden" else str) for part, each in source.items())
    )
