"""Rewards of the kind that people write with good intentions, and that a policy can satisfy without doing what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONG = 20  # words that are enough


def longer(text: str, content: Mapping[str, Any], target: Mapping[str, float]) -> float:
    """What has more words says more."""
    return min(len(text.split()), LONG) / LONG


def mentions(text: str, content: Mapping[str, Any], target: Mapping[str, float]) -> float:
    """The share of the right answer's words that are said somewhere: whatever else is said costs nothing."""
    said, wanted = set(text.split()), set(next(iter(target)).split())
    return len(said & wanted) / len(wanted)
