"""CROWDLAB: which labels to check first, from people's labels and a model's out-of-sample probabilities.

The method is a linear pool: ten people who agree never exceed P, the crowd's mean agreement. So it ranks; it is no posterior for a
stopping rule or a soft target. For those give the model's predictions to Dawid–Skene, as a further annotator or as the items' prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
MIN_WEIGHT = 1e-6  # lower bound of weights, and of the error that weights are relative to


@dataclass(frozen=True, eq=False)
class AnnotatorLabels:
    """Labels as codes, one row for each label: item, annotator and label (its class), each of shape (rows,); every item has a row."""

    item: Codes
    annotator: Codes
    label: Codes
    n_items: int
    n_annotators: int
    n_classes: int

    @cached_property
    def counts(self) -> Floats:
        """Number of labels by item and class, (items, classes)."""
        cells = np.bincount(self.item * self.n_classes + self.label, minlength=self.n_items * self.n_classes)
        return np.asarray(cells.reshape(self.n_items, self.n_classes), dtype=np.float64)

    @cached_property
    def label_counts(self) -> Floats:
        """Number of labels of each item, (items,)."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def has_several_labels(self) -> NDArray[np.bool_]:
        """Whether each item has two labels or more, (items,): only these items show who agrees."""
        return np.asarray(self.label_counts > 1)

    def agreement(self, consensus: Codes) -> Floats:
        """Return the share of each item's labels that equal its consensus, (items,)."""
        return np.asarray(self.counts[np.arange(self.n_items), consensus] / self.label_counts)

    def annotator_means(self, values: Floats, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Return the mean of row values by annotator, (annotators,); NaN where there are none.

        rows: which rows to use, a mask of shape (rows,); None for all.
        """
        keep = np.ones(len(self.item), dtype=bool) if rows is None else rows
        total = np.bincount(self.annotator[keep], values[keep], self.n_annotators)
        size = np.bincount(self.annotator[keep], minlength=self.n_annotators)
        return np.asarray(np.divide(total, size, out=np.full(self.n_annotators, np.nan), where=size > 0))

    def consensus_agreement(self, consensus: Codes) -> Floats:
        """Return each annotator's agreement with the consensus on items with several labels; NaN where they have none."""
        return self.annotator_means((self.label == consensus[self.item]).astype(np.float64), self.has_several_labels[self.item])


@dataclass(frozen=True, eq=False)
class CrowdlabPool:
    """The linear pool (Goh, Tkachenko & Mueller 2022).

    pooled: probabilities, (items, classes). model_weights: (models,). annotator_weights: (annotators,).
    """

    pooled: Floats
    model_weights: Floats
    annotator_weights: Floats


def fit_crowdlab(labels: AnnotatorLabels, probabilities: Floats, consensus: Codes) -> CrowdlabPool:
    """Pool people's labels and models' probabilities, weighted by their quality, into one estimate.

    probabilities: (models, items, classes); consensus: (items,). Annotator j's weight is max(δ, 1 − (1 − s_j)/E), where s_j is their
    agreement with others and E the error of always choosing the most frequent class; a model's is the same with its agreement with the
    consensus, times √(mean labels an item). An annotator's label counts as probability P, the mean agreement with the consensus, for its
    class, and the rest is spread over the other classes.
    """
    several = labels.has_several_labels
    chance = max(float(np.mean(consensus[several] != np.bincount(consensus[several], minlength=labels.n_classes).argmax())), MIN_WEIGHT)
    agree = float(labels.agreement(consensus)[several].mean())
    people = np.maximum(1 - (1 - _agreement_with_others(labels)) / chance, MIN_WEIGHT)
    error = (probabilities[:, several].argmax(axis=2) != consensus[several]).mean(axis=1)
    models = np.maximum(1 - error / chance, MIN_WEIGHT) * np.sqrt(labels.label_counts.mean())
    rest = (1 - agree) / max(labels.n_classes - 1, 1)
    size = labels.n_items * labels.n_classes
    weight = people[labels.annotator]
    chosen = np.bincount(labels.item * labels.n_classes + labels.label, weight * (agree - rest), size).reshape(-1, labels.n_classes)
    total = np.bincount(labels.item, weight, labels.n_items)
    pooled = np.tensordot(models, probabilities, axes=1) + chosen + rest * total[:, None]
    return CrowdlabPool(pooled / (total + models.sum())[:, None], models, people)


def _agreement_with_others(labels: AnnotatorLabels) -> Floats:
    """Return s_j: how often another label of the item equals j's; the mean of all where j never shared an item with another."""
    others = labels.label_counts[labels.item] - 1
    same = labels.counts[labels.item, labels.label] - 1
    met = np.bincount(labels.annotator, others, labels.n_annotators)
    share = np.divide(
        np.bincount(labels.annotator, same, labels.n_annotators), met, out=np.full(labels.n_annotators, np.nan), where=met > 0
    )
    return np.asarray(np.where(np.isnan(share), np.nanmean(share), share))


def majority_labels(labels: AnnotatorLabels, probabilities: Floats | None = None) -> Codes:
    """Return the most frequent label of each item; ties go to the model's choice, then to the rarer class, then to the better annotators.

    (Preferring the rarer class is cleanlab's choice.) What is still tied goes to the first class.
    """
    candidates = labels.counts == labels.counts.max(axis=1, keepdims=True)
    clear = candidates.sum(axis=1) == 1
    if probabilities is not None:
        candidates = _best_candidates(candidates, probabilities)
    candidates = _best_candidates(candidates, np.broadcast_to(-labels.counts.sum(axis=0), candidates.shape))
    if not (candidates.sum(axis=1) == 1).all():
        candidates = _best_candidates(candidates, _chooser_skill(labels, candidates.argmax(axis=1), clear))
    return np.asarray(candidates.argmax(axis=1))


def _chooser_skill(labels: AnnotatorLabels, consensus: Codes, clear: NDArray[np.bool_]) -> Floats:
    """Return the mean skill of those who chose each class of each item: their agreement on items with a clear majority."""
    skill = labels.annotator_means((labels.label == consensus[labels.item]).astype(np.float64), clear[labels.item])
    known = ~np.isnan(skill)
    skill = np.where(known, skill, skill[known].mean() if known.any() else 1.0)
    size = labels.n_items * labels.n_classes
    total = np.bincount(labels.item * labels.n_classes + labels.label, skill[labels.annotator], size).reshape(labels.counts.shape)
    return np.asarray(np.divide(total, labels.counts, out=np.zeros_like(total), where=labels.counts > 0))


def _best_candidates(candidates: NDArray[np.bool_], score: Floats) -> NDArray[np.bool_]:
    """Keep those of each row's candidates that have the largest score."""
    masked = np.where(candidates, score, -np.inf)
    return np.asarray(candidates & (masked == masked.max(axis=1, keepdims=True)))


def most_probable_labels(pooled: Floats, voted: Codes) -> Codes:
    """Return the class with the largest probability; the majority's where several share it."""
    alone = (pooled == pooled.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.asarray(np.where(alone, pooled.argmax(axis=1), voted))
