"""The functions of cleanlab.multiannotator: consensus labels, label and annotator quality, temperature scaling and ActiveLab scores.

Labels come in cleanlab's wide table: a row for each example, a column for each annotator, NaN where there is no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from preceptor.compat.cleanlab.crowdlab import (
    AnnotatorLabels,
    Codes,
    CrowdlabPool,
    Floats,
    fit_crowdlab,
    majority_labels,
    most_probable_labels,
)
from preceptor.errors import UserError

MIN_PROBABILITY = 1e-30
TEMPERATURE_GRID = (0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0)
GRID_STEPS = 4  # steps between two neighbouring temperatures of the grid


def find_best_temp_scaler(labels_multiannotator: Floats, pred_probs: Floats) -> float:
    """Return the temperature at which the probabilities come nearest to the shares of labels (cross-entropy), on cleanlab's grid.

    pred_probs: (examples, classes).
    """
    given = ~np.isnan(labels_multiannotator)
    item, _ = np.nonzero(given)
    counts = np.zeros(pred_probs.shape)
    np.add.at(counts, (item, labels_multiannotator[given].astype(np.int64)), 1.0)
    shares = counts / counts.sum(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        return -float((shares * np.log(np.maximum(temp_scale_pred_probs(pred_probs, temperature), MIN_PROBABILITY))).sum(axis=1).mean())

    best = int(np.argmin([loss(t) for t in TEMPERATURE_GRID]))
    grid: list[float] = []
    if best > 0:
        grid += np.linspace(TEMPERATURE_GRID[best - 1], TEMPERATURE_GRID[best], GRID_STEPS, endpoint=False).tolist()
    if best < len(TEMPERATURE_GRID) - 1:
        grid += np.linspace(TEMPERATURE_GRID[best], TEMPERATURE_GRID[best + 1], GRID_STEPS + 1).tolist()
    return grid[int(np.argmin([loss(t) for t in grid]))]


def temp_scale_pred_probs(pred_probs: Floats, temp: float) -> Floats:
    """Divide the logarithms of probabilities by a temperature, and normalise the rows to sum to 1."""
    logs = np.log(np.maximum(pred_probs, MIN_PROBABILITY)) / temp
    scaled = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


class CleanlabValueError(UserError, ValueError):
    """An argument doesn't fit; also a ValueError, as in cleanlab."""


@dataclass(frozen=True, eq=False)
class WideLabels:
    """The wide table of labels.

    values: classes, (examples, annotators), NaN where there is no label. examples, annotators: the names of rows and columns (pandas
    Index; None for an array). labels: the same labels as rows of codes.
    """

    values: Floats
    examples: Any
    annotators: Any
    labels: AnnotatorLabels

    @classmethod
    def from_table(cls, table: Any, probs: Any, *, classes: int | None, check: bool = True, single: bool = False) -> WideLabels:
        """Check a wide array or DataFrame of labels, and convert it to codes.

        probs: probabilities whose examples must match. classes: their number, else the largest label + 1. check: whether empty rows and
        columns are refused; single: whether one label for each example is enough. Raises CleanlabValueError where the table doesn't fit.
        """
        frame = hasattr(table, "columns")
        if not frame and not isinstance(table, np.ndarray):
            raise CleanlabValueError(
                "labels_multiannotator must be a 2D array or dataframe", "give a row an example, a column an annotator"
            )
        try:
            values = table.astype(object).where(table.notna(), np.nan).to_numpy(dtype=np.float64) if frame else table.astype(np.float64)
        except (TypeError, ValueError):
            raise CleanlabValueError("labels must be numbers of classes, 0, 1, 2 …", "number the classes first") from None
        if values.ndim != 2:
            raise CleanlabValueError(
                "labels_multiannotator must be a 2D array or dataframe", "give a row an example, a column an annotator"
            )
        given = ~np.isnan(values)
        if check:
            _check_wide_labels(values, given, list(table.columns) if frame else list(range(values.shape[1])), single)
        highest = int(np.nanmax(values)) + 1
        if classes is not None and classes < highest:
            raise CleanlabValueError(f"pred_probs must have at least {highest} columns, as the largest label is {highest - 1}")
        if probs is not None and probs.shape[-2] != len(values):
            raise CleanlabValueError("pred_probs and labels_multiannotator must have same length")
        item, annotator = np.nonzero(given)
        labels = AnnotatorLabels(item, annotator, values[given].astype(np.int64), len(values), values.shape[1], classes or highest)
        return cls(values, table.index if frame else None, table.columns if frame else None, labels)


