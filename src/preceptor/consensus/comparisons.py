"""Pairwise comparisons of options as validated columns of codes, and their comparison graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import lsqr

from preceptor.consensus.judgments import Codes, Floats, Integers, encode_column
from preceptor.errors import UserError

MAX_OPTIONS = 5000  # intervals need a table of options × options (200 MB)
OUTCOME_SIGNS = {"left": 1.0, "right": -1.0, "tie": 0.0}


class ComparisonCells(NamedTuple):
    """Distinct (left, right, outcome) cells and the number of comparisons in each; arrays of one length."""

    left: Codes
    right: Codes
    sign: Floats
    times: Floats


@dataclass(frozen=True, eq=False)
class PairwiseComparisons:
    """Comparisons of two options each, rows sorted by annotator.

    options, annotators: distinct ids, sorted; annotators is empty where none were given. left, right, annotator: codes, (rows,).
    sign: +1 left won, −1 right won, 0 tie. prompt: codes, None where none were given. missing: rows without a winner, left out.
    """

    options: tuple[Any, ...]
    annotators: tuple[Any, ...]
    left: Codes
    right: Codes
    sign: Floats
    annotator: Codes
    prompt: Codes | None
    missing: int

    @classmethod
    def from_columns(cls, left: Any, right: Any, winner: Any, annotator: Any, prompt: Any) -> PairwiseComparisons:
        """Build comparisons from columns as `fit_pairwise` takes them; raises UserError as documented there."""
        sign = _outcome_signs(winner)
        given = {"left": left, "right": right, "annotator": annotator, "prompt": prompt}
        _check_lengths(len(sign), {name: column for name, column in given.items() if column is not None})
        options, both = encode_column(_stack_sides(left, right), "left")
        sides = {"left": both[: len(sign)], "right": both[len(sign) :]}
        people, who = encode_column(annotator, "annotator") if annotator is not None else ((), np.zeros(len(sign), dtype=np.int32))
        prompts = encode_column(prompt, "prompt")[1] if prompt is not None else np.zeros(len(sign), dtype=np.int32)
        _check_rows(options, **sides, annotator=who, prompt=prompts)
        keep = np.flatnonzero(~np.isnan(sign))
        if not len(keep):
            raise UserError("no comparison has a winner", 'say "left", "right" or "tie"', where="winner")
        order = who[keep].astype(np.int64) * len(sign) + keep  # one integer: sorting that is several times faster than argsort
        order.sort()
        keep = order % len(sign)
        present, people_of_rows = np.unique(who[keep], return_inverse=True)  # only annotators with an answer, so that codes have no gaps
        people = tuple(people[p] for p in present) if people else ()
        shown = _dense_codes(prompts[keep]) if prompt is not None else None
        return cls(
            options,
            people,
            sides["left"][keep],
            sides["right"][keep],
            sign[keep],
            people_of_rows.astype(np.int32),
            shown,
            len(sign) - len(keep),
        )

    def __len__(self) -> int:
        return len(self.sign)

    @cached_property
    def clusters(self) -> dict[str, Codes]:
        """Codes of the dependent rows: by annotator and by prompt, where there are several; else each row is a cluster of its own."""
        ways = {"annotators": self.annotator, "prompts": self.prompt}
        several = {name: code for name, code in ways.items() if code is not None and code.min() < code.max()}
        alone = {"comparisons": np.arange(len(self), dtype=np.int32)} if len(self) > 1 else {}
        return several or alone

    @cached_property
    def cells(self) -> ComparisonCells:
        """Comparisons of one pair, in one order, with one outcome, by any annotator, as one cell with a count."""
        k = len(self.options)
        key = (self.left.astype(np.int64) * k + self.right) * 3 + (self.sign + 1).astype(np.int64)
        key, count = count_keys(key, 3 * k * k)
        left, right = np.divmod(key // 3, k)
        return ComparisonCells(left.astype(np.int32), right.astype(np.int32), np.asarray(key % 3 - 1.0), count)

    @cached_property
    def component_codes(self) -> Codes:
        """The component of the comparison graph that each option is in; options of two components can't be compared."""
        graph = self._graph(self.cells.left, self.cells.right)
        return np.asarray(connected_components(graph, directed=False)[1])

    def _graph(self, start: Codes, end: Codes) -> sparse.coo_array:
        return sparse.coo_array((np.ones(len(start)), (start, end)), shape=(len(self.options),) * 2)

    def order_is_separable(self) -> bool:
        """Return whether order bias can be told from strength.

        False where there are strengths under which the left option is better by the same amount in each comparison.
        """
        left, right, rows = self.cells.left, self.cells.right, np.arange(len(self.cells.left))
        side = np.repeat([1.0, -1.0], len(rows))
        design = sparse.csr_array((side, (np.tile(rows, 2), np.concatenate([left, right]))), shape=(len(rows), len(self.options)))
        residual = float(lsqr(design, np.ones(len(rows)), atol=1e-12, btol=1e-12)[3])
        return residual > 1e-6 * float(np.sqrt(len(rows)))

    def notes(self) -> list[str]:
        """Return notes on the graph: components that can't be compared, and options whose strength only the prior keeps finite."""
        k = len(self.options)
        left, right, sign, _ = self.cells
        won, lost = np.where(sign >= 0, left, right), np.where(sign >= 0, right, left)
        won, lost = np.concatenate([won, right[sign == 0]]), np.concatenate([lost, left[sign == 0]])  # a tie is both
        strong, parts = connected_components(self._graph(won, lost), connection="strong")[0], int(self.component_codes.max()) + 1
        said = [f"{self.missing} comparisons without a winner are left out"] * (self.missing > 0)
        said += [f"the options fall into {parts} groups that were never compared with each other; see `components`"] * (parts > 1)
        if strong > parts:
            one_sided = (np.bincount(lost, minlength=k) == 0) | (np.bincount(won, minlength=k) == 0)
            always = [repr(self.options[o]) for o in np.flatnonzero(one_sided)[:5]]
            example = f" (such as {', '.join(always)})" if always else ""
            said.append(f"some options won or lost always against the others{example}: only the prior keeps their distance finite")
        return said


