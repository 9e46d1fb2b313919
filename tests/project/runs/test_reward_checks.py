"""What a project says of answers while a policy learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.runs.training import make_reward_checks, score_claim_support
from preceptor.training.recipe import SampledAnswer

POLICY = """
title = "What we may say"
[[rule]]
id = "rivals"
kind = "terms"
title = "Names no rival"
terms = ["Brewmaster"]
[[rule]]
id = "polite"
kind = "required"
title = "Says thank you"
patterns = ['thank you']
when = { metadata = { topic = "praise" } }
"""
SOURCE = "Returns are free within thirty days of the purchase. A refund takes one week."


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project")


def answers(*texts: str, **beside: Any) -> list[SampledAnswer]:
    return [SampledAnswer(f"r{number}", {"prompt": "Which kettle?", **beside}, text) for number, text in enumerate(texts)]


def test_each_broken_rule_halves_what_an_answer_earns(project: Project, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    check = make_reward_checks(project)["policy"](str(tmp_path / "policy.toml"))
    said = ("Ours.", "Buy a Brewmaster.", "Thank you, ours.")
    assert check(answers(*said)).tolist() == [1.0, 0.5, 1.0]
    assert check(answers(*said, metadata={"topic": "praise"})).tolist() == [0.5, 0.25, 1.0]


def test_a_policy_that_asks_a_judge_or_isnt_there_is_refused_before_training(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rule]]\nid = "kind"\nkind = "judge"\ntitle = "Is kind"\nquestion = "Is it kind?"\n')
    make = make_reward_checks(project)["policy"]
    with pytest.raises(UserError, match="rule 'kind' asks a judge"):
        make(str(path))
    with pytest.raises(UserError, match="no file is named"):
        make("")
    with pytest.raises(UserError, match="no file for a policy"):
        make(str(tmp_path / "nowhere.toml"))


def test_claims_earn_what_the_sources_support_of_them_and_silence_earns_nothing(project: Project) -> None:
    check = make_reward_checks(project)["claims"]("")
    earned = check(
        answers(
            "Returns are free within thirty days.",
            "Returns are free within thirty days. The moon orbits Jupiter every winter.",
            "The moon orbits Jupiter every winter.",
            "",
            sources=[SOURCE],
        )
    )
    assert earned[0] == 1.0
    assert earned[0] > earned[1] > earned[2] == earned[3] == 0.0
    assert check(answers("", "", sources=[SOURCE])).tolist() == [0.0, 0.0]


def test_a_row_without_sources_is_named(project: Project) -> None:
    with pytest.raises(UserError, match=r"row 'r0', answer 'It is\.': reward claims: the row has no sources"):
        make_reward_checks(project)["claims"]("")(answers("It is."))
    with pytest.raises(UserError, match="takes nothing"):
        make_reward_checks(project)["claims"]("sources")


class Silent:
    """A judge that gives no verdict."""

    name = digest = "silent"

    def scores(self, cases: Sequence[Any]) -> Any:
        return np.full(len(cases), np.nan)


def test_a_claim_without_a_verdict_is_not_supported() -> None:
    assert score_claim_support(Silent(), answers("Returns are free.", sources=[SOURCE])).tolist() == [0.0]
