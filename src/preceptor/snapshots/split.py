"""Train, validation and test, so that what belongs together stays on one side.

A group's side is a hash of its name: it stays where it is when items are added later, so that no model
is ever tested on what an earlier one was trained on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from preceptor.errors import UserError
from preceptor.snapshots.rows import SPLITS

SEEDS = 64  # tried in turn until every class is on every side
DEFAULT_FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def tie(groups: Sequence[str], clusters: Sequence[int]) -> list[str]:
    """Groups joined wherever a cluster (of duplicates) spans several: one name a row, the alphabetically first."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    first: dict[int, str] = {}
    for group, cluster in zip(groups, clusters, strict=True):
        one, other = sorted((root(group), root(first.setdefault(cluster, group))))
        parent[other] = one
    return [root(group) for group in groups]


def split(
    groups: Sequence[str],
    answers: Sequence[Collection[str]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
    rare: bool = False,
) -> tuple[list[str], int]:
    """The side of each row, and the seed used; `answers` (the top one of each row, or its labels) must all be on every side.

    Without a seed it is `earlier`, that of the snapshot before, whatever a side then lacks: no row may change its side. Without
    that too it is the first seed under which no side falls short of half its fraction. UserError names the class that can't be everywhere;
    with `rare` (among many labels some are) the seed is taken under which fewest are missing, in training fewest of all.
    """
    check_fractions(fractions)
    if seed is None and earlier is not None:
        return _sides(groups, earlier, fractions), earlier
    tried = [seed] if seed is not None else list(range(SEEDS))
    whole: tuple[list[str], int] | None = None
    for candidate in tried:
        sides = _sides(groups, candidate, fractions)
        if _missing(sides, answers, fractions):
            continue
        if candidate == seed or _balanced(sides, fractions):
            return sides, candidate
        whole = whole or (sides, candidate)
    if whole is not None:
        return whole
    if rare:
        return _fewest_missing(groups, answers, tried, fractions)
    side, answer = _missing(_sides(groups, tried[0], fractions), answers, fractions)[0]
    where = f"with seed {seed}" if seed is not None else f"with any of {SEEDS} seeds"
    distinct = len({group for group, said in zip(groups, answers, strict=True) if answer in said})
    raise UserError(
        f"no row of class {answer!r} in the {side} split {where}: its rows stand in {distinct} group{'s' if distinct != 1 else ''}",
        "judge more items of that class, split into fewer sides, or group items more finely",
    )


def check_fractions(fractions: Mapping[str, float]) -> None:
    """UserError unless the fractions name known splits, are positive for train, and sum to one."""
    if unknown := sorted(set(fractions) - set(SPLITS)):
        raise UserError(f"no split is called {unknown[0]!r}", f"splits: {', '.join(SPLITS)}")
    if min(fractions.values()) < 0 or fractions.get("train", 0) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise UserError(f"split fractions must be positive and sum to one, not {dict(fractions)}", "train=0.7 validation=0.15 test=0.15")


def _sides(groups: Sequence[str], seed: int, fractions: Mapping[str, float]) -> list[str]:
    side = {group: _side(group, seed, fractions) for group in set(groups)}
    return [side[group] for group in groups]


def _balanced(sides: Sequence[str], fractions: Mapping[str, float]) -> bool:
    found = Counter(sides)
    return all(found[side] >= fraction * len(sides) / 2 for side, fraction in fractions.items())


def _side(group: str, seed: int, fractions: Mapping[str, float]) -> str:
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "big") / 2**64
    for side in SPLITS:
        draw -= fractions.get(side, 0.0)
        if draw < 0:
            return side
    return SPLITS[0]  # the fractions fell short of one by a rounding


def _fewest_missing(
    groups: Sequence[str], answers: Sequence[Collection[str]], seeds: Sequence[int], fractions: Mapping[str, float]
) -> tuple[list[str], int]:
    def lack(seed: int) -> tuple[bool, int, int]:
        sides = _sides(groups, seed, fractions)
        missing = [side for side, _ in _missing(sides, answers, fractions)]
        return not _balanced(sides, fractions), missing.count("train"), len(missing)

    best = min(seeds, key=lack)
    return _sides(groups, best, fractions), best


def _missing(sides: Sequence[str], answers: Sequence[Collection[str]], fractions: Mapping[str, float]) -> list[tuple[str, str]]:
    present = {(side, answer) for side, said in zip(sides, answers, strict=True) for answer in said}
    wanted = [side for side in SPLITS if fractions.get(side, 0.0) > 0]
    every = sorted({answer for said in answers for answer in said})
    return [(side, answer) for side in wanted for answer in every if (side, answer) not in present]