def _check_wide_labels(values: Floats, given: Any, names: list[Any], single: bool) -> None:
    for axis, what, fault in (
        (1, "rows", "Examples {} do not have any labels."),
        (0, "columns", "Annotators {} did not label any examples."),
    ):
        bare = np.flatnonzero(~given.any(axis=axis)).tolist()
        if bare:
            shown = bare if axis else [names[column] for column in bare]
            raise CleanlabValueError(f"labels_multiannotator cannot have {what} with all NaN. {fault.format(shown)}", "leave them out")
    if not single and (values.shape[1] < 2 or (given.sum(axis=1) == 1).all()):
        raise CleanlabValueError("each example has one label only", "rank them by the model alone: get_label_quality_scores")


def convert_long_to_wide_dataset(labels_multiannotator_long: Any) -> Any:
    """Convert a DataFrame with columns task, annotator, label to one with a row for each task and a column for each annotator."""
    wide = labels_multiannotator_long.pivot(index="task", columns="annotator", values="label")
    return wide.rename_axis(index=None, columns=None)


def get_majority_vote_label(labels_multiannotator: Any, pred_probs: Any = None, verbose: bool = True) -> Codes:
    """Return the majority label of each example; ties are broken as by `majority_labels`. verbose: whether the input is checked."""
    wide = WideLabels.from_table(
        labels_multiannotator, pred_probs, classes=None if pred_probs is None else pred_probs.shape[1], check=verbose
    )
    return majority_labels(wide.labels, pred_probs)


