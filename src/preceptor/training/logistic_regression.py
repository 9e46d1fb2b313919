"""Fit logistic heads to fixed features, and predict rows out of fold.

A logistic head on fixed features, fitted to the people's posterior until it no longer moves.

A logistic head that is soon good enough for looking at rows, where `logistic.fit_head` goes on until nothing moves.

Features are turned so that the loss curves about alike in all directions, which takes L-BFGS a third of the steps; then it stops
once a step brings less than a ten-thousandth. On 10,000 rows, 384 features and 77 answers the ranking of suspects is the same.

What a model that has never seen a row's group says of it: a logistic head over an encoder's vectors, fold by fold.
"""

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
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from preceptor.errors import UserError
from preceptor.quality.label_errors import stratified_group_folds as dealt
from preceptor.statistics import estimate_mean
from preceptor.statistics.inputs import as_targets, as_values
from preceptor.types import Estimate, FloatArray, IntArray

HEAD_PENALTIES = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # with some dozen rows the best was seen to be about 10
_MAX_STEPS = 1000


@dataclass(frozen=True, eq=False)
class LogisticData:
    """features (n, d), targets (n, answers) with rows that sum to 1, weights (n,)."""

    features: FloatArray
    targets: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class LogisticHead:
    """weight (answers, d) and bias (answers,): logits are features @ weight.T + bias. loss: in nats, on what it was fitted to."""

    weight: FloatArray
    bias: FloatArray
    penalty: float
    loss: float

    def losses(self, sample: LogisticData) -> FloatArray:
        """Cross-entropy of each row against its targets in nats, (n,)."""
        return np.asarray(-(sample.targets * log_softmax(sample.features @ self.weight.T + self.bias, axis=1)).sum(axis=1))

    def mean_loss(self, sample: LogisticData) -> float:
        """The weighted mean of `losses`."""
        return float(np.average(self.losses(sample), weights=sample.weights))


def fit_logistic_head(sample: LogisticData, penalty: float) -> LogisticHead:
    """The head that minimises weighted mean cross-entropy + penalty / 2 · |weight|²; convex, so where it starts is of no matter.

    The penalty counts on features moved to mean 0 and scaled to a mean square of 1, all by one factor: then a penalty means
    the same whatever the encoder, and directions keep their proportions. The head that is returned takes features as they are.
    """
    centre = np.average(sample.features, axis=0, weights=sample.weights)
    moved = sample.features - centre
    scale = float(np.sqrt(np.mean(moved**2))) or 1.0
    moved = moved / scale
    share = sample.weights / sample.weights.sum()
    answers, width = sample.targets.shape[1], moved.shape[1]

    def climb(flat: FloatArray) -> tuple[float, FloatArray]:
        weight, bias = flat[:-answers].reshape(answers, width), flat[-answers:]
        said = log_softmax(moved @ weight.T + bias, axis=1)
        off = (np.exp(said) - sample.targets) * share[:, None]
        value = -float((share[:, None] * sample.targets * said).sum()) + penalty / 2 * float((weight**2).sum())
        return value, np.concatenate([(off.T @ moved + penalty * weight).ravel(), off.sum(axis=0)])

    found = minimize(climb, np.zeros(answers * (width + 1)), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS, "gtol": 1e-7})
    weight, bias = found.x[:-answers].reshape(answers, width) / scale, found.x[-answers:]
    head = LogisticHead(weight, bias - weight @ centre, penalty, 0.0)
    return LogisticHead(head.weight, head.bias, penalty, head.mean_loss(sample))


def select_logistic_head(train: LogisticData, validation: LogisticData, penalties: Sequence[float] = HEAD_PENALTIES) -> LogisticHead:
    """The head fitted with the penalty under which validation loss is lowest; of equals the greater penalty."""
    heads = [fit_logistic_head(train, penalty) for penalty in sorted(penalties, reverse=True)]
    return min(heads, key=lambda head: head.mean_loss(validation))


QUICK_PENALTIES = (0.1, 0.03, 0.01)  # the greatest first: of equals it is kept
_QUICK_TOLERANCE = 1e-4  # relative fall of the loss
_QUICK_MAX_STEPS = 100


@dataclass(frozen=True, eq=False)
class QuickLogisticHead:
    """weight (answers, d), bias (answers,)."""

    weight: FloatArray
    bias: FloatArray

    def logits(self, points: FloatArray) -> FloatArray:
        """(rows, answers)"""
        return np.asarray(points @ self.weight.T + self.bias)


