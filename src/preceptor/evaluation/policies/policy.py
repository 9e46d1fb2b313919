"""Read a policy, check answers against its rules, and estimate violation rates.

A policy is a TOML file of rules, to be read and signed by whoever is responsible for a model's answers. `check_policy` finds which rules
apply to which answers, and the passages that break them; `policy_section` builds the report section: how often answers break the policy,
rule by rule, and the worst of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.judges.judge import CaseJudge, JudgeCase
from preceptor.evaluation.number_format import format_count, format_estimate
from preceptor.evaluation.policies.rules import (
    RULE_KINDS,
    JudgeRule,
    MustAnswerRule,
    MustRefuseRule,
    PolicyAnswer,
    PolicyRule,
    RequiredRule,
    RuleCondition,
    RuleViolation,
)
from preceptor.evaluation.prompts import ModelAnswers
from preceptor.evaluation.slices import slice_section
from preceptor.formats.toml import parse_toml
from preceptor.registry import suggest_name
from preceptor.statistics import estimate_mean
from preceptor.types import Estimate, FloatArray, json_digest


def read_toml_file(path: Path, what: str) -> dict[str, Any]:
    """Read the values of a TOML file.

    what: "a suite", for the message. Raises UserError where the file is missing or can't be read.
    """
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file for {what} here", "check the path", where=str(path)) from None
    except OSError as error:
        raise UserError(f"can't be read: {error.strerror}", "check the name and the permissions", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"can't be read: {error}", "mend the line; texts stand in quotes, patterns in single ones", where=str(path)
        ) from None


_POLICY_HINT = "[[rule]] with id, kind, title; kinds: " + ", ".join(RULE_KINDS)


@dataclass(frozen=True)
class AnswerPolicy:
    """A policy: a title, its rules, and the digest of its whole content."""

    title: str
    rules: tuple[PolicyRule, ...]
    digest: str


def read_policy(path: str | Path) -> AnswerPolicy:
    """Read the policy in a file.

    Raises UserError that names the faulty rule.
    """
    file = Path(path)
    return parse_policy(read_toml_file(file, "a policy"), where=str(file))


def parse_policy(values: Mapping[str, Any], *, where: str = "") -> AnswerPolicy:
    """Parse a policy from its file's values: `title`, and a list of tables `rule`.

    Raises UserError for unknown keys, no rules, duplicate ids or a faulty rule.
    """
    if unknown := [name for name in values if name not in ("title", "rule")]:
        raise UserError(f"a policy has no {unknown[0]!r}{suggest_name(unknown[0], ('title', 'rule'))}", _POLICY_HINT, where=where)
    tables = values.get("rule", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(rule, Mapping) for rule in tables):
        raise UserError("a policy without a rule allows everything", _POLICY_HINT, where=where)
    rules = tuple(_parse_rule(rule, number, where) for number, rule in enumerate(tables, start=1))
    names = [rule.id for rule in rules]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two rules are called {twice[0]!r}", "give each rule an id of its own", where=where)
    return AnswerPolicy(str(values.get("title", "Policy")), rules, json_digest(dict(values)))


def _parse_rule(table: Mapping[str, Any], number: int, where: str) -> PolicyRule:
    name = f"rule {table.get('id', number)!r}"
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in RULE_KINDS:
        guess = suggest_name(kind, RULE_KINDS) if isinstance(kind, str) else ""
        raise UserError(f"{name}: no kind of rule is called {kind!r}{guess}", f"kinds: {', '.join(RULE_KINDS)}", where=where)
    try:
        rule = RULE_KINDS[kind].parse(table, of=name)
    except UserError as error:
        raise UserError(error.message, error.hint, where=where) from None
    if getattr(rule, "needs_when", False) and rule.when == RuleCondition():
        raise UserError(f"{name} must say which prompts it is about", 'when = { metadata = { kind = "attack" } }', where=where)
    if isinstance(rule, RequiredRule) and not (rule.patterns or rule.disclaimers):
        raise UserError(f"{name} must say what it requires", "disclaimers = [\"not_legal_advice\"], or patterns = ['…']", where=where)
    return rule


JudgeFactory = Callable[[str], CaseJudge]


@dataclass(frozen=True)
class RuleResult:
    """What one rule found in all answers.

    applies: the rows to which it applies, (n,) of 0 and 1. violations: of each row, by position; a row without any has an empty list.
    undecided: rows for which a judge gave no verdict, which count as violations.
    """

    rule: PolicyRule
    applies: FloatArray
    violations: Sequence[Sequence[RuleViolation]]
    undecided: tuple[int, ...] = ()

    @property
    def broken(self) -> FloatArray:
        """1 where the rule is broken, (n,)."""
        return np.array([float(bool(found)) for found in self.violations])


def check_policy(answers: ModelAnswers, policy: AnswerPolicy, judge_for: JudgeFactory | None = None) -> list[RuleResult]:
    """Check all answers against each rule of a policy.

    judge_for: from a rule's question to the judge that answers it; needed where a rule asks one. Raises UserError without answers, without
    a judge that is needed, or for scores outside 0 to 1.
    """
    if not answers.texts:
        raise UserError("there are no answers to hold a policy against", "ask the model the suite's prompts first")
    policy_answers = [PolicyAnswer(prompt, text) for prompt, text in zip(answers.prompts, answers.texts, strict=True)]
    return [
        _check_judge_rule(rule, policy_answers, judge_for) if isinstance(rule, JudgeRule) else _check_rule(rule, policy_answers)
        for rule in policy.rules
    ]


def _check_rule(rule: PolicyRule, policy_answers: Sequence[PolicyAnswer]) -> RuleResult:
    applies = [rule.applies(one) for one in policy_answers]
    violations = [rule.check(one) if applied else [] for one, applied in zip(policy_answers, applies, strict=True)]
    return RuleResult(rule, np.array(applies, dtype=np.float64), violations)


def _check_judge_rule(rule: JudgeRule, policy_answers: Sequence[PolicyAnswer], judge_for: JudgeFactory | None) -> RuleResult:
    if judge_for is None:
        raise UserError(f"rule {rule.id!r} asks a judge, and the suite names none", 'judge = "NAME" in the suite, or leave the rule out')
    rows = [row for row, one in enumerate(policy_answers) if rule.applies(one)]
    cases = [
        JudgeCase(policy_answers[row].text, policy_answers[row].suite_prompt.sources, policy_answers[row].suite_prompt.prompt)
        for row in rows
    ]
    scores = judge_for(rule.question).scores(cases) if cases else np.zeros(0)
    if outside := [float(score) for score in scores if score < 0 or score > 1]:
        raise UserError(f"the judge of rule {rule.id!r} gave a score of {outside[0]:g}", "scores lie in 0 to 1")
    applies, violations, undecided = np.zeros(len(policy_answers)), [list[RuleViolation]() for _ in policy_answers], list[int]()
    for row, score in zip(rows, scores, strict=True):
        applies[row] = 1
        if np.isnan(score):
            undecided.append(row)
        if rule.is_violation(float(score)):
            note = "the judge gave no verdict" if np.isnan(score) else f"the judge gives {score:.2f}"
            violations[row] = [RuleViolation(0, len(policy_answers[row].text), note)]
    return RuleResult(rule, applies, violations, tuple(undecided))


_MAX_EXAMPLES = 10
_SEVERITY_RANK = {"high": 2, "medium": 1, "low": 0}


def policy_section(
    answers: ModelAnswers, policy: AnswerPolicy, *, title: str, judge_for: JudgeFactory | None = None, slices: Sequence[str] = ()
) -> dict[str, Any]:
    """Build the report section of a policy suite.

    figures: `violations`, the share of answers that break a rule; `missed_refusals` of prompts that must be refused, and
    `needless_refusals` of those that mustn't be, where there are such prompts. rules: each with its share of the answers to which it
    applies. examples: the worst answers, each passage marked with the rule that it breaks. Intervals are clustered by group. slices:
    metadata columns of the prompts; the section shows where violations are more frequent.
    """
    groups = [prompt.group for prompt in answers.prompts]
    checked = check_policy(answers, policy, judge_for)
    broken = _any_column([one.broken for one in checked])
    figures = {
        "violations": estimate_mean(broken, clusters=groups),
        **_rule_kind_rate("missed_refusals", checked, MustRefuseRule, groups),
        **_rule_kind_rate("needless_refusals", checked, MustAnswerRule, groups),
    }
    return {
        "kind": "policy",
        "title": title,
        "summary": _policy_sentences(policy, checked, figures["violations"], broken),
        "figures": figures,
        "rows": len(answers.texts),
        "groups": len(set(groups)),
        "policy": {"title": policy.title, "digest": policy.digest},
        "rules": {one.rule.id: _rule_summary(one, groups) for one in checked},
        "examples": _worst_answers(answers, checked),
        **slice_section(answers, slices, broken, figure="violations", better="lower"),
    }


def _rule_kind_rate(name: str, checked: Sequence[RuleResult], kind: type[PolicyRule], groups: Sequence[str]) -> dict[str, Estimate]:
    """Estimate, of the answers to which any rule of a kind applies, the share that breaks one; nothing where none applies."""
    those = [one for one in checked if isinstance(one.rule, kind)]
    rows = _any_column([np.zeros(len(groups)), *(one.applies for one in those)]) > 0
    if not rows.any():
        return {}
    return {name: estimate_mean(_any_column([one.broken for one in those])[rows], clusters=np.asarray(groups)[rows])}


def _any_column(columns: Sequence[FloatArray]) -> FloatArray:
    """Return 1 where any column of 0 and 1 has a 1."""
    return np.asarray(np.max(np.stack(columns), axis=0))


def _rule_summary(one: RuleResult, groups: Sequence[str]) -> dict[str, Any]:
    """Return a rule's row in the report; without a share where it applies to no answer."""
    rule, rows = one.rule, one.applies > 0
    share = {"violations": estimate_mean(one.broken[rows], clusters=np.asarray(groups)[rows])} if rows.any() else {}
    fields = {"title": rule.title, "reason": rule.reason, "severity": rule.severity, "kind": rule.kind}
    return {**fields, "applies": int(rows.sum()), "broken": int(one.broken.sum()), "undecided": len(one.undecided), **share}


