"""Where people are tied about a claim, it isn't taken for supported: another decides; a tie that stays goes against the model."""

from __future__ import annotations

import pytest

from preceptor import Project
from preceptor.evaluation.judges.claim_judges import OverlapJudge
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.evaluation.release_bounds import ReleaseBound
from preceptor.runs import claim_audit
from preceptor.runs.claim_audit import CLAIM_QUESTION
from preceptor.runs.suite_answers import build_answers

BOUND = ReleaseBound.parse("hallucination_responses.high <= 0.5")


@pytest.fixture
def answers():
    source = "Shop {} opens at nine."
    asked = [SuitePrompt(f"q{n}", f"g{n}", ({"role": "user", "content": f"And shop {n}?"},), (source.format(n),)) for n in range(40)]
    return build_answers("m-1", asked, [source.format(n) for n in range(40)], {"seed": 0})


@pytest.fixture
def make_project(tmp_path):
    made = []

    def make(**redundancy):
        made.append(Project.create(tmp_path / f"p{len(made)}", redundancy={"min_judgments": 2, **redundancy}, annotators={"gold_share": 0}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def check(project, who, verdict):
    shown = 0
    project.add_annotator(who)
    while (taken := project.next(who, CLAIM_QUESTION)) is not None:
        marks = [{"claim": number, "verdict": verdict, "source": 0} for number in range(len(taken.content["claims"]))]
        project.submit(taken.slot, who, marks)
        shown += 1
    return shown


def run(project, answers, **more):
    return claim_audit.audit_claims(project, answers, OverlapJudge(), bounds=[BOUND], **more)


def test_a_tie_is_no_verdict_until_another_decides(make_project, answers):
    project = make_project(max_judgments=5)
    run(project, answers)
    assert check(project, "ann", "supported") == check(project, "bob", "contradicted") == 40
    tied = run(project, answers)
    assert "hallucination" not in tied["figures"], "half say so, half say otherwise"
    assert tied["looks"]["tied"] == 40
    assert any("tied about a claim of 40 responses" in words for words in tied["summary"])
    assert check(project, "cleo", "contradicted") == 40
    decided = run(project, answers)
    assert decided["figures"]["hallucination"].value == 1
    assert decided["looks"]["decided"] == "missed"


def test_at_the_most_that_guidance_asks_a_reviewer_decides(make_project, answers):
    project = make_project(max_judgments=2)
    project.add_annotator("rita", role="reviewer")
    run(project, answers)
    check(project, "ann", "supported")
    check(project, "bob", "contradicted")
    assert run(project, answers)["looks"]["tied"] == 40
    assert check(project, "dave", "supported") == 0, "an annotator isn't asked"
    assert check(project, "rita", "supported") == 40
    assert run(project, answers)["figures"]["hallucination"].value == 0


def test_a_tie_that_nobody_is_left_to_break_goes_against_the_model(make_project, answers):
    project = make_project(max_judgments=2)
    run(project, answers)
    check(project, "ann", "supported")
    check(project, "bob", "contradicted")
    section = run(project, answers)
    assert "tied" not in section["looks"]
    assert section["figures"]["hallucination"].value == 1


def test_two_of_four_are_no_majority(make_project, answers):
    project = make_project(min_judgments=4, max_judgments=5)
    run(project, answers)
    for who, verdict in (("ann", "supported"), ("bob", "supported"), ("cleo", "contradicted"), ("dave", "not_found")):
        assert check(project, who, verdict) == 40
    assert "hallucination" not in run(project, answers)["figures"]
    check(project, "eve", "not_found")
    assert run(project, answers)["figures"]["hallucination"].value == 1, "two, two and one: nobody is left, and it goes against the model"
