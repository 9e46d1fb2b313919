"""Two samples told apart by a straight cut (Fisher's linear discriminant), each row by a cut that hasn't seen its fold.

Sums of squares add up over folds, so that all cuts together cost one pass over the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preceptor.domain.results import FloatArray, IntArray

_SHRINK = 0.1  # of the mean variance, added in all directions: with few rows the directions of least variance are noise


def out_of_fold_scores(points: FloatArray, second: NDArray[np.bool_], fold: IntArray) -> FloatArray:
    """How far each row (n, d) lies to the side of the second sample, (n,); comparable within a fold only."""
    count = int(fold.max()) + 1
    cells = [[points[(fold == number) & side] for side in (~second, second)] for number in range(count)]
    sizes = np.array([[len(part) for part in pair] for pair in cells], dtype=np.float64)
    sums = np.array([[part.sum(axis=0) for part in pair] for pair in cells])
    squares = [[part.T @ part for part in pair] for pair in cells]
    whole = [sum(pair[side] for pair in squares) for side in (0, 1)]
    score = np.zeros(len(points))
    for number in range(count):
        rows = sizes.sum(axis=0) - sizes[number]
        means = (sums.sum(axis=0) - sums[number]) / np.maximum(rows, 1)[:, None]
        within = sum((whole[side] - squares[number][side]) / max(rows[side], 1) - np.outer(means[side], means[side]) for side in (0, 1))
        spread = np.asarray(within) / 2
        spread += _SHRINK * max(float(np.trace(spread)) / len(spread), 1e-12) * np.eye(len(spread))
        held = fold == number
        score[held] = points[held] @ np.linalg.solve(spread, means[1] - means[0])
    return score
