"""Answers made to be slow: an e-mail rule once took minutes for one of 100,000 characters."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from preceptor.evaluation.policies.policy import read_policy
from preceptor.evaluation.policies.rules import PolicyAnswer
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.evaluation.suites.abstention import is_abstention

POLICIES = [read_policy(path) for path in sorted((Path(__file__).parent / "policies").glob("*.toml"))]
REPEATED = [
    "a-",
    "a@",
    "1 ",
    "a.",
    " ",
    "a (at) ",
    "a dot b at c dot ",
    "i can't ",
    "information and not legal ",
    "a\n",
    "*",
    "DE89 ",
    "US UK ",
]


@pytest.mark.parametrize("piece", REPEATED)
def test_time_grows_with_length_and_not_with_its_square(piece):
    said = PolicyAnswer(SuitePrompt("", "", ({"role": "user", "content": "x"},)), piece * (20_000 // len(piece)) + "@x")
    started = time.perf_counter()
    for policy in POLICIES:
        for rule in policy.rules:
            rule.check(said)
    is_abstention(said.plain.text)
    assert time.perf_counter() - started < 10  # under 1 s on an idle core
