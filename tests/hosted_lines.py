"""Rows of a training file in OpenAI's form, about colours, that a tiny model can learn."""

from __future__ import annotations

import json

LABELS = ("red cat", "blue dog", "green bird")
WORDS = ["moon", "star", "sun", "cat", "dog", "bird", "one", "two", "three", "fine", "thanks", "today"]


def line(number: int, **changes) -> dict:
    """A row of a training file."""
    words = " ".join(WORDS[(number * step + step) % len(WORDS)] for step in (1, 5, 7, 11))
    turns = [
        {"role": "system", "content": "Say which."},
        {"role": "user", "content": f"{LABELS[number % 3].split()[0]} {words} {number * 7919}"},
        {"role": "assistant", "content": LABELS[number % 3]},
    ]
    return {"messages": turns, **changes}


def lines(begin: int, end: int, *more: object) -> bytes:
    rows = [*(line(number) for number in range(begin, end)), *more]
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
