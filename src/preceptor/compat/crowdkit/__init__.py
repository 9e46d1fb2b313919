"""Offer crowd-kit's interface on Preceptor's arrays: change the import, keep the code.

The classes take DataFrames with columns task, worker, label (left, right, label for pairs) and set `labels_`, `probas_` and so on, as
crowd-kit's do, with the same results in less time. docs/crowdkit.md lists where they differ and why. pandas is needed by the calls, not
by the import.
"""

from __future__ import annotations

from preceptor.compat.crowdkit.bradley_terry import BradleyTerry, NoisyBradleyTerry
from preceptor.compat.crowdkit.data_frames import get_accuracy, get_most_probable_labels, normalize_rows
from preceptor.compat.crowdkit.label_aggregation import (
    GLAD,
    MACE,
    BinaryRelevance,
    DawidSkene,
    GoldMajorityVote,
    MajorityVote,
    OneCoinDawidSkene,
    Wawa,
    ZeroBasedSkill,
)
from preceptor.compat.crowdkit.metrics import accuracy_on_aggregates, alpha_krippendorff, consistency, entropy_threshold, uncertainty

__all__ = [
    "GLAD",
    "MACE",
    "BinaryRelevance",
    "BradleyTerry",
    "DawidSkene",
    "GoldMajorityVote",
    "MajorityVote",
    "NoisyBradleyTerry",
    "OneCoinDawidSkene",
    "Wawa",
    "ZeroBasedSkill",
    "accuracy_on_aggregates",
    "alpha_krippendorff",
    "consistency",
    "entropy_threshold",
    "get_accuracy",
    "get_most_probable_labels",
    "normalize_rows",
    "uncertainty",
]
