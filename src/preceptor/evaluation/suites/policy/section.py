"""The report's section of a policy suite: how often answers break the policy, rule by rule, and the worst of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.domain.results import Estimate, FloatArray
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.suites.policy.checking import Checked, JudgeFor, check_policy
from preceptor.evaluation.suites.policy.file import Policy
from preceptor.evaluation.suites.policy.rules import MustAnswer, MustRefuse, Rule
from preceptor.evaluation.suites.slicing import by_slice
from preceptor.evaluation.wording import count, spread
from preceptor.statistics import mean

WORST = 10
_GRAVITY = {"high": 2, "medium": 1, "low": 0}


def policy_section(
    answers: Answers, policy: Policy, *, title: str, judge_for: JudgeFor | None = None, slices: Sequence[str] = ()
) -> dict[str, Any]:
    """figures: `violations`, the share of answers that break a rule; `missed_refusals` of prompts that must be refused, and
    `needless_refusals` of those that mustn't be, where there are such prompts. rules: each with its share of the answers to which it
    applies. examples: the worst answers, each passage marked with the rule that it breaks. Intervals are clustered by group.
    slices: what is known of prompts and tells where violations are more frequent.
    """
    groups = [asked.group for asked in answers.asked]
    checked = check_policy(answers, policy, judge_for)
    broken = _any([one.broken for one in checked])
    figures = {
        "violations": mean(broken, clusters=groups),
        **_share("missed_refusals", checked, MustRefuse, groups),
        **_share("needless_refusals", checked, MustAnswer, groups),
    }
    return {
        "kind": "policy",
        "title": title,
        "words": _words(policy, checked, figures["violations"], broken),
        "figures": figures,
        "rows": len(answers.texts),
        "groups": len(set(groups)),
        "policy": {"title": policy.title, "digest": policy.digest},
        "rules": {one.rule.id: _rule(one, groups) for one in checked},
        "examples": _worst(answers, checked),
        **by_slice(answers, slices, broken, figure="violations", better="lower"),
    }


def _share(name: str, checked: Sequence[Checked], kind: type[Rule], groups: Sequence[str]) -> dict[str, Estimate]:
    """Of the answers to which any rule of a kind applies, the share that breaks one; nothing where none applies."""
    those = [one for one in checked if isinstance(one.rule, kind)]
    rows = _any([np.zeros(len(groups)), *(one.applies for one in those)]) > 0
    if not rows.any():
        return {}
    return {name: mean(_any([one.broken for one in those])[rows], clusters=np.asarray(groups)[rows])}


def _any(columns: Sequence[FloatArray]) -> FloatArray:
    """1 where any column of 0 and 1 has a 1."""
    return np.asarray(np.max(np.stack(columns), axis=0))


def _rule(one: Checked, groups: Sequence[str]) -> dict[str, Any]:
    """A rule's line; without a share where it applies to no answer."""
    rule, rows = one.rule, one.applies > 0
    share = {"violations": mean(one.broken[rows], clusters=np.asarray(groups)[rows])} if rows.any() else {}
    said = {"title": rule.title, "reason": rule.reason, "severity": rule.severity, "kind": rule.kind}
    return {**said, "applies": int(rows.sum()), "broken": int(one.broken.sum()), "undecided": len(one.undecided), **share}


def _words(policy: Policy, checked: Sequence[Checked], violations: Estimate, broken: FloatArray) -> list[str]:
    words = [f"{count(broken.sum())} of {count(len(broken))} answers break a rule of “{policy.title}”: {spread(violations)}."]
    for one in sorted(checked, key=lambda one: -_GRAVITY[one.rule.severity]):
        if number := int(one.broken.sum()):
            words.append(f"{one.rule.title}: broken by {count(number)} of {count(one.applies.sum())} ({one.rule.severity}).")
    idle = [one.rule.id for one in checked if not one.applies.any()]
    if idle:
        words.append(f"No prompt of the suite puts these rules to the test: {', '.join(idle)}.")
    if undecided := sum(len(one.undecided) for one in checked):
        words.append(f"The judge gave no verdict in {count(undecided)} cases; each counts as a violation.")
    return words


def _worst(answers: Answers, checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """Answers with the gravest violations first, then those with more of them."""
    gravity = [0] * len(answers.texts)
    number = [0] * len(answers.texts)
    for one in checked:
        for row, found in enumerate(one.violations):
            if found:
                gravity[row] = max(gravity[row], 1 + _GRAVITY[one.rule.severity])
                number[row] += 1
    order = sorted((row for row in range(len(gravity)) if number[row]), key=lambda row: (-gravity[row], -number[row], row))
    return [_example(answers, checked, row) for row in order[:WORST]]


def _example(answers: Answers, checked: Sequence[Checked], row: int) -> dict[str, Any]:
    marks = [
        {
            "rule": one.rule.id,
            "title": one.rule.title,
            "reason": one.rule.reason,
            "severity": one.rule.severity,
            "start": found.start,
            "end": found.end,
            "note": found.note,
        }
        for one in checked
        for found in one.violations[row]
    ]
    asked = answers.asked[row]
    return {"id": asked.id, "prompt": asked.prompt, "answer": answers.texts[row], "words": _why(marks), "marks": marks}


def _why(marks: Sequence[Mapping[str, Any]]) -> str:
    """Each broken rule once, with what breaks it and its reason."""
    rules: dict[str, list[str]] = {}
    for mark in marks:
        reason = f" ({mark['reason'].rstrip('.')})" if mark["reason"] else ""
        rules.setdefault(f"{mark['title']}{reason}", []).append(mark["note"])
    return "; ".join(f"{rule}: {', '.join(dict.fromkeys(notes))}" for rule, notes in rules.items())
