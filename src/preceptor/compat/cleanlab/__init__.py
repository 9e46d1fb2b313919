"""cleanlab.multiannotator's interface: change the import, keep the code.

Labels are a wide array or DataFrame, a row an example and a column an annotator, NaN where there is none; classes are
0, 1, 2 …. The figures are `crowdlab`'s: they rank labels to check, and are no posterior. pandas is imported when called.
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
