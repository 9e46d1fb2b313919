"""Consensus labels, and how good they, people's labels and people are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from preceptor.aggregation.cleanlab.temperature import find_best_temp_scaler, temp_scale_pred_probs
from preceptor.aggregation.cleanlab.wide import BadValue, Wide
from preceptor.aggregation.crowdlab import Codes, Floats, Labels, Pool, crowdlab, likeliest, majority


def get_majority_vote_label(labels_multiannotator: Any, pred_probs: Any = None, verbose: bool = True) -> Codes:
    """Majority label of each example, ties as `crowdlab.majority` breaks them. verbose: whether the input is checked."""
    wide = Wide.of(labels_multiannotator, pred_probs, classes=None if pred_probs is None else pred_probs.shape[1], check=verbose)
    return majority(wide.labels, pred_probs)


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
    """Consensus labels and the quality of labels and annotators, from labels and out-of-sample probabilities (examples, classes).

    A dict of label_quality, detailed_label_quality, annotator_stats (DataFrames), model_weight and annotator_weight, as asked
    for. consensus_method: "best_quality" (the class that the pool holds likeliest) or "majority_vote", or a list of them.
    quality_method: "crowdlab" or "agreement". Nothing is printed, whatever verbose says.
    """
    if return_weights and quality_method != "crowdlab":
        raise BadValue("Model and annotator weights are only applicable to the crowdlab quality method", "set return_weights=False")
    if np.ndim(pred_probs) == 3:
        raise BadValue("pred_probs must be a 2d array", "use the ensemble version of this function")
    wide = Wide.of(labels_multiannotator, pred_probs, classes=pred_probs.shape[1])
    asked = _Asked(quality_method, return_detailed_quality, return_annotator_stats, return_weights, label_quality_score_kwargs or {})
    methods = [consensus_method] if isinstance(consensus_method, str) else list(consensus_method)
    found = _quality(wide, _calibrated(wide, pred_probs[None], calibrate_probs), methods, asked)
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
    """The same from several models: pred_probs has shape (models, examples, classes), model_weight (models,)."""
    if np.ndim(pred_probs) == 2:
        raise BadValue("pred_probs must be a 3d array", "use the non-ensemble version of this function")
    wide = Wide.of(labels_multiannotator, pred_probs, classes=pred_probs.shape[2])
    asked = _Asked("crowdlab", return_detailed_quality, return_annotator_stats, return_weights, label_quality_score_kwargs or {})
    return _quality(wide, _calibrated(wide, pred_probs, calibrate_probs), ["best_quality"], asked)


def get_label_quality_scores(labels: Codes, pred_probs: Floats, *, method: str = "self_confidence") -> Floats:
    """Scores in [0, 1] of given labels: their probability, or ("normalized_margin") its lead over the best other class."""
    rows = np.arange(len(labels))
    own = pred_probs[rows, labels]
    if method == "self_confidence":
        return own
    if method != "normalized_margin":
        raise BadValue(f"no label quality score is called {method!r}", "known: self_confidence, normalized_margin")
    others = pred_probs.copy()
    others[rows, labels] = -np.inf
    return np.asarray((own - others.max(axis=1) + 1) / 2)


class _Asked(NamedTuple):
    quality: str
    detailed: bool
    stats: bool
    weights: bool
    score: dict[str, Any]


def _quality(wide: Wide, probs: Floats, methods: list[str], asked: _Asked) -> dict[str, Any]:
    pd, labels = import_module("pandas"), wide.labels
    voted = majority(labels, probs.mean(axis=0))
    first, columns, found = voted, dict[str, Any](), dict[str, Any]()
    for turn, method in enumerate(methods):
        if method not in ("majority_vote", "best_quality"):
            raise BadValue(f"{method} is not a valid consensus method", "known: best_quality, majority_vote")
        pool = _pool(labels, probs, voted, asked.quality)
        consensus = voted if method == "majority_vote" else likeliest(pool.pooled, voted)
        pool = pool if method == "majority_vote" else _pool(labels, probs, consensus, asked.quality)
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
            columns["num_annotations"] = labels.given.astype(np.int64)
    found["label_quality"] = pd.DataFrame(columns, index=wide.examples)
    each = get_label_quality_scores(labels.label, main.pooled[labels.item], **asked.score)
    if asked.detailed:
        found["detailed_label_quality"] = _spread(pd, wide, each)
    if asked.stats:
        found["annotator_stats"] = _annotators(pd, wide, main, first, each, score, asked.quality)
    if asked.weights:
        found |= {"model_weight": pool.model_weights, "annotator_weight": pool.annotator_weights}  # the last method's, as in cleanlab
    return found


def _pool(labels: Labels, probs: Floats, consensus: Codes, quality: str) -> Pool:
    if quality == "crowdlab":
        return crowdlab(labels, probs, consensus)
    if quality != "agreement":
        raise BadValue(f"{quality} is not a valid quality method", "known: crowdlab, agreement")
    return Pool(labels.counts / labels.given[:, None], np.ones(len(probs)), np.ones(labels.n_annotators))


def _spread(pd: Any, wide: Wide, each: Floats) -> Any:
    table = np.full(wide.values.shape, np.nan)
    table[wide.labels.item, wide.labels.annotator] = each
    return pd.DataFrame(table, index=wide.examples, columns=wide.annotators).add_prefix("quality_annotator_")


def _annotators(pd: Any, wide: Wide, pool: Pool, consensus: Codes, each: Floats, score: Floats, quality: str) -> Any:
    """annotator_stats, the worst first."""
    labels = wide.labels
    right = (labels.label == consensus[labels.item]).astype(np.float64)
    value = labels.with_consensus(consensus)
    if quality == "crowdlab":
        model = pool.model_weights.mean()
        share = model / (model + pool.annotator_weights.sum() * labels.given.mean() / labels.n_annotators)
        value = share * labels.by_annotator(each) + (1 - share) * value
    stats = pd.DataFrame(
        {
            "annotator_quality": value,
            "agreement_with_consensus": labels.by_annotator(right),
            "worst_class": _worst_class(labels, right, score),
            "num_examples_labeled": np.bincount(labels.annotator, minlength=labels.n_annotators),
        },
        index=wide.annotators,
    )
    return stats.sort_values(["annotator_quality", "agreement_with_consensus"])


def _worst_class(labels: Labels, right: Floats, score: Floats) -> Codes:
    """Of each annotator, the class they give that is right least often; a tie goes to the commoner, then to the surer."""
    key = labels.annotator * labels.n_classes + labels.label
    size = labels.n_annotators * labels.n_classes
    count, hits, quality = (np.bincount(key, weight, size) for weight in (np.ones(len(key)), right, score[labels.item]))
    used = np.flatnonzero(count)
    order = used[np.lexsort((-quality[used] / count[used], -count[used], hits[used] / count[used], used // labels.n_classes))]
    first = np.unique(order // labels.n_classes, return_index=True)[1]
    return np.asarray(order[first] % labels.n_classes)


def _calibrated(wide: Wide, probs: Floats, wanted: bool) -> Floats:
    if not wanted:
        return np.asarray(probs)
    return np.stack([temp_scale_pred_probs(one, find_best_temp_scaler(wide.values, one)) for one in probs])
