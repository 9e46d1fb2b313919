"""Whom to ask what next, and when to stop asking. numpy and pydantic only: the store carries out what is decided here."""

from preceptor.guidance.replays import Replay, replay
from preceptor.guidance.stopping import StopRule, wanted

__all__ = ["Replay", "StopRule", "replay", "wanted"]
