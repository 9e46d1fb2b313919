"""Whom to ask what next, and when to stop asking. numpy and pydantic only: the store carries out what is decided here."""

from preceptor.guidance.audits import Audit, audit, recalibration
from preceptor.guidance.replays import Replay, replay
from preceptor.guidance.stopping import StopRule, full_redundancy, is_audited, wanted

__all__ = ["Audit", "Replay", "StopRule", "audit", "full_redundancy", "is_audited", "recalibration", "replay", "wanted"]
