"""Whom to ask what next, and when to stop asking. numpy and pydantic only: the store carries out what is decided here."""

from preceptor.guidance.audits import Audit, audit, recalibration
from preceptor.guidance.budget import Ask, worth_asking
from preceptor.guidance.replays import Replay, replay
from preceptor.guidance.selection import Mix, Selection, select
from preceptor.guidance.stopping import StopRule, full_redundancy, is_audited, wanted
from preceptor.guidance.weights import lure_weights

__all__ = [
    "Ask",
    "Audit",
    "Mix",
    "Replay",
    "Selection",
    "StopRule",
    "audit",
    "full_redundancy",
    "is_audited",
    "lure_weights",
    "recalibration",
    "replay",
    "select",
    "wanted",
    "worth_asking",
]
