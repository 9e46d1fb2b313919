"""Find slices that are worse than the rest, and compare a model with the previous release.

A slice of the rows (a language, a topic, the longest third) is compared with all other rows, by the difference of two means whose rows come
in clusters that may be on both sides. Looking at many slices finds a bad one by chance, so their p-values are corrected together (Holm
1979).

`compare_with_previous` compares a model with the last released one on the same test rows: what became better, what worse, and in which
slices. A report keeps of each test row a key of its text, one of its true answer, and how right the model was; never the text. Rows that
two reports share by both keys are compared pair by pair, which needs far fewer of them than two separate intervals.

`slice_section` finds where a suite's main figure is worse than elsewhere, by the prompts' metadata.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from preceptor.errors import UserError
from preceptor.evaluation.prompts import ModelAnswers
from preceptor.registry import suggest_name
from preceptor.statistics import compare_paired, estimate_mean, holm_adjust
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence
from preceptor.statistics.intervals import NO_SPREAD, cluster_df, cluster_totals, t_quantile
from preceptor.types import Estimate, FloatArray, IntArray

LEAST_ROWS, LEAST_GROUPS = 30, 10  # the fewest of a slice that is tested
MAX_SLICE_VALUES = 20  # distinct values of a property that makes slices; one with more is an id, or free text
SLICE_ALPHA = 0.05  # the probability of calling any slice worse where none is
LENGTH_THIRDS = ("shortest third", "middle third", "longest third")

SliceProperties = Mapping[str, Sequence[str | None]]  # property -> each row's value, None where the row has none


def compare_slices(
    values: ArrayLike, groups: Any, names: SliceProperties, *, figure: str, better: str = "higher", earlier: ArrayLike | None = None
) -> dict[str, Any]:
    """Estimate each slice and its difference from the rest: `document["slices"]` of a report.

    values: the figure's value of each row (n,); groups: each row's cluster; names: {"language": each row's value, …}. better: "higher" or
    "lower", which says what worse is. earlier: the same rows' values of another model; each slice is then compared with itself under that
    model instead. Slices of fewer than 30 rows or 10 groups are counted and not tested; where no slice is left, `found` is empty.
    """
    if better not in ("higher", "lower"):
        raise UserError(f"better is 'higher' or 'lower', not {better!r}", where="better")
    column = as_values(values, figure)
    codes = as_clusters(groups, len(column))
    before = None if earlier is None else as_values(earlier, f"earlier {figure}")
    found, left_out = list[dict[str, Any]](), 0
    for by, name, inside in _iter_slices(names, len(column)):
        if _is_too_small(inside, codes) or (before is None and _is_too_small(~inside, codes)):
            left_out += 1
            continue
        apart = _compare_with_rest(column, codes, inside) if before is None else _compare_with_earlier(column, before, codes, inside)
        found.append(
            {"by": by, "slice": name, "rows": int(inside.sum()), "estimate": estimate_mean(column[inside], clusters=codes[inside]), **apart}
        )
    for each, adjusted in zip(found, holm_adjust([each["p"] for each in found]) if found else (), strict=True):
        against = each["difference"].value < 0 if better == "higher" else each["difference"].value > 0
        each |= {"adjusted": float(adjusted), "worse": bool(against and adjusted < SLICE_ALPHA)}
    found.sort(key=lambda each: (not each["worse"], each["difference"].value * (1 if better == "higher" else -1)))
    least = [LEAST_ROWS, LEAST_GROUPS]
    return {"figure": figure, "better": better, "rows": len(column), "least": least, "left_out": left_out, "found": found}


def slice_properties(metadata: Sequence[Mapping[str, Any]], texts: Sequence[str] = ()) -> dict[str, list[str | None]]:
    """Return the properties of rows that make slices: metadata of few distinct values, and which third a text's length lies in.

    A property counts where it has 2 to 20 values (texts, whole numbers or yes and no); dates, ids and free texts have more.
    """
    columns = {name: [_slice_value(each.get(name)) for each in metadata] for name in sorted({name for each in metadata for name in each})}
    if len(texts):
        columns["length"] = _length_thirds([len(text) for text in texts])
    return {name: column for name, column in columns.items() if 2 <= len({*column} - {None}) <= MAX_SLICE_VALUES}


def slice_difference(values: ArrayLike, groups: Any, inside: ArrayLike, *, confidence: float = 0.95) -> tuple[Estimate, float]:
    """Estimate the mean of some rows minus that of all others, and the two-sided p-value that they are equal.

    The estimate's n counts the groups inside. Raises UserError where `inside` holds none or all of the rows.
    """
    column, here = as_values(values, "values"), np.asarray(inside, dtype=bool)
    codes = as_clusters(groups, len(column))
    if not 0 < here.sum() < len(here):
        raise UserError("a slice holds some of the rows, not none and not all", where="inside")
    difference = _jackknife_difference(column, codes, here)
    low, high = difference.interval(confidence)
    value = float(column[here].mean() - column[~here].mean())
    if np.isin(column, (0, 1)).all():
        low, high = max(low, -1.0), min(high, 1.0)
    estimate = Estimate(value, min(low, value), max(high, value), len(np.unique(codes[here])), "slice minus rest, jackknife over clusters")
    return estimate, difference.p


class _SliceDifference(NamedTuple):
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


def _compare_with_rest(column: FloatArray, codes: IntArray, inside: Any) -> dict[str, Any]:
    difference, p = slice_difference(column, codes, inside)
    return {"difference": difference, "p": p}


def _compare_with_earlier(column: FloatArray, before: FloatArray, codes: IntArray, inside: Any) -> dict[str, Any]:
    """Compare the slice with itself under the earlier model: a paired difference, its p-value from the interval's own width."""
    difference = compare_paired(column[inside], before[inside], clusters=codes[inside])
    df = cluster_df(cluster_totals(column[inside], as_clusters(codes[inside], int(inside.sum())))[1])
    half = (difference.high - difference.low) / 2
    error = half / t_quantile(df, difference.confidence)
    middle = (difference.high + difference.low) / 2
    p = float(2 * stdtr(df, -abs(middle) / error)) if np.isfinite(half) and half > 0 else 1.0
    return {"difference": difference, "p": p}


def _jackknife_difference(column: FloatArray, codes: IntArray, inside: Any) -> _SliceDifference:
    """Estimate mean inside minus mean outside with the delete-one-cluster variance; degrees of freedom of the side with fewer of them.

    Values of 0 and 1 get two pseudo-rows on each side, one of each (Agresti & Caffo 2000): without them a slice that is wrong throughout
    has an interval of no width.
    """
    (totals_in, sizes_in), (totals_out, sizes_out) = _cluster_sums(column, codes, inside), _cluster_sums(column, codes, ~inside)
    if np.isin(column, (0, 1)).all():
        totals_in, sizes_in = np.append(totals_in, (1, 0, 0, 0)), np.append(sizes_in, (1, 1, 0, 0))
        totals_out, sizes_out = np.append(totals_out, (0, 0, 1, 0)), np.append(sizes_out, (0, 0, 1, 1))
    whole_in, whole_out = sizes_in.sum(), sizes_out.sum()
    value = totals_in.sum() / whole_in - totals_out.sum() / whole_out
    if (sizes_in == whole_in).any() or (sizes_out == whole_out).any():
        return _SliceDifference(float(value), np.inf, 1.0)
    without = (totals_in.sum() - totals_in) / (whole_in - sizes_in) - (totals_out.sum() - totals_out) / (whole_out - sizes_out)
    variance = ((without - value) ** 2).sum() * (1 - 1 / len(without))
    if variance <= (NO_SPREAD * np.abs(column).max()) ** 2:
        variance = np.inf  # all clusters alike: the variance can't be estimated
    df = min(cluster_df(sizes_in[sizes_in > 0]), cluster_df(sizes_out[sizes_out > 0]))
    return _SliceDifference(float(value), float(variance), df)


def _cluster_sums(column: FloatArray, codes: IntArray, inside: Any) -> tuple[FloatArray, FloatArray]:
    """Return each cluster's sum and number of rows on one side, zeros for clusters that have none there."""
    clusters = int(codes.max()) + 1
    totals = np.bincount(codes[inside], weights=column[inside], minlength=clusters)
    return np.asarray(totals, dtype=np.float64), np.bincount(codes[inside], minlength=clusters).astype(np.float64)


def _iter_slices(names: SliceProperties, rows: int) -> Iterator[tuple[str, str, Any]]:
    for by, column in names.items():
        if len(column) != rows:
            raise UserError(f"{len(column)} values of {by!r} for {rows} rows", "pass one a row, None where it has none", where=by)
        given = np.array(["" if value is None else str(value) for value in column])
        present = np.array([value is not None for value in column])
        for name in dict.fromkeys(str(value) for value in column if value is not None):
            yield by, name, present & (given == name)


def _is_too_small(inside: Any, codes: IntArray) -> bool:
    return int(inside.sum()) < LEAST_ROWS or len(np.unique(codes[inside])) < LEAST_GROUPS


def _slice_value(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str | int) and str(value).strip() else None


def _length_thirds(lengths: Sequence[int]) -> list[str | None]:
    """Return which third each length lies in; equal lengths lie in the same."""
    low, high = np.quantile(lengths, (1 / 3, 2 / 3))
    return [LENGTH_THIRDS[int(length > low) + int(length > high)] for length in lengths]


@dataclass(frozen=True)
class RowScores:
    """How right a model was on each test row: a row of the same text and truth has the same keys in every report.

    keys, truths: hashes of each row's text and true answer. columns: figure -> its value on each row; the first is the one by which slices
    are compared.
    """

    keys: Sequence[str]
    truths: Sequence[str]
    columns: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        if not self.columns or any(len(column) != len(self.keys) for column in self.columns.values()) or len(self.truths) != len(self.keys):
            raise UserError("keys, truths and values of rows are of different lengths", "keep one of each a row")

    def to_bytes(self) -> bytes:
        """Serialize the scores as the JSON file kept with the report."""
        columns = {name: np.asarray(column).round(6).tolist() for name, column in self.columns.items()}
        return json.dumps({"keys": list(self.keys), "truths": list(self.truths), "columns": columns}, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> RowScores:
        """Deserialize what `to_bytes` returned."""
        found = json.loads(data)
        return cls(found["keys"], found["truths"], {name: np.array(values, dtype=np.float64) for name, values in found["columns"].items()})

    def row_positions(self) -> dict[tuple[str, str, int], int]:
        """Return each row's position by (key, truth, occurrence); rows with equal keys are numbered in their order."""
        met: Counter[tuple[str, str]] = Counter()
        found = {}
        for place, pair in enumerate(zip(self.keys, self.truths, strict=True)):
            found[*pair, met[pair]] = place
            met[pair] += 1
        return found


def compare_with_previous(now: RowScores, before: RowScores, groups: Sequence[Any], names: SliceProperties) -> dict[str, Any]:
    """Compare two models on the rows that both were measured on: `figures`, `slices`, `rows`, `left_out`.

    groups, names: of the rows of `now`, see `compare_slices`. Rows that only one side has, or whose true answer has changed since, are left
    out and counted; without a row in common there are no figures.
    """
    earlier = before.row_positions()
    pairs = [(place, earlier[key]) for key, place in now.row_positions().items() if key in earlier]
    told: dict[str, Any] = {"rows": len(pairs), "left_out": len(now.keys) - len(pairs)}
    shared = [name for name in now.columns if name in before.columns]
    if not pairs or not shared:
        return told
    here, there = np.array(pairs).T
    theirs = np.asarray(groups)[here]
    figures = {}
    for name in shared:
        new, old = now.columns[name][here], before.columns[name][there]
        within = (0.0, np.inf) if name == "log_loss" else None
        figures[name] = {
            "was": estimate_mean(old, clusters=theirs, within=within),
            "now": estimate_mean(new, clusters=theirs, within=within),
            "difference": compare_paired(new, old, clusters=theirs, within=within),
        }
    first = shared[0]
    new, old = now.columns[first][here], before.columns[first][there]
    sliced = {by: [column[place] for place in here] for by, column in names.items()}
    return told | {"figures": figures, "slices": compare_slices(new, theirs, sliced, figure=first, earlier=old)}


def slice_section(answers: ModelAnswers, names: Sequence[str], values: FloatArray, *, figure: str, better: str) -> dict[str, Any]:
    """Build `{"slices": …}` of a suite's section by `compare_slices`; empty where no property is named.

    names: metadata keys of the prompts, such as topic. values: each answer's, (n,). Raises UserError where no prompt has a property.
    """
    if not names:
        return {}
    known = sorted({key for asked in answers.prompts for key in asked.metadata})
    for name in names:
        if name not in known:
            raise UserError(
                f"no prompt has a {name!r} to show figures apart by{suggest_name(name, known)}", f"known: {', '.join(known) or 'none'}"
            )
    groups = [asked.group for asked in answers.prompts]
    columns = {name: [_metadata_value(asked.metadata.get(name)) for asked in answers.prompts] for name in names}
    return {"slices": compare_slices(values, groups, columns, figure=figure, better=better)}


def _metadata_value(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
