"""crowd-kit's interface on Preceptor's arrays: change the import, keep the code.

The classes take DataFrames with columns task, worker, label (left, right, label for pairs) and leave `labels_`, `probas_`
and so on, as crowd-kit's do, and find what they find, sooner. docs/crowdkit.md says where they differ and why.
pandas is needed by the calls, not by the import.
"""

from preceptor.aggregation.crowdkit.accuracy import get_accuracy, get_most_probable_labels, normalize_rows
from preceptor.aggregation.crowdkit.dawid_skene import DawidSkene, OneCoinDawidSkene
from preceptor.aggregation.crowdkit.glad import GLAD
from preceptor.aggregation.crowdkit.mace import MACE
from preceptor.aggregation.crowdkit.metrics import accuracy_on_aggregates, alpha_krippendorff, consistency, entropy_threshold, uncertainty
from preceptor.aggregation.crowdkit.pairwise import BradleyTerry, NoisyBradleyTerry
from preceptor.aggregation.crowdkit.votes import BinaryRelevance, GoldMajorityVote, MajorityVote, Wawa, ZeroBasedSkill

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
