"""cleanlab's wide table of labels: a row an example, a column an annotator, NaN where there is no label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.aggregation.crowdlab import Floats, Labels
from preceptor.errors import UserError


class BadValue(UserError, ValueError):
    """An argument doesn't fit; a ValueError too, as in cleanlab."""


@dataclass(frozen=True, eq=False)
class Wide:
    """The wide table: its values, its names (None for an array), and its labels as rows of codes."""

    values: Floats
    examples: Any
    annotators: Any
    labels: Labels

    @classmethod
    def of(cls, table: Any, probs: Any, *, classes: int | None, check: bool = True, single: bool = False) -> Wide:
        frame = hasattr(table, "columns")
        if not frame and not isinstance(table, np.ndarray):
            raise BadValue("labels_multiannotator must be a 2D array or dataframe", "give a row an example, a column an annotator")
        try:
            values = table.astype(object).where(table.notna(), np.nan).to_numpy(dtype=np.float64) if frame else table.astype(np.float64)
        except (TypeError, ValueError):
            raise BadValue("labels must be numbers of classes, 0, 1, 2 …", "number the classes first") from None
        if values.ndim != 2:
            raise BadValue("labels_multiannotator must be a 2D array or dataframe", "give a row an example, a column an annotator")
        given = ~np.isnan(values)
        if check:
            _check(values, given, list(table.columns) if frame else list(range(values.shape[1])), single)
        highest = int(np.nanmax(values)) + 1
        if classes is not None and classes < highest:
            raise BadValue(f"pred_probs must have at least {highest} columns, as the largest label is {highest - 1}")
        if probs is not None and probs.shape[-2] != len(values):
            raise BadValue("pred_probs and labels_multiannotator must have same length")
        item, annotator = np.nonzero(given)
        labels = Labels(item, annotator, values[given].astype(np.int64), len(values), values.shape[1], classes or highest)
        return cls(values, table.index if frame else None, table.columns if frame else None, labels)


def _check(values: Floats, given: Any, names: list[Any], single: bool) -> None:
    for axis, what, fault in (
        (1, "rows", "Examples {} do not have any labels."),
        (0, "columns", "Annotators {} did not label any examples."),
    ):
        bare = np.flatnonzero(~given.any(axis=axis)).tolist()
        if bare:
            shown = bare if axis else [names[column] for column in bare]
            raise BadValue(f"labels_multiannotator cannot have {what} with all NaN. {fault.format(shown)}", "leave them out")
    if not single and (values.shape[1] < 2 or (given.sum(axis=1) == 1).all()):
        raise BadValue("each example has one label only", "rank them by the model alone: get_label_quality_scores")


def convert_long_to_wide_dataset(labels_multiannotator_long: Any) -> Any:
    """A DataFrame with columns task, annotator, label as one with a row a task and a column an annotator."""
    wide = labels_multiannotator_long.pivot(index="task", columns="annotator", values="label")
    return wide.rename_axis(index=None, columns=None)