def get_label_quality_multiannotator(
    labels_multiannotator: Any,
    pred_probs: Any,
    *,
    consensus_method: str | Sequence[str] = "best_quality",
    quality_method: str = "crowdlab",
    calibrate_probs: bool = False,
    return_detailed_quality: bool = True,
    return_annotator_stats: bool = True,
    return_weights: bool = False,
    verbose: bool = True,
    label_quality_score_kwargs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Estimate consensus labels and the quality of labels and annotators, from labels and out-of-sample probabilities.

    pred_probs: (examples, classes). Returns a dict of label_quality, detailed_label_quality, annotator_stats (DataFrames), model_weight
    and annotator_weight, as requested. consensus_method: "best_quality" (the class with the largest pooled probability) or
    "majority_vote", or a list of them. quality_method: "crowdlab" or "agreement". Nothing is printed, whatever the value of verbose.
    """
    if return_weights and quality_method != "crowdlab":
        raise CleanlabValueError(
            "Model and annotator weights are only applicable to the crowdlab quality method", "set return_weights=False"
        )
    if np.ndim(pred_probs) == 3:
        raise CleanlabValueError("pred_probs must be a 2d array", "use the ensemble version of this function")
    wide = WideLabels.from_table(labels_multiannotator, pred_probs, classes=pred_probs.shape[1])
    asked = _QualityRequest(
        quality_method, return_detailed_quality, return_annotator_stats, return_weights, label_quality_score_kwargs or {}
    )
    methods = [consensus_method] if isinstance(consensus_method, str) else list(consensus_method)
    found = _label_quality(wide, _calibrate_probs(wide, pred_probs[None], calibrate_probs), methods, asked)
    if return_weights:
        found["model_weight"] = float(found["model_weight"][0])
    return found


def get_label_quality_multiannotator_ensemble(
    labels_multiannotator: Any,
    pred_probs: Any,
    *,
    calibrate_probs: bool = False,
    return_detailed_quality: bool = True,
    return_annotator_stats: bool = True,
    return_weights: bool = False,
    verbose: bool = True,
    label_quality_score_kwargs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Estimate the same from several models: pred_probs has shape (models, examples, classes), model_weight (models,)."""
    if np.ndim(pred_probs) == 2:
        raise CleanlabValueError("pred_probs must be a 3d array", "use the non-ensemble version of this function")
    wide = WideLabels.from_table(labels_multiannotator, pred_probs, classes=pred_probs.shape[2])
    asked = _QualityRequest("crowdlab", return_detailed_quality, return_annotator_stats, return_weights, label_quality_score_kwargs or {})
    return _label_quality(wide, _calibrate_probs(wide, pred_probs, calibrate_probs), ["best_quality"], asked)


def get_label_quality_scores(labels: Codes, pred_probs: Floats, *, method: str = "self_confidence") -> Floats:
    """Score given labels in [0, 1]: by their probability, or ("normalized_margin") by its margin over the best other class."""
    rows = np.arange(len(labels))
    own = pred_probs[rows, labels]
    if method == "self_confidence":
        return own
    if method != "normalized_margin":
        raise CleanlabValueError(f"no label quality score is called {method!r}", "known: self_confidence, normalized_margin")
    others = pred_probs.copy()
    others[rows, labels] = -np.inf
    return np.asarray((own - others.max(axis=1) + 1) / 2)


class _QualityRequest(NamedTuple):
    quality: str
    detailed: bool
    stats: bool
    weights: bool
    score: dict[str, Any]


def _label_quality(wide: WideLabels, probs: Floats, methods: list[str], asked: _QualityRequest) -> dict[str, Any]:
    pd, labels = import_module("pandas"), wide.labels
    voted = majority_labels(labels, probs.mean(axis=0))
    first, columns, found = voted, dict[str, Any](), dict[str, Any]()
    for turn, method in enumerate(methods):
        if method not in ("majority_vote", "best_quality"):
            raise CleanlabValueError(f"{method} is not a valid consensus method", "known: best_quality, majority_vote")
        pool = _pool_labels(labels, probs, voted, asked.quality)
        consensus = voted if method == "majority_vote" else most_probable_labels(pool.pooled, voted)
        pool = pool if method == "majority_vote" else _pool_labels(labels, probs, consensus, asked.quality)
        agreement = labels.agreement(consensus)
        quality = agreement if asked.quality == "agreement" else get_label_quality_scores(consensus, pool.pooled, **asked.score)
        suffix = f"_{method}" if turn else ""
        columns |= {
            f"consensus_label{suffix}": consensus,
            f"consensus_quality_score{suffix}": quality,
            f"annotator_agreement{suffix}": agreement,
        }
        if not turn:
            first, main, score = consensus, pool, quality
            columns["num_annotations"] = labels.label_counts.astype(np.int64)
    found["label_quality"] = pd.DataFrame(columns, index=wide.examples)
    each = get_label_quality_scores(labels.label, main.pooled[labels.item], **asked.score)
    if asked.detailed:
        found["detailed_label_quality"] = _quality_by_annotator(pd, wide, each)
    if asked.stats:
        found["annotator_stats"] = _annotator_stats(pd, wide, main, first, each, score, asked.quality)
    if asked.weights:
        found |= {"model_weight": pool.model_weights, "annotator_weight": pool.annotator_weights}  # the last method's, as in cleanlab
    return found


def _pool_labels(labels: AnnotatorLabels, probs: Floats, consensus: Codes, quality: str) -> CrowdlabPool:
    if quality == "crowdlab":
        return fit_crowdlab(labels, probs, consensus)
    if quality != "agreement":
        raise CleanlabValueError(f"{quality} is not a valid quality method", "known: crowdlab, agreement")
    return CrowdlabPool(labels.counts / labels.label_counts[:, None], np.ones(len(probs)), np.ones(labels.n_annotators))


def _quality_by_annotator(pd: Any, wide: WideLabels, each: Floats) -> Any:
    table = np.full(wide.values.shape, np.nan)
    table[wide.labels.item, wide.labels.annotator] = each
    return pd.DataFrame(table, index=wide.examples, columns=wide.annotators).add_prefix("quality_annotator_")


def _annotator_stats(pd: Any, wide: WideLabels, pool: CrowdlabPool, consensus: Codes, each: Floats, score: Floats, quality: str) -> Any:
    """Return the DataFrame annotator_stats, the worst annotator first."""
    labels = wide.labels
    right = (labels.label == consensus[labels.item]).astype(np.float64)
    value = labels.consensus_agreement(consensus)
    if quality == "crowdlab":
        model = pool.model_weights.mean()
        share = model / (model + pool.annotator_weights.sum() * labels.label_counts.mean() / labels.n_annotators)
        value = share * labels.annotator_means(each) + (1 - share) * value
    stats = pd.DataFrame(
        {
            "annotator_quality": value,
            "agreement_with_consensus": labels.annotator_means(right),
            "worst_class": _worst_class(labels, right, score),
            "num_examples_labeled": np.bincount(labels.annotator, minlength=labels.n_annotators),
        },
        index=wide.annotators,
    )
    return stats.sort_values(["annotator_quality", "agreement_with_consensus"])


def _worst_class(labels: AnnotatorLabels, right: Floats, score: Floats) -> Codes:
    """Return the class that each annotator gets right least often; ties go to the more frequent class, then to that of higher quality."""
    key = labels.annotator * labels.n_classes + labels.label
    size = labels.n_annotators * labels.n_classes
    count, hits, quality = (np.bincount(key, weight, size) for weight in (np.ones(len(key)), right, score[labels.item]))
    used = np.flatnonzero(count)
    order = used[np.lexsort((-quality[used] / count[used], -count[used], hits[used] / count[used], used // labels.n_classes))]
    first = np.unique(order // labels.n_classes, return_index=True)[1]
    return np.asarray(order[first] % labels.n_classes)


def _calibrate_probs(wide: WideLabels, probs: Floats, wanted: bool) -> Floats:
    if not wanted:
        return np.asarray(probs)
    return np.stack([temp_scale_pred_probs(one, find_best_temp_scaler(wide.values, one)) for one in probs])


class _PoolWeights(NamedTuple):
    models: Floats
    annotator: float


def get_active_learning_scores(
    labels_multiannotator: Any = None, pred_probs: Any = None, pred_probs_unlabeled: Any = None
) -> tuple[Floats, Floats]:
    """Return ActiveLab scores of the labelled and the unlabelled examples: label those with the lowest next (Goh & Mueller 2023).

    A score is the weighted mean of the consensus' quality and 1/classes, where the quality has the weight of the example's annotators and
    the model, and 1/classes that of one more annotator.
    """
    return get_active_learning_scores_ensemble(labels_multiannotator, _as_ensemble(pred_probs), _as_ensemble(pred_probs_unlabeled))


def get_active_learning_scores_ensemble(
    labels_multiannotator: Any = None, pred_probs: Any = None, pred_probs_unlabeled: Any = None
) -> tuple[Floats, Floats]:
    """Return the same scores from several models; probabilities have shape (models, examples, classes)."""
    if pred_probs is None and pred_probs_unlabeled is None:
        raise CleanlabValueError("pred_probs and pred_probs_unlabeled cannot both be None", "give at least one")
    for given in (pred_probs, pred_probs_unlabeled):
        if given is not None and np.ndim(given) != 3:
            raise CleanlabValueError(f"pred_probs has {np.ndim(given)} dimensions, not (models, examples, classes)")
    if pred_probs is not None and pred_probs_unlabeled is not None and pred_probs.shape[2] != pred_probs_unlabeled.shape[2]:
        raise CleanlabValueError("pred_probs and pred_probs_unlabeled must have the same number of classes")
    scores, weights = np.array([]), _PoolWeights(np.ones(len(pred_probs if pred_probs is not None else pred_probs_unlabeled)), 1.0)
    temperatures = np.ones(len(weights.models))
    if pred_probs is not None:
        if labels_multiannotator is None:
            raise CleanlabValueError("labels_multiannotator cannot be None when passing in pred_probs")
        wide = WideLabels.from_table(labels_multiannotator, pred_probs, classes=pred_probs.shape[2], single=True)
        scores, weights, temperatures = _active_scores(wide, pred_probs)
    if pred_probs_unlabeled is None:
        return scores, np.array([])
    scaled = np.stack([temp_scale_pred_probs(probs, t) for probs, t in zip(pred_probs_unlabeled, temperatures, strict=True)])
    pooled = np.tensordot(weights.models, scaled, axes=1) + weights.annotator / scaled.shape[2]
    label = majority_labels(_votes_of_models(scaled), scaled.mean(axis=0))
    return scores, pooled[np.arange(len(label)), label] / (weights.models.sum() + weights.annotator)


def _active_scores(wide: WideLabels, probs: Floats) -> tuple[Floats, _PoolWeights, Floats]:
    """Return the scores of labelled examples, the weights that were fitted, and each model's temperature."""
    labels = wide.labels
    if (labels.label_counts == 1).all():
        mean = probs.mean(axis=0)
        quality = get_label_quality_scores(majority_labels(labels, mean), mean)
        pool, temperatures = CrowdlabPool(mean, np.ones(len(probs)), np.ones(labels.n_annotators)), np.ones(len(probs))
    else:
        temperatures = np.array([find_best_temp_scaler(wide.values, one) for one in probs])
        scaled = np.stack([temp_scale_pred_probs(one, t) for one, t in zip(probs, temperatures, strict=True)])
        voted = majority_labels(labels, scaled.mean(axis=0))
        consensus = most_probable_labels(fit_crowdlab(labels, scaled, voted).pooled, voted)
        pool = fit_crowdlab(labels, scaled, consensus)
        quality = get_label_quality_scores(consensus, pool.pooled)
    more = float(pool.annotator_weights.mean())
    held = np.bincount(labels.item, pool.annotator_weights[labels.annotator], labels.n_items) + pool.model_weights.sum()
    return (quality * held + more / labels.n_classes) / (held + more), _PoolWeights(pool.model_weights, more), temperatures


def _votes_of_models(probs: Floats) -> AnnotatorLabels:
    """Return each model's most probable class as a label."""
    models, items, classes = probs.shape
    return AnnotatorLabels(
        np.tile(np.arange(items), models), np.repeat(np.arange(models), items), probs.argmax(axis=2).ravel(), items, models, classes
    )


def _as_ensemble(probs: Any) -> Any:
    if probs is not None and np.ndim(probs) != 2:
        raise CleanlabValueError(
            f"pred_probs has {np.ndim(probs)} dimensions, not (examples, classes)", "for several models, use the ensemble version"
        )
    return None if probs is None else probs[None]