def count_keys(key: Integers, size: int) -> tuple[Integers, Floats]:
    """Return the distinct keys below `size`, sorted, and how often each occurs."""
    if size > 4 * len(key):
        found, count = np.unique(key, return_counts=True)
        return found, count.astype(np.float64)
    table = np.bincount(key, minlength=size)  # a table of all keys is cheaper than a sort
    found = np.flatnonzero(table)
    return found, table[found].astype(np.float64)


def _outcome_signs(winner: Any) -> Floats:
    if getattr(winner, "dtype", np.dtype(object)).kind == "U":
        left, right, tie = (np.asarray(winner) == name for name in OUTCOME_SIGNS)
        if (left | right | tie).all():
            return np.asarray(left.astype(np.float64) - right)
    values = winner.tolist() if hasattr(winner, "tolist") else list(winner)
    signs = list(map(OUTCOME_SIGNS.get, values))
    missing = [row for row, sign in enumerate(signs) if sign is None]
    for row in missing:
        if not (values[row] is None or values[row] != values[row]):
            raise UserError(f"winner {values[row]!r} is unknown", 'say "left", "right" or "tie"', where=f"row {row + 1}")
    return np.asarray(signs, dtype=np.float64)  # None becomes NaN


def _stack_sides(left: Any, right: Any) -> Any:
    """Return both columns as one, so that they share their codes."""
    if all(getattr(side, "dtype", np.dtype(object)).kind in "iu" for side in (left, right)):
        return np.concatenate([np.asarray(left), np.asarray(right)])
    return [*(left.tolist() if hasattr(left, "tolist") else left), *(right.tolist() if hasattr(right, "tolist") else right)]


def _dense_codes(code: Codes) -> Codes:
    return np.unique(code, return_inverse=True)[1].astype(np.int32)


def _check_lengths(rows: int, columns: dict[str, Any]) -> None:
    wrong = {name: len(column) for name, column in columns.items() if len(column) != rows}
    if wrong:
        told = ", ".join(f"{name} {length}" for name, length in wrong.items())
        raise UserError(f"columns differ in length: winner {rows}, {told}", "give one left, right and winner a row")
    if not rows:
        raise UserError("there are no comparisons", "give at least one row of left, right and winner")


def _check_rows(options: tuple[Any, ...], **columns: Codes) -> None:
    for name, code in columns.items():
        if code.min() < 0:
            raise UserError(f"the {name} is missing", f"every row needs its {name}", where=f"row {int(np.argmax(code < 0)) + 1}")
    same = columns["left"] == columns["right"]
    if same.any():
        row = int(np.argmax(same))
        raise UserError(f"option {options[columns['left'][row]]!r} is compared with itself", "leave the row out", where=f"row {row + 1}")
    if len(options) > MAX_OPTIONS:
        raise UserError(f"{len(options)} options are too many", f"compare {MAX_OPTIONS} at most in one call", where="left")
