"""Kinds of questions, one a file: what may be answered, and how an answer is checked.

A kind names its agreement level and default aggregator as strings, so that this room needs neither.
"""

from preceptor.questions.kind import Kind, check_follows, define, is_asked, kinds

__all__ = ["Kind", "check_follows", "define", "is_asked", "kinds"]
