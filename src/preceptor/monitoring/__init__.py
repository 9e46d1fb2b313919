"""Monitor served models: their responses, confidence, feedback and drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from preceptor.monitoring.answer_confidence import uninformative_warning
    from preceptor.monitoring.live_report import DriftSignal
    from preceptor.monitoring.response_log import ResponseLog
    from preceptor.monitoring.user_feedback import FEEDBACK_KINDS, MAX_FEEDBACK_KEY_LENGTH, MAX_FEEDBACK_LENGTH

__all__ = ["FEEDBACK_KINDS", "MAX_FEEDBACK_KEY_LENGTH", "MAX_FEEDBACK_LENGTH", "DriftSignal", "ResponseLog", "uninformative_warning"]

__getattr__ = lazy_attributes(
    __name__,
    {
        "answer_confidence": "uninformative_warning",
        "live_report": "DriftSignal",
        "response_log": "ResponseLog",
        "user_feedback": "FEEDBACK_KINDS MAX_FEEDBACK_KEY_LENGTH MAX_FEEDBACK_LENGTH",
    },
)
