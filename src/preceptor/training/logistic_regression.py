"""Fit logistic heads to fixed features, and predict rows out of fold.

`fit_logistic_head` fits people's posterior until nothing moves. `fit_quick_head` is good enough for inspecting rows: features are whitened
so that the loss has similar curvature in all directions, which takes L-BFGS a third of the steps, and it stops once a step improves the
loss by less than a ten-thousandth. On 10,000 rows, 384 features and 77 answers the ranking of suspects is the same. `predict_out_of_fold`
predicts each row by a head that has never seen the row's group.
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

HEAD_PENALTIES = (1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # with a few dozen rows the best was about 10
_MAX_STEPS = 1000


@dataclass(frozen=True, eq=False)
class LogisticData:
    """Rows that a logistic head is fitted to: features (n, d), targets (n, answers) with rows that sum to 1, weights (n,)."""

    features: FloatArray
    targets: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class LogisticHead:
    """A fitted head: logits are features @ weight.T + bias.

    weight (answers, d), bias (answers,). penalty: with which it was fitted. loss: in nats, on the rows it was fitted to.
    """

    weight: FloatArray
    bias: FloatArray
    penalty: float
    loss: float

    def losses(self, sample: LogisticData) -> FloatArray:
        """Return the cross-entropy of each row against its targets in nats, (n,)."""
        return np.asarray(-(sample.targets * log_softmax(sample.features @ self.weight.T + self.bias, axis=1)).sum(axis=1))

    def mean_loss(self, sample: LogisticData) -> float:
        """Return the weighted mean of `losses`."""
        return float(np.average(self.losses(sample), weights=sample.weights))


def fit_logistic_head(sample: LogisticData, penalty: float) -> LogisticHead:
    """Fit the head that minimises weighted mean cross-entropy + penalty / 2 · |weight|²; convex, so the start doesn't matter.

    The penalty applies to features centred and scaled to a mean square of 1, all by one factor: then a penalty means the same whatever the
    encoder, and directions keep their proportions. The returned head takes features as they are.
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
    """Return the head fitted with the penalty under which validation loss is lowest; of equals the greater penalty."""
    heads = [fit_logistic_head(train, penalty) for penalty in sorted(penalties, reverse=True)]
    return min(heads, key=lambda head: head.mean_loss(validation))


QUICK_PENALTIES = (0.1, 0.03, 0.01)  # the greatest first: it wins a tie
_QUICK_TOLERANCE = 1e-4  # relative decrease of the loss
_QUICK_MAX_STEPS = 100


@dataclass(frozen=True, eq=False)
class QuickLogisticHead:
    """An approximately fitted head: weight (answers, d), bias (answers,)."""

    weight: FloatArray
    bias: FloatArray

    def logits(self, points: FloatArray) -> FloatArray:
        """Return the logits of the points (rows, d), (rows, answers)."""
        return np.asarray(points @ self.weight.T + self.bias)


def fit_quick_head(points: FloatArray, targets: FloatArray, weights: FloatArray, penalty: float) -> QuickLogisticHead:
    """Fit the head of `fit_logistic_head` approximately: the same loss and penalty, with features scaled alike."""
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
    """Return the weighted mean cross-entropy of the head, in nats."""
    losses = -(targets * log_softmax(head.logits(points), axis=1)).sum(axis=1)
    return float(np.average(losses, weights=weights))


_PENALTY_ROWS = 4_000  # rows on which the penalty is chosen


@dataclass(frozen=True, eq=False)
class OutOfFoldPredictions:
    """Predictions of each row by a head fitted to the other folds.

    probabilities (n, k). fold: of each row, (n,). known: whether the head had seen the row's most probable answer at all, (n,). penalty:
    with which the heads were fitted. accuracy: how often the model's first choice is people's, with groups as independent units.
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
    """Predict the probabilities of each row (n, k) by a head fitted to the other folds.

    vectors (n, d). targets: people's posterior (n, k), or the numbers of the answers (n,), of which there are `answers`. Groups stay in one
    fold. penalty: on the head's squared weights; None: of three the one with the lowest held-out loss in one fold. Vectors are normalised
    to length 1, as encoders are compared. Raises UserError for fewer groups than folds, or shapes that don't match.
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
    """Return the embeddings of texts (n, d), computed once and cached by the base's digest and the text.

    cache: a folder, made when needed; None: nothing is cached. Vectors are cached in half precision, which changes no decision and takes
    half the space.
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
    """Select a penalty on a sample, and scale it to all rows: the best penalty on the mean loss falls as rows grow."""
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
    """Return a digest of the base's files by name, size and the bytes at both ends: a base is large and doesn't change by a single bit."""
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
    """Write the vectors whole or not at all: a check that is stopped leaves the cache as it was."""
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
