"""Slices of the rows (a language, a topic, the longest third) that are worse than the rest, tested together.

A slice is compared with all other rows, by the difference of two means whose rows come in clusters that may stand on both
sides. Looking at many slices finds a bad one by chance, so that their p-values are corrected together (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics import compare_paired, holm, mean
from preceptor.statistics.clusters import NO_SPREAD, cluster_df, cluster_totals, t_quantile
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence

LEAST_ROWS, LEAST_GROUPS = 30, 10  # of a slice that is tested
MOST_NAMES = 20  # distinct values of a property that makes slices; one with more is an id, or free text
CHANCE = 0.05  # of calling any slice worse where none is
LENGTHS = ("shortest third", "middle third", "longest third")

Names = Mapping[str, Sequence[str | None]]  # property -> each row's value, None where the row has none


def slices(
    values: ArrayLike, groups: Any, names: Names, *, figure: str, better: str = "higher", earlier: ArrayLike | None = None
) -> dict[str, Any]:
    """How good each slice is and how far from the rest: `document["slices"]` of a report.

    values: the figure's value of each row (n,); groups: each row's cluster; names: {"language": each row's value, …}.
    better: "higher" or "lower", which says what worse is. earlier: the same rows' values of another model, in whose stead each
    slice is then compared with itself.
    Slices of fewer than 30 rows or 10 groups are counted and not tested; where no slice is left, `found` is empty.
    """
    if better not in ("higher", "lower"):
        raise UserError(f"better is 'higher' or 'lower', not {better!r}", where="better")
    column = as_values(values, figure)
    codes = as_clusters(groups, len(column))
    before = None if earlier is None else as_values(earlier, f"earlier {figure}")
    found, left_out = list[dict[str, Any]](), 0
    for by, name, inside in _slices(names, len(column)):
        if _is_too_small(inside, codes) or (before is None and _is_too_small(~inside, codes)):
            left_out += 1
            continue
        apart = _apart(column, codes, inside) if before is None else _changed(column, before, codes, inside)
        found.append(
            {"by": by, "slice": name, "rows": int(inside.sum()), "estimate": mean(column[inside], clusters=codes[inside]), **apart}
        )
    for each, adjusted in zip(found, holm([each["p"] for each in found]) if found else (), strict=True):
        against = each["difference"].value < 0 if better == "higher" else each["difference"].value > 0
        each |= {"adjusted": float(adjusted), "worse": bool(against and adjusted < CHANCE)}
    found.sort(key=lambda each: (not each["worse"], each["difference"].value * (1 if better == "higher" else -1)))
    least = [LEAST_ROWS, LEAST_GROUPS]
    return {"figure": figure, "better": better, "rows": len(column), "least": least, "left_out": left_out, "found": found}


def slice_names(metadata: Sequence[Mapping[str, Any]], texts: Sequence[str] = ()) -> dict[str, list[str | None]]:
    """The properties of rows that make slices: metadata of few distinct values, and which third a text's length lies in.

    A property counts where it has 2 to 20 values (texts, whole numbers or yes and no); dates, ids and free texts have more.
    """
    columns = {name: [_named(each.get(name)) for each in metadata] for name in sorted({name for each in metadata for name in each})}
    if len(texts):
        columns["length"] = _thirds([len(text) for text in texts])
    return {name: column for name, column in columns.items() if 2 <= len({*column} - {None}) <= MOST_NAMES}


def difference_of_slice(values: ArrayLike, groups: Any, inside: ArrayLike, *, confidence: float = 0.95) -> tuple[Estimate, float]:
    """The mean of some rows minus that of all others, and the two-sided p-value that they are the same; n counts groups inside."""
    column, here = as_values(values, "values"), np.asarray(inside, dtype=bool)
    codes = as_clusters(groups, len(column))
    if not 0 < here.sum() < len(here):
        raise UserError("a slice holds some of the rows, not none and not all", where="inside")
    difference = _difference(column, codes, here)
    low, high = difference.interval(confidence)
    value = float(column[here].mean() - column[~here].mean())
    if np.isin(column, (0, 1)).all():
        low, high = max(low, -1.0), min(high, 1.0)
    estimate = Estimate(value, min(low, value), max(high, value), len(np.unique(codes[here])), "slice minus rest, jackknife over clusters")
    return estimate, difference.p


class _Difference(NamedTuple):
    value: float
    variance: float
    df: float

    def interval(self, confidence: float) -> tuple[float, float]:
        half = t_quantile(self.df, check_confidence(confidence)) * float(np.sqrt(self.variance))
        return self.value - half, self.value + half

    @property
    def p(self) -> float:
        if not np.isfinite(self.variance) or self.variance <= 0:
            return 1.0
        return float(2 * stdtr(self.df, -abs(self.value) / np.sqrt(self.variance)))


def _apart(column: FloatArray, codes: IntArray, inside: Any) -> dict[str, Any]:
    difference, p = difference_of_slice(column, codes, inside)
    return {"difference": difference, "p": p}


def _changed(column: FloatArray, before: FloatArray, codes: IntArray, inside: Any) -> dict[str, Any]:
    """The slice beside what it was: a paired difference, its p-value from the interval's own width."""
    difference = compare_paired(column[inside], before[inside], clusters=codes[inside])
    df = cluster_df(cluster_totals(column[inside], as_clusters(codes[inside], int(inside.sum())))[1])
    half = (difference.high - difference.low) / 2
    error = half / t_quantile(df, difference.confidence)
    middle = (difference.high + difference.low) / 2
    p = float(2 * stdtr(df, -abs(middle) / error)) if np.isfinite(half) and half > 0 else 1.0
    return {"difference": difference, "p": p}


def _difference(column: FloatArray, codes: IntArray, inside: Any) -> _Difference:
    """Mean inside minus mean outside with the delete-one-cluster variance; degrees of freedom of the side with fewer of them.

    Right-or-wrong values get two made-up rows on each side, one right and one wrong (Agresti & Caffo 2000): without them a
    slice that is wrong throughout has an interval of no width.
    """
    (totals_in, sizes_in), (totals_out, sizes_out) = _side(column, codes, inside), _side(column, codes, ~inside)
    if np.isin(column, (0, 1)).all():
        totals_in, sizes_in = np.append(totals_in, (1, 0, 0, 0)), np.append(sizes_in, (1, 1, 0, 0))
        totals_out, sizes_out = np.append(totals_out, (0, 0, 1, 0)), np.append(sizes_out, (0, 0, 1, 1))
    whole_in, whole_out = sizes_in.sum(), sizes_out.sum()
    value = totals_in.sum() / whole_in - totals_out.sum() / whole_out
    if (sizes_in == whole_in).any() or (sizes_out == whole_out).any():
        return _Difference(float(value), np.inf, 1.0)
    without = (totals_in.sum() - totals_in) / (whole_in - sizes_in) - (totals_out.sum() - totals_out) / (whole_out - sizes_out)
    variance = ((without - value) ** 2).sum() * (1 - 1 / len(without))
    if variance <= (NO_SPREAD * np.abs(column).max()) ** 2:
        variance = np.inf  # all clusters alike: nothing to judge chance by
    df = min(cluster_df(sizes_in[sizes_in > 0]), cluster_df(sizes_out[sizes_out > 0]))
    return _Difference(float(value), float(variance), df)


def _side(column: FloatArray, codes: IntArray, inside: Any) -> tuple[FloatArray, FloatArray]:
    """Each cluster's sum and number of rows on one side, zeros for clusters that have none there."""
    clusters = int(codes.max()) + 1
    totals = np.bincount(codes[inside], weights=column[inside], minlength=clusters)
    return np.asarray(totals, dtype=np.float64), np.bincount(codes[inside], minlength=clusters).astype(np.float64)


def _slices(names: Names, rows: int) -> Iterator[tuple[str, str, Any]]:
    for by, column in names.items():
        if len(column) != rows:
            raise UserError(f"{len(column)} values of {by!r} for {rows} rows", "pass one a row, None where it has none", where=by)
        given = np.array(["" if value is None else str(value) for value in column])
        present = np.array([value is not None for value in column])
        for name in dict.fromkeys(str(value) for value in column if value is not None):
            yield by, name, present & (given == name)


def _is_too_small(inside: Any, codes: IntArray) -> bool:
    return int(inside.sum()) < LEAST_ROWS or len(np.unique(codes[inside])) < LEAST_GROUPS


def _named(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str | int) and str(value).strip() else None


def _thirds(lengths: Sequence[int]) -> list[str | None]:
    """Which third each length lies in; equal lengths lie in the same."""
    low, high = np.quantile(lengths, (1 / 3, 2 / 3))
    return [LENGTHS[int(length > low) + int(length > high)] for length in lengths]
