"""The quality of a training set: what is wrong with a snapshot, row by row, and what people do about it."""

from preceptor.project.checking.acting import Sent, drop, mask, merge, send
from preceptor.project.checking.differing import differences
from preceptor.project.checking.findings import Checked, Finding, Suspect
from preceptor.project.checking.looking import NAMES, check

__all__ = ["NAMES", "Checked", "Finding", "Sent", "Suspect", "check", "differences", "drop", "mask", "merge", "send"]
