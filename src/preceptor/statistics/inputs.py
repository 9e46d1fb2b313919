"""Validation of callers' inputs into arrays; each fault raises a UserError that names the place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.types import FloatArray, IntArray

SUM_TOLERANCE = 1e-3  # a row of float32 probabilities may be this far from 1


def as_values(values: ArrayLike, name: str, *, low: float = -np.inf, high: float = np.inf) -> FloatArray:
    """Return `values` as float64, shape (rows,); raises UserError when empty, not numeric, not finite or outside [low, high]."""
    column = _as_floats(values, name)
    if column.ndim != 1:
        raise UserError(f"must be one column of numbers, not of shape {column.shape}", where=name)
    if not column.size:
        raise UserError("empty: nothing can be estimated", "pass at least one observation", where=name)
    _raise_first(~np.isfinite(column), column, name, "is not a finite number", "leave out or repair what could not be measured")
    _raise_first((column < low) | (column > high), column, name, f"is outside {low:g} to {high:g}", "rescale the values")
    return column


def as_clusters(clusters: Any, rows: int) -> IntArray:
    """Return codes 0 … G−1 of each row's cluster, shape (rows,); None makes each row a cluster of its own.

    Raises UserError for names of mixed kinds, missing names and a wrong number of them.
    """
    if clusters is None:
        return np.arange(rows, dtype=np.int64)
    try:
        names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    except TypeError:
        raise UserError("clusters mix kinds of names, or some are missing", "name each row's cluster by text", where="clusters") from None
    if codes.shape != (rows,):
        raise UserError(f"{codes.size} cluster names for {rows} rows", "pass one cluster name a row", where="clusters")
    if names.dtype.kind == "f" and np.isnan(names).any():
        raise UserError("a cluster name is missing (NaN)", "give each row the name of its document or person", where="clusters")
    return codes.astype(np.int64)


def as_probabilities(probabilities: ArrayLike, name: str = "probabilities") -> FloatArray:
    """Return distributions over k classes as float64, shape (rows, k); raises UserError unless each row is one."""
    table = _as_floats(probabilities, name)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise UserError(f"must have a row an item and a column a class, not shape {table.shape}", where=name)
    wrong = ~np.isfinite(table).all(axis=1) | (table < 0).any(axis=1) | (np.abs(table.sum(axis=1) - 1) > SUM_TOLERANCE)
    _raise_first(wrong, table, name, "is not a distribution", "pass probabilities of all classes, each row summing to 1")
    return table


def as_targets(targets: ArrayLike, rows: int, classes: int) -> FloatArray:
    """Return targets as distributions, shape (rows, classes), from class numbers (rows,) or soft targets (rows, classes)."""
    given = np.asarray(targets)
    table = as_probabilities(given, "targets") if given.ndim == 2 else np.eye(classes)[as_labels(given, rows, classes)]
    if table.shape != (rows, classes):
        raise UserError(f"targets of shape {table.shape} for predictions of shape {(rows, classes)}", where="targets")
    return table


def as_labels(labels: ArrayLike, rows: int, classes: int) -> IntArray:
    """Return class numbers as int64, shape (rows,); raises UserError unless each is one of 0 … classes−1."""
    column = as_values(labels, "truth", low=0, high=classes - 1)
    _raise_first(column != np.floor(column), column, "truth", "is not a class number", "pass the column number of the right class")
    if len(column) != rows:
        raise UserError(f"{len(column)} true classes for {rows} rows", "pass one class number a row", where="truth")
    return column.astype(np.int64)


def check_confidence(confidence: float) -> float:
    """Return `confidence` itself; raises UserError unless strictly between 0 and 1."""
    if not 0 < confidence < 1:
        raise UserError(f"confidence {confidence!r} is not between 0 and 1", "95 % is 0.95", where="confidence")
    return float(confidence)


def _as_floats(values: ArrayLike, name: str) -> FloatArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError("holds something that is not a number", "pass numbers only", where=name) from None


def _raise_first(wrong: np.ndarray[Any, Any], rows: FloatArray, name: str, fault: str, hint: str) -> None:
    if wrong.any():
        first = int(wrong.argmax())
        more = f" (and {wrong.sum() - 1} more)" if wrong.sum() > 1 else ""
        raise UserError(f"{rows[first]} {fault}{more}", hint, where=f"{name}[{first}]")
