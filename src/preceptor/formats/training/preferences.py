"""Rows of what was asked with two responses, of which somebody preferred the first; or with one that somebody liked or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preceptor.formats.interchange import judgment
from preceptor.formats.training.turns import Turn, is_plain
from preceptor.formats.training.verdicts import PREFERRED, THUMBS


def content_of(turns: Sequence[Turn]) -> dict[str, Any]:
    """What was asked: a `prompt` where it is one plain turn of the user, else `messages`."""
    if len(turns) == 1 and is_plain(turns[0], "user"):
        return {"prompt": turns[0]["content"]}
    return {"messages": list(turns)}


def answered(turns: Sequence[Turn]) -> dict[str, Any]:
    """What was asked and answered: `prompt` and `completion` where each is one plain turn, else `messages`."""
    if len(turns) == 2 and is_plain(turns[0], "user") and is_plain(turns[1], "assistant"):
        return {"prompt": turns[0]["content"], "completion": turns[1]["content"]}
    return {"messages": list(turns)}


def preference(better: str, worse: str) -> dict[str, Any]:
    """Two responses, and the judgment that the first is better."""
    said = judgment(PREFERRED, "compare", {"winner": 0, "order": None, "reasons": ""})
    return {"responses": [better, worse], "judgments": [said]}


def liked(good: bool) -> dict[str, Any]:
    """The judgment of a completion: up or down."""
    return {"judgments": [judgment(THUMBS, "choice", "up" if good else "down")]}
