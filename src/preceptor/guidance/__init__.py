"""Whom to ask what next, and when to stop asking. numpy and pydantic only: the store carries out what is decided here."""

from preceptor.guidance.stopping import StopRule, wanted

__all__ = ["StopRule", "wanted"]
