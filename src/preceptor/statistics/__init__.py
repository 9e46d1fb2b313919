"""Estimates with validated intervals: proportions and means, also of clustered rows; paired comparisons; few human labels with many
judge scores; interim analyses after each label; calibration.

Everything ends in an `Estimate`, and each kind of interval has a coverage simulation in its tests. Uses numpy and scipy only.
"""

from __future__ import annotations

from preceptor.statistics.active_inference import estimate_active_mean, labelling_probabilities, sample_by_probability
from preceptor.statistics.calibration import (
    ReliabilityBin,
    apply_temperature,
    brier_scores,
    calibration_estimates,
    cross_fit_token_confidence,
    expected_calibration_error,
    fit_temperature,
    fit_token_confidence,
    log_loss_rows,
    predict_token_confidence,
    preference_estimates,
    ranked_probability_scores,
    reliability_curve,
    token_features,
)
from preceptor.statistics.intervals import clopper_pearson_interval, estimate_mean, estimate_proportion, wilson_interval
from preceptor.statistics.noisy_reference import accuracy_against_consensus, rogan_gladen
from preceptor.statistics.paired_comparison import compare_paired, compare_suite_accuracy, holm_adjust, mcnemar, retained_log_probability
from preceptor.statistics.ppi import effective_labels, ppi_mean, ppi_paired, ppi_ratio
from preceptor.statistics.resampling import bootstrap
from preceptor.statistics.sequential import (
    ChangeEvidence,
    confidence_sequence,
    confidence_sequence_path,
    detect_change,
    estimate_at_interim,
    ppi_sequence,
    ppi_sequence_path,
)
from preceptor.statistics.stratified_ppi import neyman_allocation, ppi_stratified, residual_spreads, strata_by_score

__all__ = [
    "ChangeEvidence",
    "ReliabilityBin",
    "accuracy_against_consensus",
    "apply_temperature",
    "bootstrap",
    "brier_scores",
    "calibration_estimates",
    "clopper_pearson_interval",
    "compare_paired",
    "compare_suite_accuracy",
    "confidence_sequence",
    "confidence_sequence_path",
    "cross_fit_token_confidence",
    "detect_change",
    "effective_labels",
    "estimate_active_mean",
    "estimate_at_interim",
    "estimate_mean",
    "estimate_proportion",
    "expected_calibration_error",
    "fit_temperature",
    "fit_token_confidence",
    "holm_adjust",
    "labelling_probabilities",
    "log_loss_rows",
    "mcnemar",
    "neyman_allocation",
    "ppi_mean",
    "ppi_paired",
    "ppi_ratio",
    "ppi_sequence",
    "ppi_sequence_path",
    "ppi_stratified",
    "predict_token_confidence",
    "preference_estimates",
    "ranked_probability_scores",
    "reliability_curve",
    "residual_spreads",
    "retained_log_probability",
    "rogan_gladen",
    "sample_by_probability",
    "strata_by_score",
    "token_features",
    "wilson_interval",
]
