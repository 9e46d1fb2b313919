"""Who rates higher or lower than others, keeps to the middle of a scale, or marks longer passages: differences that have a size.

A rating is taken as what the item has plus what the person adds (two-way layout, fitted by turns); the person in the middle adds
nothing, so that one biased person accuses nobody else. Where answers are known, they stand for what the item has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from preceptor.aggregation.judgments import encode
from preceptor.curation.chance import benjamini_hochberg, check_level
from preceptor.curation.disagreements import Disagreement, Disagreements, share_words
from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics import proportion
from preceptor.statistics.clusters import t_quantile
from preceptor.statistics.inputs import as_values

_TURNS = 60
_ROUNDING = 1e-6
_FEWEST = 5  # judgments of a person that are compared


@dataclass(frozen=True, eq=False)
class Measured:
    """One quantity of judgments: who, what it is about and the value, each (rows,); known: of each thing, NaN where it isn't.

    items: of each row, as they are called. kind: as of `Disagreement`. less, more: what somebody does who is below or above others.
    unit: of the size, in words.
    """

    kind: str
    who: IntArray
    thing: IntArray
    value: FloatArray
    known: FloatArray
    items: Sequence[Any]
    less: str
    more: str
    unit: str


@dataclass(frozen=True, eq=False)
class _Offsets:
    """Of each person: what they add, its standard error, judgments compared; and each row's difference, NaN where none."""

    size: FloatArray
    error: FloatArray
    count: IntArray
    difference: FloatArray

    @property
    def p(self) -> FloatArray:
        """Two-sided, of no difference: by t, or by signs where every difference is the same; 1 where too little is known."""
        spread = self.error > _ROUNDING
        by_t = 2 * stdtr(np.maximum(self.count - 1, 1), -np.abs(self.size) / np.where(spread, self.error, 1))
        by_signs = np.where(np.abs(self.size) > _ROUNDING, 2.0 ** (1 - self.count), 1.0)
        return np.asarray(np.where(self.count >= _FEWEST, np.where(spread, by_t, by_signs), 1.0))


def rating_biases(
    annotator: Sequence[Any],
    item: Sequence[Any],
    value: ArrayLike,
    *,
    gold: Mapping[Any, float] | None = None,
    groups: Mapping[Any, str] | None = None,
    level: float = 0.05,
) -> Disagreements:
    """Who rates higher or lower than others (bias), and who goes less or further from the middle of the scale than they (scale).

    value: ratings, or the numbers of ordered answers. gold: known ratings by item. UserError for a value that isn't a number.
    """
    people, who_code = encode(annotator, "annotator")
    items, item_code = encode(item, "item")
    who, thing = who_code.astype(np.int64), item_code.astype(np.int64)
    values = as_values(value, "value")
    known = np.array([np.nan if not gold or name not in gold else float(gold[name]) for name in items])
    names = [items[code] for code in thing]
    bias = Measured("bias", who, thing, values, known, names, "rates lower than others", "rates higher than others", "points")
    own = offsets(bias, len(people)).size
    middle = float(np.median(values))
    from_middle = np.abs(values - own[who] - middle)
    scale = Measured(
        "scale", who, thing, from_middle, np.abs(known - middle), names,
        "keeps nearer the middle of the scale than others", "goes further from the middle of the scale than others", "points",
    )  # fmt: skip
    return compared([bias, scale], people, groups, level)


def compared(measured: Sequence[Measured], people: Sequence[Any], groups: Mapping[Any, str] | None, level: float) -> Disagreements:
    """Every person's and group's size of each quantity against none, what stays at `level` over all."""
    check_level(level)
    found: list[tuple[float, Disagreement]] = []
    tests = 0
    for each in measured:
        own = offsets(each, len(people))
        tests += int((own.count >= _FEWEST).sum())
        found += [(float(p), _of_person(each, own, code, people[code])) for code, p in enumerate(own.p) if p < 1]
        for name, members in _members(people, groups):
            p, told = _of_group(each, own, name, members)
            tests += 1
            found += [(p, told)] if told is not None else []
    adjusted = benjamini_hochberg([p for p, _ in found], tests)
    kept = [_with_p(told, float(p)) for (_, told), p in zip(found, adjusted, strict=True) if p <= level]
    return Disagreements(tuple(sorted(kept, key=lambda told: (told.p, -told.count))), tests, level)


