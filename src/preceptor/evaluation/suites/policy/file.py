"""A policy's file: rules in TOML, to be read and signed by whoever answers for what a model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.domain.artifacts import digest_of
from preceptor.errors import UserError
from preceptor.evaluation.suites.policy.condition import Condition
from preceptor.evaluation.suites.policy.rules import RULES, Required, Rule
from preceptor.evaluation.suites.toml import read_toml
from preceptor.registry import did_you_mean

_HINT = "[[rule]] with id, kind, title; kinds: " + ", ".join(RULES)


@dataclass(frozen=True)
class Policy:
    """Rules with a title; `digest` is of all that they say."""

    title: str
    rules: tuple[Rule, ...]
    digest: str


def read_policy(path: str | Path) -> Policy:
    """The policy in a file; UserError with the rule that is at fault."""
    file = Path(path)
    return policy_of(read_toml(file, "a policy"), where=str(file))


def policy_of(values: Mapping[str, Any], *, where: str = "") -> Policy:
    """A policy from its file's values: `title`, and a list of tables `rule`."""
    if unknown := [name for name in values if name not in ("title", "rule")]:
        raise UserError(f"a policy has no {unknown[0]!r}{did_you_mean(unknown[0], ('title', 'rule'))}", _HINT, where=where)
    given = values.get("rule", [])
    if not isinstance(given, list) or not given or not all(isinstance(rule, Mapping) for rule in given):
        raise UserError("a policy without a rule allows everything", _HINT, where=where)
    rules = tuple(_rule(rule, number, where) for number, rule in enumerate(given, start=1))
    names = [rule.id for rule in rules]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two rules are called {twice[0]!r}", "give each rule an id of its own", where=where)
    return Policy(str(values.get("title", "Policy")), rules, digest_of(dict(values)))


def _rule(given: Mapping[str, Any], number: int, where: str) -> Rule:
    name = f"rule {given.get('id', number)!r}"
    kind = given.get("kind")
    if kind not in RULES:
        guess = did_you_mean(kind, RULES) if isinstance(kind, str) else ""
        raise UserError(f"{name}: no kind of rule is called {kind!r}{guess}", f"kinds: {', '.join(RULES)}", where=where)
    try:
        rule = RULES[kind].parse(given, of=name)
    except UserError as error:
        raise UserError(error.message, error.hint, where=where) from None
    if getattr(rule, "needs_when", False) and rule.when == Condition():
        raise UserError(f"{name} must say which prompts it is about", 'when = { metadata = { kind = "attack" } }', where=where)
    if isinstance(rule, Required) and not (rule.patterns or rule.disclaimers):
        raise UserError(f"{name} must say what it requires", "disclaimers = [\"not_legal_advice\"], or patterns = ['…']", where=where)
    return rule
