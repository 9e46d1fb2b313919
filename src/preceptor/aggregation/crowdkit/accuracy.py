"""Shares of right answers, against gold or against an aggregate."""

from __future__ import annotations

from typing import Any

from preceptor.aggregation.crowdkit.frames import BadValue, Frame, MissingColumn, Series, pandas


def get_accuracy(data: Frame, true_labels: Series, by: str | None = None) -> Any:
    """Share of answers that are right, over all (a float) or by "worker", "task" or "true_label" (a Series).

    Tasks without a true label are left out; a column `weight` weights the answers; the same answer of one worker to one
    task counts once.
    """
    pd = pandas()
    for name in ("task", "worker", "label"):
        if name not in data.columns:
            raise MissingColumn(f"there is no column {name!r}", f"the columns are {', '.join(map(str, data.columns))}")
    known = data[["task", "worker", "label"]].assign(weight=data["weight"] if "weight" in data.columns else 1)
    known = known.join(pd.Series(true_labels, name="true_label"), on="task") if len(known) else known.assign(true_label=[])
    known = known[known["true_label"].notna()]
    known = known.assign(score=known["weight"] * (known["label"] == known["true_label"]))
    known = known.sort_values("score").drop_duplicates(["task", "worker", "label"], keep="last")
    if by is None:
        return known["score"].sum() / known["weight"].sum()
    sums = known.groupby(by)[["score", "weight"]].sum()
    return (sums["score"] / sums["weight"]).rename(None)


def get_most_probable_labels(proba: Frame) -> Series:
    """The label of the largest probability in each row."""
    return proba.idxmax(axis="columns") if proba.size else pandas().Series([], dtype=object)


def normalize_rows(scores: Frame) -> Frame:
    """Rows scaled to sum to 1."""
    if not scores.size:
        raise BadValue("there are no scores to scale")
    return scores.div(scores.sum(axis=1), axis=0)
