"""Assign work to people, and record, combine and import their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from preceptor.annotation.access_control import (
        DAY_SECONDS,
        ROLES,
        SCOPES,
        SESSION_DAYS,
        AccessControl,
        AccessForbidden,
        AuthenticatedVisitor,
        BrowserSession,
        SignInLocked,
    )
    from preceptor.annotation.adjudication import can_see_answers, list_adjudication_choices, parse_adjudication_choice
    from preceptor.annotation.annotator_quality import AnnotatorScorecard
    from preceptor.annotation.assignment import AssignedWork, GoldFeedback, utc_midnight
    from preceptor.annotation.consensus_index import INDEXED_VIEWS, ITEM_VIEWS, ConsensusIndex
    from preceptor.annotation.dashboard import AgreementTrend, DashboardCache, DashboardMetric
    from preceptor.annotation.import_report import ImportReport
    from preceptor.annotation.row_parser import MAX_REASON_LENGTH, read_gold, read_judgments

__all__ = [
    "DAY_SECONDS",
    "INDEXED_VIEWS",
    "ITEM_VIEWS",
    "MAX_REASON_LENGTH",
    "ROLES",
    "SCOPES",
    "SESSION_DAYS",
    "AccessControl",
    "AccessForbidden",
    "AgreementTrend",
    "AnnotatorScorecard",
    "AssignedWork",
    "AuthenticatedVisitor",
    "BrowserSession",
    "ConsensusIndex",
    "DashboardCache",
    "DashboardMetric",
    "GoldFeedback",
    "ImportReport",
    "SignInLocked",
    "can_see_answers",
    "list_adjudication_choices",
    "parse_adjudication_choice",
    "read_gold",
    "read_judgments",
    "utc_midnight",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "access_control": (
            "AccessControl AccessForbidden AuthenticatedVisitor BrowserSession DAY_SECONDS ROLES SCOPES SESSION_DAYS SignInLocked"
        ),
        "adjudication": "can_see_answers list_adjudication_choices parse_adjudication_choice",
        "annotator_quality": "AnnotatorScorecard",
        "assignment": "AssignedWork GoldFeedback utc_midnight",
        "consensus_index": "ConsensusIndex INDEXED_VIEWS ITEM_VIEWS",
        "dashboard": "AgreementTrend DashboardCache DashboardMetric",
        "import_report": "ImportReport",
        "row_parser": "MAX_REASON_LENGTH read_gold read_judgments",
    },
)
