"""Study design, forecasts of accuracy, cost and completion, query selection and stop rules.

Before a study: the judgments and annotators that a target accuracy takes. During it: what more money would buy, when it will be done,
which item to judge next and by whom, and when to stop. Uses numpy, scipy and pydantic only; nothing here reads or writes the store.
"""

from __future__ import annotations

from preceptor.planning.completion_time import forecast_completion
from preceptor.planning.information_gain import PlannedQuery, allocate_judgments
from preceptor.planning.judgment_replay import JudgmentReplay, replay_judgments
from preceptor.planning.judgment_value import ForecastPoint, ItemBeliefs, forecast_curve, forecast_gain
from preceptor.planning.qualification_test import (
    AccuracyAlarm,
    OperatingCharacteristic,
    QualificationResult,
    QualificationRule,
    monitor_accuracy,
    operating_characteristic,
    qualify_annotator,
    trivial_gold_warning,
)
from preceptor.planning.query_selection import QuerySelection, SelectionMix, lure_weights, select_queries
from preceptor.planning.stop_rule import (
    StopRule,
    StopRuleAudit,
    audit_stop_rule,
    full_redundancy,
    has_required_skills,
    is_audited,
    is_gold_due,
    recalibration_scale,
    should_escalate,
    target_judgment_counts,
)
from preceptor.planning.study import CrowdModel, StudyDesign, StudyPlan, design_study

__all__ = [
    "AccuracyAlarm",
    "CrowdModel",
    "ForecastPoint",
    "ItemBeliefs",
    "JudgmentReplay",
    "OperatingCharacteristic",
    "PlannedQuery",
    "QualificationResult",
    "QualificationRule",
    "QuerySelection",
    "SelectionMix",
    "StopRule",
    "StopRuleAudit",
    "StudyDesign",
    "StudyPlan",
    "allocate_judgments",
    "audit_stop_rule",
    "design_study",
    "forecast_completion",
    "forecast_curve",
    "forecast_gain",
    "full_redundancy",
    "has_required_skills",
    "is_audited",
    "is_gold_due",
    "lure_weights",
    "monitor_accuracy",
    "operating_characteristic",
    "qualify_annotator",
    "recalibration_scale",
    "replay_judgments",
    "select_queries",
    "should_escalate",
    "target_judgment_counts",
    "trivial_gold_warning",
]
