"""Figures with intervals that hold: proportions and means, also of clustered rows; comparisons on the same items; few human
labels with many judge scores; looking after each label; calibration. Everything ends in an `Estimate`, and each
kind of interval has a coverage simulation in its tests. numpy and scipy only."""

from preceptor.statistics.calibration import ReliabilityBin, calibration_estimates, expected_calibration_error, reliability_curve
from preceptor.statistics.effort import effective_labels
from preceptor.statistics.forgetting import kept, suite_change
from preceptor.statistics.intervals import clopper_pearson, mean, proportion, wilson
from preceptor.statistics.looks import at_look
from preceptor.statistics.multiple import holm
from preceptor.statistics.paired import compare_paired, mcnemar
from preceptor.statistics.ppi_peeking import ppi_sequence, ppi_sequence_path
from preceptor.statistics.prediction_powered import ppi_mean, ppi_paired
from preceptor.statistics.ratios import ppi_ratio
from preceptor.statistics.resampling import bootstrap
from preceptor.statistics.scores import brier, log_loss_rows, ranked_probability
from preceptor.statistics.sequential import confidence_sequence, confidence_sequence_path
from preceptor.statistics.temperature import apply_temperature, fit_temperature

__all__ = [
    "ReliabilityBin",
    "apply_temperature",
    "at_look",
    "bootstrap",
    "brier",
    "calibration_estimates",
    "clopper_pearson",
    "compare_paired",
    "confidence_sequence",
    "confidence_sequence_path",
    "effective_labels",
    "expected_calibration_error",
    "fit_temperature",
    "holm",
    "kept",
    "log_loss_rows",
    "mcnemar",
    "mean",
    "ppi_mean",
    "ppi_paired",
    "ppi_ratio",
    "ppi_sequence",
    "ppi_sequence_path",
    "proportion",
    "ranked_probability",
    "reliability_curve",
    "suite_change",
    "wilson",
]
