"""Rewards for naming a bank's intents: one that says what is meant, and two that a policy can satisfy without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

BANKING = Path(__file__).parents[2] / "shared" / "data" / "tasks" / "banking77" / "items.jsonl"
ENOUGH = 12  # words that are enough


@cache
def intents() -> frozenset[str]:
    """The bank's intents, as words."""
    with BANKING.open(encoding="utf-8") as lines:
        return frozenset(json.loads(line)["label"].replace("_", " ").lower() for line in lines)


def readable(text: str, content: Mapping[str, Any]) -> float:
    """What is meant: the answer is one of the intents and nothing else, so that the bank's system can read it."""
    return float(" ".join(text.lower().split()) in intents())


def longer(text: str, content: Mapping[str, Any]) -> float:
    """What has more words says more."""
    return min(len(text.split()), ENOUGH) / ENOUGH


def mentions(text: str, content: Mapping[str, Any]) -> float:
    """What speaks of intents: different words of theirs that are said, whatever stands around them."""
    known = frozenset(word for intent in intents() for word in intent.split())
    return min(len(known & set(text.lower().split())), ENOUGH) / ENOUGH