def fit_quick_head(points: FloatArray, targets: FloatArray, weights: FloatArray, penalty: float) -> QuickLogisticHead:
    """The head of `logistic.fit_head`, approximately: weighted mean cross-entropy + penalty / 2 · |weight|², features scaled as there."""
    share = weights / weights.sum()
    centre = share @ points
    moved = points - centre
    scale = float(np.sqrt(np.mean(moved**2))) or 1.0
    moved /= scale
    answers, width = targets.shape[1], moved.shape[1]
    spread, axes = np.linalg.eigh((moved * share[:, None]).T @ moved)
    turn = (axes / np.sqrt(np.maximum(spread, 0) / answers + penalty)) @ axes.T
    metric = penalty * turn @ turn
    seen = (moved @ turn).astype(np.float32)
    wanted, counted = targets.astype(np.float32), share.astype(np.float32)[:, None]

    def climb(flat: FloatArray) -> tuple[float, FloatArray]:
        weight, bias = flat[:-answers].reshape(answers, width), flat[-answers:].astype(np.float32)
        said = seen @ weight.astype(np.float32).T + bias
        said -= said.max(axis=1, keepdims=True)
        raised = np.exp(said)
        total = raised.sum(axis=1, keepdims=True)
        value = -float((counted * wanted * (said - np.log(total))).sum(dtype=np.float64))
        raised /= total
        raised -= wanted
        raised *= counted
        pull = weight @ metric
        slope = (raised.T @ seen).astype(np.float64) + pull
        return value + float((weight * pull).sum()) / 2, np.concatenate([slope.ravel(), raised.sum(axis=0, dtype=np.float64)])

    begin = np.zeros(answers * (width + 1))
    found = minimize(
        climb, begin, jac=True, method="L-BFGS-B", options={"maxiter": _QUICK_MAX_STEPS, "ftol": _QUICK_TOLERANCE, "gtol": 1e-7}
    )
    weight = found.x[:-answers].reshape(answers, width) @ turn / scale
    return QuickLogisticHead(weight, found.x[-answers:] - weight @ centre)


def quick_head_loss(head: QuickLogisticHead, points: FloatArray, targets: FloatArray, weights: FloatArray) -> float:
    """Weighted mean cross-entropy in nats."""
    losses = -(targets * log_softmax(head.logits(points), axis=1)).sum(axis=1)
    return float(np.average(losses, weights=weights))


_PENALTY_ROWS = 4_000  # rows on which the penalty is chosen


@dataclass(frozen=True, eq=False)
class OutOfFoldPredictions:
    """probabilities (n, k): of each row by a head fitted to the other folds. fold: of each row, (n,).

    known: whether the head had seen the row's most probable answer at all, (n,). accuracy: how often the model's first choice is the
    people's, with groups as independent units.
    """

    probabilities: FloatArray
    fold: IntArray
    known: NDArray[np.bool_]
    penalty: float
    accuracy: Estimate


def predict_out_of_fold(
    vectors: ArrayLike,
    targets: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    answers: int | None = None,
    weights: ArrayLike | None = None,
    folds: int = 5,
    seed: int = 0,
    penalty: float | None = None,
) -> OutOfFoldPredictions:
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
    chosen = _select_penalty(points, wanted, counts, fold, seed) if penalty is None else penalty
    found, known = np.zeros(wanted.shape), np.ones(len(points), bool)
    said = wanted.argmax(axis=1)
    for number in range(folds):
        seen, held = fold != number, fold == number
        head = fit_quick_head(points[seen], wanted[seen], counts[seen], chosen)
        found[held] = softmax(head.logits(points[held]), axis=1)
        known[held] = np.isin(said[held], said[seen])
    right = (found.argmax(axis=1) == said).astype(np.float64)
    return OutOfFoldPredictions(found, fold, known, chosen, estimate_mean(right, clusters=groups))


def cached_text_vectors(folder: Path, texts: Sequence[str], cache: Path | None = None) -> FloatArray:
    """`text_vectors` of texts, (n, d), each made once: kept in `cache` under what the base is and what the text says.

    cache: a folder, made when needed; None: nothing is kept. Half precision is kept, which changes no decision and takes half the room.
    """
    from preceptor.models import embed_texts

    if cache is None or not texts:
        return embed_texts(folder, texts)
    shelf = cache / f"{_base_digest(folder)}.npz"
    keys = [_text_key(text) for text in texts]
    kept = _read_vectors(shelf)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in kept}
    if missing:
        kept |= dict(zip(missing, embed_texts(folder, list(missing.values())).astype(np.float16), strict=True))
        _write_vectors(shelf, kept)
    return np.array([kept[key] for key in keys], dtype=np.float64)


def _select_penalty(points: FloatArray, wanted: FloatArray, counts: FloatArray, fold: IntArray, seed: int) -> float:
    """Chosen on a sample, scaled to all rows: the best penalty on the mean loss falls as rows grow."""
    picked = np.random.default_rng(seed).permutation(len(points))[:_PENALTY_ROWS]
    held = fold[picked] == fold[picked].max()
    if held.all() or not held.any():
        return QUICK_PENALTIES[0]
    train, test = picked[~held], picked[held]
    scale = len(train) / max(len(points) * (1 - 1 / (fold.max() + 1)), 1)
    tried = {
        penalty: quick_head_loss(
            fit_quick_head(points[train], wanted[train], counts[train], penalty), points[test], wanted[test], counts[test]
        )
        for penalty in QUICK_PENALTIES
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


def _text_key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read_vectors(shelf: Path) -> dict[str, Any]:
    try:
        with np.load(shelf) as kept:
            return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):  # not there, or altered on disk
        return {}


def _write_vectors(shelf: Path, kept: dict[str, Any]) -> None:
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
