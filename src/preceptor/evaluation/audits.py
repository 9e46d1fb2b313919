"""Which responses people look at, and when: a random sample that grows by planned steps, and an interval that holds at each.

After a step the interval may have decided what is asked, and then no more people are. Looking often would make one of the looks
right by chance; so the looks are planned beforehand, few, and share the error that the confidence allows (`at_look`): all planned
intervals hold together at the confidence named. Nobody chooses who is in the sample: it is a hash's order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

FIRST = 50  # responses at the first look; each further look has twice as many
LOOKS = 4


@dataclass(frozen=True, slots=True)
class Look:
    """One planned look: the responses seen by then, and its place among all looks, from 1."""

    size: int
    number: int
    of: int


def planned(responses: int, *, first: int = FIRST, looks: int = LOOKS) -> tuple[Look, ...]:
    """The looks at so many responses: `first`, then twice as many each time; the last has all of them where they are fewer."""
    sizes = [first * 2**step for step in range(looks) if first * 2**step < responses]
    if len(sizes) < looks:
        sizes.append(responses)
    return tuple(Look(size, number, len(sizes)) for number, size in enumerate(sizes, start=1))


def drawn(ids: Sequence[str], seed: str) -> list[int]:
    """All rows in the order in which they come into the sample: its first n are a simple random sample of every size n.

    By a hash of seed and id, so that the sample is the same whenever it is drawn, and a smaller one is part of a larger.
    """
    return sorted(range(len(ids)), key=lambda row: (hashlib.sha256(f"{seed}/{ids[row]}".encode()).digest(), row))
