"""Which example to label next (ActiveLab)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from preceptor.aggregation.cleanlab.quality import get_label_quality_scores
from preceptor.aggregation.cleanlab.temperature import find_best_temp_scaler, temp_scale_pred_probs
from preceptor.aggregation.cleanlab.wide import BadValue, Wide
from preceptor.aggregation.crowdlab import Floats, Labels, Pool, crowdlab, likeliest, majority


class _Weights(NamedTuple):
    models: Floats
    annotator: float


def get_active_learning_scores(
    labels_multiannotator: Any = None, pred_probs: Any = None, pred_probs_unlabeled: Any = None
) -> tuple[Floats, Floats]:
    """ActiveLab scores of the labelled and the unlabelled examples: the lowest is to be labelled next (Goh & Mueller 2023).

    The consensus' quality, averaged with 1/classes by weight: those of its annotators and the model, against one annotator more.
    """
    return get_active_learning_scores_ensemble(labels_multiannotator, _stack(pred_probs), _stack(pred_probs_unlabeled))


def get_active_learning_scores_ensemble(
    labels_multiannotator: Any = None, pred_probs: Any = None, pred_probs_unlabeled: Any = None
) -> tuple[Floats, Floats]:
    """The same from several models, probabilities of shape (models, examples, classes)."""
    if pred_probs is None and pred_probs_unlabeled is None:
        raise BadValue("pred_probs and pred_probs_unlabeled cannot both be None", "give at least one")
    for given in (pred_probs, pred_probs_unlabeled):
        if given is not None and np.ndim(given) != 3:
            raise BadValue(f"pred_probs has {np.ndim(given)} dimensions, not (models, examples, classes)")
    if pred_probs is not None and pred_probs_unlabeled is not None and pred_probs.shape[2] != pred_probs_unlabeled.shape[2]:
        raise BadValue("pred_probs and pred_probs_unlabeled must have the same number of classes")
    scores, weights = np.array([]), _Weights(np.ones(len(pred_probs if pred_probs is not None else pred_probs_unlabeled)), 1.0)
    temperatures = np.ones(len(weights.models))
    if pred_probs is not None:
        if labels_multiannotator is None:
            raise BadValue("labels_multiannotator cannot be None when passing in pred_probs")
        wide = Wide.of(labels_multiannotator, pred_probs, classes=pred_probs.shape[2], single=True)
        scores, weights, temperatures = _scores(wide, pred_probs)
    if pred_probs_unlabeled is None:
        return scores, np.array([])
    scaled = np.stack([temp_scale_pred_probs(probs, t) for probs, t in zip(pred_probs_unlabeled, temperatures, strict=True)])
    pooled = np.tensordot(weights.models, scaled, axes=1) + weights.annotator / scaled.shape[2]
    label = majority(_votes_of_models(scaled), scaled.mean(axis=0))
    return scores, pooled[np.arange(len(label)), label] / (weights.models.sum() + weights.annotator)


def _scores(wide: Wide, probs: Floats) -> tuple[Floats, _Weights, Floats]:
    """Scores of labelled examples, the weights found, and each model's temperature."""
    labels = wide.labels
    if (labels.given == 1).all():
        mean = probs.mean(axis=0)
        quality = get_label_quality_scores(majority(labels, mean), mean)
        pool, temperatures = Pool(mean, np.ones(len(probs)), np.ones(labels.n_annotators)), np.ones(len(probs))
    else:
        temperatures = np.array([find_best_temp_scaler(wide.values, one) for one in probs])
        scaled = np.stack([temp_scale_pred_probs(one, t) for one, t in zip(probs, temperatures, strict=True)])
        voted = majority(labels, scaled.mean(axis=0))
        consensus = likeliest(crowdlab(labels, scaled, voted).pooled, voted)
        pool = crowdlab(labels, scaled, consensus)
        quality = get_label_quality_scores(consensus, pool.pooled)
    more = float(pool.annotator_weights.mean())
    held = np.bincount(labels.item, pool.annotator_weights[labels.annotator], labels.n_items) + pool.model_weights.sum()
    return (quality * held + more / labels.n_classes) / (held + more), _Weights(pool.model_weights, more), temperatures


def _votes_of_models(probs: Floats) -> Labels:
    """Each model's likeliest class as a label."""
    models, items, classes = probs.shape
    return Labels(
        np.tile(np.arange(items), models), np.repeat(np.arange(models), items), probs.argmax(axis=2).ravel(), items, models, classes
    )


def _stack(probs: Any) -> Any:
    if probs is not None and np.ndim(probs) != 2:
        raise BadValue(
            f"pred_probs has {np.ndim(probs)} dimensions, not (examples, classes)", "for several models, use the ensemble version"
        )
    return None if probs is None else probs[None]
