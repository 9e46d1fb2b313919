"""Score many cases with LLM judges, and measure against human labels what those scores are worth.

A judge is a question in a fixed prompt put to a model, identified by a digest of both. Its agreement with people is measured before its
scores count; calibrated out of fold, they enter prediction-powered intervals and never replace human labels.
"""

from __future__ import annotations

from preceptor.evaluation.judges.judge import CaseJudge, JudgeCase
from preceptor.evaluation.judges.llm_judges import (
    GenerationChooser,
    LikelihoodChooser,
    OptionChooser,
    OrderedVerdicts,
    PairCase,
    PairJudge,
    RubricJudge,
    parse_verdict,
)
from preceptor.evaluation.judges.validation import (
    CalibratedScores,
    JudgeAgreement,
    JudgeDrift,
    JudgeProbe,
    calibrate_scores,
    impute_missing,
    label_efficiency,
    measure_agreement,
    measure_drift,
)

__all__ = [
    "CalibratedScores",
    "CaseJudge",
    "GenerationChooser",
    "JudgeAgreement",
    "JudgeCase",
    "JudgeDrift",
    "JudgeProbe",
    "LikelihoodChooser",
    "OptionChooser",
    "OrderedVerdicts",
    "PairCase",
    "PairJudge",
    "RubricJudge",
    "calibrate_scores",
    "impute_missing",
    "label_efficiency",
    "measure_agreement",
    "measure_drift",
    "parse_verdict",
]
