"""The texts by which something is found wherever it was copied to, and JSON without them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LEAST = 12  # characters: shorter texts ("yes", a label) stand everywhere, and are found by where they belong
BEGINNING = 64  # characters of a longer text that are looked for
ERASED = "(erased)"
SHOWN = "rendered"  # the field of such rows
_SHARED = ("sources", "role", "format", "tools", "finish", "document", "heading", "model", "id", "name")


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, but for names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings(part)


def own(value: Any) -> Iterator[str]:
    """The same without what many items share: instructions to a model, sources beside a prompt, ids and formats."""
    if isinstance(value, Mapping):
        parts = {} if value.get("role") == "system" else {name: part for name, part in value.items() if name not in _SHARED}
        for part in parts.values():
            yield from own(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from own(part)
    elif isinstance(value, str):
        yield value


def looked_for(texts: Iterable[str]) -> tuple[str, ...]:
    """What is looked for of these texts, each once: those that are long enough, of longer ones the beginning, as they may have been cut."""
    whole = (text for text in map(str.strip, texts) if len(text) >= LEAST)
    return tuple(dict.fromkeys(text[:BEGINNING].strip() if text[LEAST:BEGINNING].strip() else text for text in whole))


def spelled(texts: Iterable[str]) -> tuple[str, ...]:
    """The ways in which files and tables spell texts: as they are, and as JSON writes them with or without escapes."""
    ways = (text for each in texts for text in (json.dumps(each, ensure_ascii=False)[1:-1], each, json.dumps(each)[1:-1]))
    return tuple(dict.fromkeys(ways))


def encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    """The same, as bytes of a file."""
    return tuple(text.encode("utf-8", "surrogatepass") for text in spelled(texts))


def without(value: Any, texts: tuple[str, ...]) -> Any:
    """A JSON value in which each text that holds one of these is only said to be erased; names of fields too."""
    if isinstance(value, str):
        return ERASED if any(text in value for text in texts) else value
    if isinstance(value, Mapping):
        return {(ERASED if any(text in str(name) for text in texts) else name): without(part, texts) for name, part in value.items()}
    return [without(part, texts) for part in value] if isinstance(value, list | tuple) else value


def without_rows(value: Any, ids: frozenset[str]) -> Any:
    """A JSON value without the objects in lists that are about one of these items, by `id` or `item`."""
    if isinstance(value, Mapping):
        return {name: without_rows(part, ids) for name, part in value.items()}
    if not isinstance(value, list):
        return value
    return [without_rows(part, ids) for part in value if not _is_about(part, ids)]


def without_shown(value: Any) -> Any:
    """A JSON value without the rows that a model's manifest shows token by token: cut like that, no text is found in them."""
    if isinstance(value, Mapping):
        return {name: without_shown(part) for name, part in value.items() if name != SHOWN}
    return [without_shown(part) for part in value] if isinstance(value, list | tuple) else value


def _is_about(value: Any, ids: frozenset[str]) -> bool:
    named = (value.get("id"), value.get("item")) if isinstance(value, Mapping) else ()
    return any(isinstance(name, str) and name in ids for name in named)
