"""Offer the interface of cleanlab.multiannotator: change the import, keep the code.

Labels are a wide array or DataFrame, a row for each example and a column for each annotator, NaN where there is no label; classes are 0,
1, 2 …. The scores come from `crowdlab`: they rank labels to check, and are no posterior. pandas is imported when a function is called.
"""

from __future__ import annotations

from preceptor.compat.cleanlab.multiannotator import (
    convert_long_to_wide_dataset,
    find_best_temp_scaler,
    get_active_learning_scores,
    get_active_learning_scores_ensemble,
    get_label_quality_multiannotator,
    get_label_quality_multiannotator_ensemble,
    get_label_quality_scores,
    get_majority_vote_label,
    temp_scale_pred_probs,
)

__all__ = [
    "convert_long_to_wide_dataset",
    "find_best_temp_scaler",
    "get_active_learning_scores",
    "get_active_learning_scores_ensemble",
    "get_label_quality_multiannotator",
    "get_label_quality_multiannotator_ensemble",
    "get_label_quality_scores",
    "get_majority_vote_label",
    "temp_scale_pred_probs",
]