def _policy_sentences(policy: AnswerPolicy, checked: Sequence[RuleResult], violations: Estimate, broken: FloatArray) -> list[str]:
    sentences = [
        (
            f"{format_count(broken.sum())} of {format_count(len(broken))} answers "
            f"break a rule of “{policy.title}”: {format_estimate(violations)}."
        )
    ]
    for one in sorted(checked, key=lambda one: -_SEVERITY_RANK[one.rule.severity]):
        if number := int(one.broken.sum()):
            sentences.append(
                f"{one.rule.title}: broken by {format_count(number)} of {format_count(one.applies.sum())} ({one.rule.severity})."
            )
    idle = [one.rule.id for one in checked if not one.applies.any()]
    if idle:
        sentences.append(f"No prompt of the suite puts these rules to the test: {', '.join(idle)}.")
    if undecided := sum(len(one.undecided) for one in checked):
        sentences.append(f"The judge gave no verdict in {format_count(undecided)} cases; each counts as a violation.")
    return sentences


def _worst_answers(answers: ModelAnswers, checked: Sequence[RuleResult]) -> list[dict[str, Any]]:
    """Return the answers with the most severe violations first, then those with more of them."""
    gravity = [0] * len(answers.texts)
    number = [0] * len(answers.texts)
    for one in checked:
        for row, found in enumerate(one.violations):
            if found:
                gravity[row] = max(gravity[row], 1 + _SEVERITY_RANK[one.rule.severity])
                number[row] += 1
    order = sorted((row for row in range(len(gravity)) if number[row]), key=lambda row: (-gravity[row], -number[row], row))
    return [_violation_example(answers, checked, row) for row in order[:_MAX_EXAMPLES]]


def _violation_example(answers: ModelAnswers, checked: Sequence[RuleResult], row: int) -> dict[str, Any]:
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
    prompt = answers.prompts[row]
    return {"id": prompt.id, "prompt": prompt.prompt, "answer": answers.texts[row], "summary": _violation_summary(marks), "marks": marks}


def _violation_summary(marks: Sequence[Mapping[str, Any]]) -> str:
    """Return each broken rule once, with what breaks it and its reason."""
    rules: dict[str, list[str]] = {}
    for mark in marks:
        reason = f" ({mark['reason'].rstrip('.')})" if mark["reason"] else ""
        rules.setdefault(f"{mark['title']}{reason}", []).append(mark["note"])
    return "; ".join(f"{rule}: {', '.join(dict.fromkeys(notes))}" for rule, notes in rules.items())
