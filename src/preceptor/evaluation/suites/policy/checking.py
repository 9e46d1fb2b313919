"""A policy held against answers: which rules apply to which, and what breaks them, passage by passage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.judges.judge import Case, Judge
from preceptor.evaluation.suites.policy.file import Policy
from preceptor.evaluation.suites.policy.rules import AskJudge, Found, Rule
from preceptor.evaluation.suites.policy.said import Said

JudgeFor = Callable[[str], Judge]


@dataclass(frozen=True)
class Checked:
    """What one rule found in all answers.

    applies: the rows to which it applies, (n,) of 0 and 1. violations: of each row, by place; a row without any has an empty
    list. undecided: rows of which a judge gave no verdict, which count as violations.
    """

    rule: Rule
    applies: FloatArray
    violations: Sequence[Sequence[Found]]
    undecided: tuple[int, ...] = ()

    @property
    def broken(self) -> FloatArray:
        """1 where the rule is broken, (n,)."""
        return np.array([float(bool(found)) for found in self.violations])


def check_policy(answers: Answers, policy: Policy, judge_for: JudgeFor | None = None) -> list[Checked]:
    """Each rule over all answers. judge_for: from a rule's question to the judge that answers it; needed where a rule asks one."""
    if not answers.texts:
        raise UserError("there are no answers to hold a policy against", "ask the model the suite's prompts first")
    said = [Said(asked, text) for asked, text in zip(answers.asked, answers.texts, strict=True)]
    return [_judged(rule, said, judge_for) if isinstance(rule, AskJudge) else _ruled(rule, said) for rule in policy.rules]


def _ruled(rule: Rule, said: Sequence[Said]) -> Checked:
    applies = [rule.applies(one) for one in said]
    violations = [rule.check(one) if applied else [] for one, applied in zip(said, applies, strict=True)]
    return Checked(rule, np.array(applies, dtype=np.float64), violations)


def _judged(rule: AskJudge, said: Sequence[Said], judge_for: JudgeFor | None) -> Checked:
    if judge_for is None:
        raise UserError(f"rule {rule.id!r} asks a judge, and the suite names none", 'judge = "NAME" in the suite, or leave the rule out')
    rows = [row for row, one in enumerate(said) if rule.applies(one)]
    cases = [Case(said[row].text, said[row].asked.sources, said[row].asked.prompt) for row in rows]
    scores = judge_for(rule.question).scores(cases) if cases else np.zeros(0)
    if outside := [float(score) for score in scores if score < 0 or score > 1]:
        raise UserError(f"the judge of rule {rule.id!r} gave a score of {outside[0]:g}", "scores lie in 0 to 1")
    applies, violations, undecided = np.zeros(len(said)), [list[Found]() for _ in said], list[int]()
    for row, score in zip(rows, scores, strict=True):
        applies[row] = 1
        if np.isnan(score):
            undecided.append(row)
        if rule.violates(float(score)):
            note = "the judge gave no verdict" if np.isnan(score) else f"the judge gives {score:.2f}"
            violations[row] = [Found(0, len(said[row].text), note)]
    return Checked(rule, applies, violations, tuple(undecided))
