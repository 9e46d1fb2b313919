"""Whom to ask what next, and when to stop asking. numpy and pydantic only: the store carries out what is decided here."""

from preceptor.guidance.assigning import escalates, is_gold_turn, needs
from preceptor.guidance.audits import Audit, audit, recalibration
from preceptor.guidance.budget import Ask, worth_asking
from preceptor.guidance.flags import Flag, Pool, Work, flags
from preceptor.guidance.qualification import Odds, Qualification, Verdict, loophole, odds, qualify
from preceptor.guidance.replays import Replay, replay
from preceptor.guidance.selection import Mix, Selection, select
from preceptor.guidance.stopping import StopRule, full_redundancy, is_audited, wanted
from preceptor.guidance.watching import Watch, watch
from preceptor.guidance.weights import lure_weights

__all__ = [
    "Ask",
    "Audit",
    "Flag",
    "Mix",
    "Odds",
    "Pool",
    "Qualification",
    "Replay",
    "Selection",
    "StopRule",
    "Verdict",
    "Watch",
    "Work",
    "audit",
    "escalates",
    "flags",
    "full_redundancy",
    "is_audited",
    "is_gold_turn",
    "loophole",
    "lure_weights",
    "needs",
    "odds",
    "qualify",
    "recalibration",
    "replay",
    "select",
    "wanted",
    "watch",
    "worth_asking",
]