def offsets(measured: Measured, people: int) -> _Offsets:
    """What each person adds, by turns with what each thing has, the median person adding nothing where nothing is known."""
    who, thing, value = measured.who, measured.thing, measured.value
    answered = np.bincount(thing, minlength=len(measured.known))[thing]
    fixed = np.isfinite(measured.known)[thing]
    used = fixed | (answered > 1)
    who, thing, value, fixed, answered = who[used], thing[used], value[used], fixed[used], answered[used]
    count = np.bincount(who, minlength=people)
    size, level = np.zeros(people), np.where(np.isfinite(measured.known), measured.known, 0.0)
    free = np.bincount(thing, minlength=len(level))
    for _ in range(_TURNS):
        mean = np.bincount(thing, value - size[who], len(level)) / np.maximum(free, 1)
        level = np.where(np.isfinite(measured.known), measured.known, mean)
        turned = np.bincount(who, value - level[thing], people) / np.maximum(count, 1)
        if not fixed.any() and count.any():
            turned = np.where(count > 0, turned - np.median(turned[count > 0]), 0.0)
        moved, size = np.abs(turned - size).max(initial=0.0), turned
        if moved < 1e-9:
            break
    left = value - level[thing] - size[who]
    # what the others of a thing leave open counts as well: of m people, (1 − 1/m) of a person's noise is left, and 1/(1 − 1/m) is meant
    widened = left**2 * np.where(fixed, 1.0, (answered / np.maximum(answered - 1, 1)) ** 2)
    variance = np.bincount(who, widened, people) / np.maximum(count - 1, 1)
    difference = np.full(len(used), np.nan)
    difference[used] = value - level[thing]
    return _Offsets(size, np.sqrt(variance / np.maximum(count, 1)), count, difference)


def _of_person(measured: Measured, own: _Offsets, code: int, name: Any) -> Disagreement:
    rows = np.flatnonzero((measured.who == code) & np.isfinite(own.difference))
    half = t_quantile(float(max(own.count[code] - 1, 1)), 0.95) * float(own.error[code])
    size = Estimate(
        float(own.size[code]), float(own.size[code]) - half, float(own.size[code]) + half, int(own.count[code]), "t, two-way layout"
    )
    return _told(measured, own, rows, str(name), size, is_group=False)


def _of_group(measured: Measured, own: _Offsets, name: str, members: IntArray) -> tuple[float, Disagreement | None]:
    """Welch's t of the members' sizes against other people's; nothing for fewer than two on a side."""
    known = own.count >= _FEWEST
    here, there = own.size[members[known[members]]], own.size[np.setdiff1d(np.flatnonzero(known), members)]
    if min(len(here), len(there)) < 2:
        return 1.0, None
    parts = [side.var(ddof=1) / len(side) for side in (here, there)]
    error = float(np.sqrt(sum(parts)))
    if error == 0:
        return 1.0, None
    free = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (here, there), strict=True) if part)
    gap = float(here.mean() - there.mean())
    half = t_quantile(float(free), 0.95) * error
    rows = np.flatnonzero(np.isin(measured.who, members) & np.isfinite(own.difference))
    size = Estimate(gap, gap - half, gap + half, len(here), "Welch's t between people")
    return float(2 * stdtr(free, -abs(gap) / error)), _told(measured, own, rows, name, size, is_group=True)


def _told(measured: Measured, own: _Offsets, rows: IntArray, name: str, size: Estimate, *, is_group: bool) -> Disagreement:
    side = np.sign(size.value)
    off = own.difference[rows] * side
    shows, counted = rows[off > 1e-9], int((np.abs(off) > 1e-9).sum())
    elsewhere = np.delete(own.difference, rows) * side
    elsewhere = elsewhere[np.isfinite(elsewhere) & (np.abs(elsewhere) > 1e-9)]
    usual = float((elsewhere > 0).mean()) if len(elsewhere) else 0.5
    share = proportion(len(shows), max(counted, 1))
    ends = sorted((abs(size.low), abs(size.high))) if size.low * size.high > 0 else (0.0, max(abs(size.low), abs(size.high)))
    does = measured.more if side > 0 else measured.less
    who = f"the group {name!r}" if is_group else name
    words = (
        f"{who} {does}, by {abs(size.value):.2g} {measured.unit} ({ends[0]:.2g} to {ends[1]:.2g}): "
        f"{share_words(len(shows), counted, share, usual)}"
    )
    items = tuple(dict.fromkeys(measured.items[row] for row in shows.tolist()))
    return Disagreement(name, is_group, measured.kind, does, "", len(shows), counted, share, usual, 1.0, items, words, size)


def _with_p(told: Disagreement, p: float) -> Disagreement:
    return replace(told, p=p)


def _members(people: Sequence[Any], groups: Mapping[Any, str] | None) -> list[tuple[str, IntArray]]:
    by_name: dict[str, list[int]] = {}
    for code, who in enumerate(people):
        if groups and who in groups:
            by_name.setdefault(str(groups[who]), []).append(code)
    if any(len(members) == 0 for members in by_name.values()):
        raise UserError("a group without people can't be compared", where="groups")
    return [(name, np.array(members, dtype=np.int64)) for name, members in sorted(by_name.items()) if len(members) > 1]
