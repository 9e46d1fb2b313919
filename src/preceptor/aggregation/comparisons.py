"""Comparisons of two options as checked columns of codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import lsqr

from preceptor.aggregation.judgments import Codes, Floats, encode
from preceptor.errors import UserError

MOST_OPTIONS = 5000  # intervals need a table of options × options (200 MB)
OUTCOMES = {"left": 1.0, "right": -1.0, "tie": 0.0}


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Rows sorted by annotator. sign: +1 left won, −1 right won, 0 tie; missing: rows without a winner, left out.

    options, annotators: distinct ids, sorted. Without annotators or prompts, these are empty or None.
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
    def of(cls, left: Any, right: Any, winner: Any, annotator: Any, prompt: Any) -> Comparisons:
        """From columns as `pairwise` takes them; UserError for what it says there."""
        sign = _signs(winner)
        given = {"left": left, "right": right, "annotator": annotator, "prompt": prompt}
        _check_lengths(len(sign), {name: column for name, column in given.items() if column is not None})
        options, both = encode(_stacked(left, right), "left")
        sides = {"left": both[: len(sign)], "right": both[len(sign) :]}
        people, who = encode(annotator, "annotator") if annotator is not None else ((), np.zeros(len(sign), dtype=np.int32))
        prompts = encode(prompt, "prompt")[1] if prompt is not None else np.zeros(len(sign), dtype=np.int32)
        _check_rows(options, **sides, annotator=who, prompt=prompts)
        keep = np.flatnonzero(~np.isnan(sign))
        if not len(keep):
            raise UserError("no comparison has a winner", 'say "left", "right" or "tie"', where="winner")
        keep = keep[np.argsort(who[keep], kind="stable")]
        present, people_of_rows = np.unique(who[keep], return_inverse=True)  # who answered nothing is left out, so that codes have no gaps
        people = tuple(people[p] for p in present) if people else ()
        shown = _dense(prompts[keep]) if prompt is not None else None
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
        """Codes of the rows that hang together: by annotator, by prompt; each row alone where there is but one of either."""
        ways = {"annotators": self.annotator, "prompts": self.prompt}
        several = {name: code for name, code in ways.items() if code is not None and code.min() < code.max()}
        alone = {"comparisons": np.arange(len(self), dtype=np.int32)} if len(self) > 1 else {}
        return several or alone

    @cached_property
    def parts(self) -> Codes:
        """The part of the comparison graph that each option is in; options of two parts can't be compared."""
        graph = sparse.coo_array((np.ones(len(self)), (self.left, self.right)), shape=(len(self.options),) * 2)
        return np.asarray(connected_components(graph, directed=False)[1])

    def order_is_separable(self) -> bool:
        """False when strengths exist under which left is better by the same amount in each comparison."""
        k = len(self.options)
        left, right = np.divmod(np.unique(self.left.astype(np.int64) * k + self.right), k)
        rows, column = np.tile(np.arange(len(left)), 2), np.concatenate([left, right])
        side = np.repeat([1.0, -1.0], len(left))
        design = sparse.csr_array((side, (rows, column)), shape=(len(left), k))
        residual = float(lsqr(design, np.ones(len(left)), atol=1e-12, btol=1e-12)[3])
        return residual > 1e-6 * float(np.sqrt(len(left)))

    def notes(self) -> list[str]:
        """What a reader must know of the graph: parts that can't be compared, options that only the prior holds back."""
        k = len(self.options)
        beats = np.where(self.sign >= 0, self.left, self.right), np.where(self.sign >= 0, self.right, self.left)
        tied = self.sign == 0
        edges = np.concatenate([beats[0], self.right[tied]]), np.concatenate([beats[1], self.left[tied]])
        graph = sparse.coo_array((np.ones(len(edges[0])), edges), shape=(k, k))
        strong, parts = connected_components(graph, connection="strong")[0], int(self.parts.max()) + 1
        said = [f"{self.missing} comparisons without a winner are left out"] * (self.missing > 0)
        said += [f"the options fall into {parts} groups that were never compared with each other; see `components`"] * (parts > 1)
        if strong > parts:
            lost, won = np.bincount(edges[1], minlength=k) > 0, np.bincount(edges[0], minlength=k) > 0
            always = [repr(self.options[o]) for o in np.flatnonzero(~lost | ~won)[:5]]
            example = f" (such as {', '.join(always)})" if always else ""
            said.append(f"some options won or lost always against the others{example}: only the prior keeps their distance finite")
        return said


def _signs(winner: Any) -> Floats:
    values = winner.tolist() if hasattr(winner, "tolist") else list(winner)
    signs = list(map(OUTCOMES.get, values))
    missing = [row for row, sign in enumerate(signs) if sign is None]
    for row in missing:
        if not (values[row] is None or values[row] != values[row]):
            raise UserError(f"winner {values[row]!r} is unknown", 'say "left", "right" or "tie"', where=f"row {row + 1}")
    return np.asarray(signs, dtype=np.float64)  # None becomes NaN


def _stacked(left: Any, right: Any) -> Any:
    """Both columns as one, so that they share their codes."""
    if all(getattr(side, "dtype", np.dtype(object)).kind in "iu" for side in (left, right)):
        return np.concatenate([np.asarray(left), np.asarray(right)])
    return [*(left.tolist() if hasattr(left, "tolist") else left), *(right.tolist() if hasattr(right, "tolist") else right)]


def _dense(code: Codes) -> Codes:
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
    if len(options) > MOST_OPTIONS:
        raise UserError(f"{len(options)} options are too many", f"compare {MOST_OPTIONS} at most in one call", where="left")
