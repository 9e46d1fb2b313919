"""A model beside the last one that was let out, on the same test rows: what became better, what worse, and in which slices.

A report keeps of each test row a key of its text, one of its true answer, and how right the model was; never the text. Rows
that two reports share by both keys are compared pair by pair, which needs far fewer of them than two intervals side by side.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.slices import Names, slices
from preceptor.statistics import compare_paired, mean


@dataclass(frozen=True)
class RowScores:
    """How right a model was on each test row: a row of the same text and truth has the same keys in every report.

    columns: figure -> its value on each row, higher is better; the first is the one that slices are told by.
    """

    keys: Sequence[str]
    truths: Sequence[str]
    columns: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        if not self.columns or any(len(column) != len(self.keys) for column in self.columns.values()) or len(self.truths) != len(self.keys):
            raise UserError("keys, truths and values of rows are of different lengths", "keep one of each a row")

    def to_bytes(self) -> bytes:
        """As it lies beside its report."""
        columns = {name: np.asarray(column).round(6).tolist() for name, column in self.columns.items()}
        return json.dumps({"keys": list(self.keys), "truths": list(self.truths), "columns": columns}, separators=(",", ":")).encode()

    @classmethod
    def of(cls, data: bytes) -> RowScores:
        """What `to_bytes` was made of."""
        found = json.loads(data)
        return cls(found["keys"], found["truths"], {name: np.array(values, dtype=np.float64) for name, values in found["columns"].items()})

    def places(self) -> dict[tuple[str, str, int], int]:
        """Where each row stands; of rows with equal keys the first is the first."""
        met: Counter[tuple[str, str]] = Counter()
        found = {}
        for place, pair in enumerate(zip(self.keys, self.truths, strict=True)):
            found[*pair, met[pair]] = place
            met[pair] += 1
        return found


def beside_previous(now: RowScores, before: RowScores, groups: Sequence[Any], names: Names) -> dict[str, Any]:
    """What changed from one model to the next on the rows that both were measured on: `figures`, `slices`, `rows`, `left_out`.

    groups, names: of the rows of `now`, see `slices`. Rows that only one side has, or whose true answer has changed since, are left
    out and counted; without a row in common there are no figures.
    """
    earlier = before.places()
    pairs = [(place, earlier[key]) for key, place in now.places().items() if key in earlier]
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
            "was": mean(old, clusters=theirs, within=within),
            "now": mean(new, clusters=theirs, within=within),
            "difference": compare_paired(new, old, clusters=theirs, within=within),
        }
    first = shared[0]
    new, old = now.columns[first][here], before.columns[first][there]
    sliced = {by: [column[place] for place in here] for by, column in names.items()}
    return told | {"figures": figures, "slices": slices(new, theirs, sliced, figure=first, earlier=old)}
