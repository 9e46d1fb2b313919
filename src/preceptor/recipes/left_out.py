"""Rows that a recipe doesn't train on, in words: how many for each reason, and the first of them by their ids.

Each kind of row has reasons of its own, so that their words, by reason, come from who leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

NAMED = 20  # rows that are called by their ids


def told_reasons(counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    """Counts by reason, in words."""
    return "; ".join(f"{count:,} × {words[reason]}" for reason, count in sorted(counts.items()))


def named(left_out: Iterable[tuple[str, str, str]], words: Mapping[str, str]) -> list[dict[str, Any]]:
    """The first `NAMED` of the rows, each a split, an id and a reason."""
    return [{"split": split, "id": id_, "reason": reason, "words": words[reason]} for split, id_, reason in islice(left_out, NAMED)]
