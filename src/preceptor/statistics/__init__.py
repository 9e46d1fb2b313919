"""Figures with intervals that hold: proportions and means, also of clustered rows; comparisons on the same items; few human
labels with many judge scores; looking after each label; calibration. Everything ends in an `Estimate`, and each
kind of interval has a coverage simulation in its tests. numpy and scipy only."""

from preceptor.statistics.active import active_mean, draw_by_probability, labelling_probabilities
from preceptor.statistics.allocation import neyman_allocation, residual_spreads, strata_by_score
from preceptor.statistics.calibration import ReliabilityBin, calibration_estimates, expected_calibration_error, reliability_curve
from preceptor.statistics.effort import effective_labels
from preceptor.statistics.forgetting import kept, suite_change
from preceptor.statistics.intervals import clopper_pearson, mean, proportion, wilson
from preceptor.statistics.looks import at_look
from preceptor.statistics.multiple import holm
from preceptor.statistics.noisy_truth import accuracy_against_consensus, rogan_gladen
from preceptor.statistics.paired import compare_paired, mcnemar
from preceptor.statistics.ppi_peeking import ppi_sequence, ppi_sequence_path
from preceptor.statistics.prediction_powered import ppi_mean, ppi_paired
from preceptor.statistics.preferring import preference_estimates
from preceptor.statistics.ratios import ppi_ratio
from preceptor.statistics.resampling import bootstrap
from preceptor.statistics.scores import brier, log_loss_rows, ranked_probability
from preceptor.statistics.sequential import confidence_sequence, confidence_sequence_path
from preceptor.statistics.stratified import ppi_stratified
from preceptor.statistics.sureness import cross_fitted_sureness, fit_sureness, sureness, token_features
from preceptor.statistics.temperature import apply_temperature, fit_temperature
from preceptor.statistics.watching import Watched, watch

__all__ = [
    "ReliabilityBin",
    "Watched",
    "accuracy_against_consensus",
    "active_mean",
    "apply_temperature",
    "at_look",
    "bootstrap",
    "brier",
    "calibration_estimates",
    "clopper_pearson",
    "compare_paired",
    "confidence_sequence",
    "confidence_sequence_path",
    "cross_fitted_sureness",
    "draw_by_probability",
    "effective_labels",
    "expected_calibration_error",
    "fit_sureness",
    "fit_temperature",
    "holm",
    "kept",
    "labelling_probabilities",
    "log_loss_rows",
    "mcnemar",
    "mean",
    "neyman_allocation",
    "ppi_mean",
    "ppi_paired",
    "ppi_ratio",
    "ppi_sequence",
    "ppi_sequence_path",
    "ppi_stratified",
    "preference_estimates",
    "proportion",
    "ranked_probability",
    "reliability_curve",
    "residual_spreads",
    "rogan_gladen",
    "strata_by_score",
    "suite_change",
    "sureness",
    "token_features",
    "watch",
    "wilson",
]
