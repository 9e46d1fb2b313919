"""Judge models: they score many cases cheaply, and people's labels say what that is worth.

A judge is a question in a fixed prompt put to a model, frozen by a digest of both. Its agreement with people is measured before
its scores count; calibrated out of fold they enter prediction-powered intervals, and never stand for people.
"""

from preceptor.evaluation.judges.agreement import Agreement, agreement_with_people, filled_in, labels_saved
from preceptor.evaluation.judges.calibration import Calibrated, calibrated
from preceptor.evaluation.judges.choosing import ByLikelihood, ByWriting, Chooser, verdict
from preceptor.evaluation.judges.drifting import Drift, Probe, drift
from preceptor.evaluation.judges.judge import Case, Judge
from preceptor.evaluation.judges.orders import BothOrders
from preceptor.evaluation.judges.pairs import PairCase, PairJudge
from preceptor.evaluation.judges.rubric import RubricJudge

__all__ = [
    "Agreement",
    "BothOrders",
    "ByLikelihood",
    "ByWriting",
    "Calibrated",
    "Case",
    "Chooser",
    "Drift",
    "Judge",
    "PairCase",
    "PairJudge",
    "Probe",
    "RubricJudge",
    "agreement_with_people",
    "calibrated",
    "drift",
    "filled_in",
    "labels_saved",
    "verdict",
]
