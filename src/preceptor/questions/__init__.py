"""Define the kinds of questions, one per module: what may be answered, and how an answer is checked.

A kind names its agreement level and default aggregator as strings, so that this package imports neither.
"""

from __future__ import annotations

from preceptor.questions.kind import QuestionKind, check_follow_up, define_question, is_follow_up_asked, kinds

__all__ = ["QuestionKind", "check_follow_up", "define_question", "is_follow_up_asked", "kinds"]
