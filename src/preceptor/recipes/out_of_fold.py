"""What a model that has never seen a row's group says of it: a logistic head over an encoder's vectors, fold by fold."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from preceptor.curation.folds import folds as dealt
from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.recipes.quick_logistic import PENALTIES, fit, held_out_loss
from preceptor.statistics import mean
from preceptor.statistics.inputs import as_targets, as_values

_CHOOSING = 4_000  # rows on which the penalty is chosen


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """probabilities (n, k): of each row by a head fitted to the other folds. fold: of each row, (n,).

    known: whether the head had seen the row's most probable answer at all, (n,). accuracy: how often the model's first choice is the
    people's, with groups as independent units.
    """

    probabilities: FloatArray
    fold: IntArray
    known: NDArray[np.bool_]
    penalty: float
    accuracy: Estimate


def out_of_fold(
    vectors: ArrayLike,
    targets: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    answers: int | None = None,
    weights: ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
    penalty: float | None = None,
) -> OutOfFold:
    """Probabilities of each row (n, k) from vectors (n, d) and the people's posterior (n, k), or the answers' numbers (n,) of `answers`.

    Groups stay in one fold. penalty: on the head's squared weights; none: of three the one whose held-out loss is lowest in one fold.
    Vectors are taken at length 1, as encoders are compared. UserError for fewer groups than folds, or shapes that don't fit.
    """
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise UserError("vectors must be finite numbers, a row a text", where="vectors")
    given = np.asarray(targets)
    width = given.shape[1] if given.ndim == 2 else answers or int(given.max()) + 1
    wanted = as_targets(given, len(points), width)
    counts = np.ones(len(points)) if weights is None else as_values(weights, "weights", low=0)
    points = points / np.linalg.norm(points, axis=1, keepdims=True).clip(min=1e-12)
    fold = dealt(groups, wanted.argmax(axis=1), count=folds, seed=seed)
    chosen = _penalty(points, wanted, counts, fold, seed) if penalty is None else penalty
    found, known = np.zeros(wanted.shape), np.ones(len(points), bool)
    said = wanted.argmax(axis=1)
    for number in range(folds):
        seen, held = fold != number, fold == number
        head = fit(points[seen], wanted[seen], counts[seen], chosen)
        found[held] = softmax(head.logits(points[held]), axis=1)
        known[held] = np.isin(said[held], said[seen])
    right = (found.argmax(axis=1) == said).astype(np.float64)
    return OutOfFold(found, fold, known, chosen, mean(right, clusters=groups))


def kept_vectors(folder: Path, texts: Sequence[str], cache: Path | None = None) -> FloatArray:
    """`text_vectors` of texts, (n, d), each made once: kept in `cache` under what the base is and what the text says.

    cache: a folder, made when needed; None: nothing is kept. Half precision is kept, which changes no decision and takes half the room.
    """
    from preceptor.models import text_vectors

    if cache is None or not texts:
        return text_vectors(folder, texts)
    shelf = cache / f"{_base_digest(folder)}.npz"
    keys = [_key(text) for text in texts]
    kept = _read(shelf)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in kept}
    if missing:
        kept |= dict(zip(missing, text_vectors(folder, list(missing.values())).astype(np.float16), strict=True))
        _write(shelf, kept)
    return np.array([kept[key] for key in keys], dtype=np.float64)


def _penalty(points: FloatArray, wanted: FloatArray, counts: FloatArray, fold: IntArray, seed: int) -> float:
    """Chosen on a sample, scaled to all rows: the best penalty on the mean loss falls as rows grow."""
    picked = np.random.default_rng(seed).permutation(len(points))[:_CHOOSING]
    held = fold[picked] == fold[picked].max()
    if held.all() or not held.any():
        return PENALTIES[0]
    train, test = picked[~held], picked[held]
    scale = len(train) / max(len(points) * (1 - 1 / (fold.max() + 1)), 1)
    tried = {
        penalty: held_out_loss(fit(points[train], wanted[train], counts[train], penalty), points[test], wanted[test], counts[test])
        for penalty in PENALTIES
    }
    return float(min(tried, key=lambda penalty: tried[penalty]) * min(scale, 1.0))


def _base_digest(folder: Path) -> str:
    """Of the weights' and tokenizer's files, by name, size and the bytes at both ends: a base is large and doesn't change by a bit."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                begins = file.read(1 << 16)
                file.seek(max(0, path.stat().st_size - (1 << 16)))
                digest.update(f"{path.name}:{path.stat().st_size}:".encode() + begins + file.read())
    return digest.hexdigest()[:16]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read(shelf: Path) -> dict[str, Any]:
    try:
        with np.load(shelf) as kept:
            return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):  # not there, or altered on disk
        return {}


def _write(shelf: Path, kept: dict[str, Any]) -> None:
    """Whole or not at all: a check that is stopped leaves the shelf as it was."""
    shelf.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=shelf.parent, suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, keys=np.array(list(kept)), vectors=np.stack(list(kept.values())))
            file.flush()
            os.fsync(file.fileno())
        Path(staged).replace(shelf)
    finally:
        Path(staged).unlink(missing_ok=True)
