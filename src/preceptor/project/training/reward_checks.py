"""What a project can say of an answer while a policy learns: whether it keeps a policy's rules, and whether its sources support it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from preceptor.domain.items import sources_of
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers, Asked
from preceptor.evaluation.judges.judge import Case, Judge
from preceptor.evaluation.splitting import claims_of
from preceptor.evaluation.suites.policy.checking import check_policy
from preceptor.evaluation.suites.policy.file import Policy, read_policy
from preceptor.evaluation.suites.policy.rules import AskJudge
from preceptor.project.judges.training import local_judge
from preceptor.recipes.rewarding.sampled import Check, MakeCheck, Sampled

if TYPE_CHECKING:
    from preceptor.project.project import Project


def reward_checks(project: Project) -> Mapping[str, MakeCheck]:
    """The checks that a reward may name, each made when it is asked for."""
    return {"policy": _policy, "claims": partial(_claims, project)}


def policy_kept(policy: Policy, samples: Sequence[Sampled]) -> FloatArray:
    """1 for an answer that breaks no rule; each rule that it breaks halves it: the first one costs most, and the next still something."""
    asked = [_asked(sample) for sample in samples]
    found = check_policy(Answers("policy", asked, [sample.text for sample in samples], {}, ""), policy)
    return np.asarray(0.5 ** np.sum([one.broken for one in found], axis=0), dtype=np.float64)


def claims_supported(judge: Judge, samples: Sequence[Sampled]) -> FloatArray:
    """The mean support of an answer's claims by its sources; 0 for one that claims nothing, or silence would be rewarded.

    UserError for a row without sources.
    """
    cases, owners = list[Case](), list[int]()
    for row, sample in enumerate(samples):
        if not (sources := sources_of(sample.content)):
            raise UserError("reward claims: the row has no sources", '"sources": ["a text", …] beside the prompt', where=sample.shown)
        for claim in claims_of(sample.text):
            cases.append(Case(claim, sources))
            owners.append(row)
    support = np.nan_to_num(np.asarray(judge.scores(cases), dtype=np.float64)) if cases else np.zeros(0)
    count = np.bincount(owners, minlength=len(samples)) if owners else np.zeros(len(samples))
    total = np.bincount(owners, support, minlength=len(samples)) if owners else np.zeros(len(samples))
    return np.asarray(total / np.maximum(count, 1), dtype=np.float64)


def _policy(file: str) -> Check:
    if not file:
        raise UserError("reward policy: no file is named", "policy:policy.toml")
    policy = read_policy(file)
    if judged := [rule.id for rule in policy.rules if isinstance(rule, AskJudge)]:
        raise UserError(f"reward policy: rule {judged[0]!r} asks a judge", "reward by rules alone, and measure the judged ones", where=file)
    return partial(policy_kept, policy)


def _claims(project: Project, of: str) -> Check:
    if of:
        raise UserError(f"reward claims takes nothing, and {of!r} stands behind it", "claims, or claims*0.5")
    return partial(claims_supported, local_judge(project))


def _asked(sample: Sampled) -> Asked:
    from preceptor.models.template import turns_of

    turns = tuple({"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns_of(sample.content, "")[:-1])
    return Asked(sample.id, sample.id, turns, sources_of(sample.content), None, dict(sample.content.get("metadata") or {}))
