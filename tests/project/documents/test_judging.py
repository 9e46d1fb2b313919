"""Judges by name: local ones frozen by their weights, hosted ones paid once, and the watch on both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from preceptor import Project, UserError
from preceptor.errors import NotFoundError
from preceptor.evaluation.judges import JudgeCase
from preceptor.generation import openai_client as service_module
from preceptor.runs.comparison import ComparisonOptions, compare_side_by_side
from preceptor.runs.named_judges import JudgeHosting, check_judge_drift, load_pair_judge, load_rubric_judge
from preceptor.testing.fake_servers import FakeOpenAIServer
from side_rounds import NAMES, Person, answers_of, work

CASES = [JudgeCase(f"worth {number} points") for number in range(30)]


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "p", annotators={"gold_share": 0})
    yield made
    made.close()


@pytest.fixture
def hosted(monkeypatch):
    monkeypatch.setattr(service_module, "FIRST_WAIT", 0.01)
    with FakeOpenAIServer(lambda turns: says(turns[-1]["content"])) as made:
        made.add_job(made.add_file(b"{}\n", "train.jsonl"))
        monkeypatch.setenv("OPENAI_API_KEY", made.key)
        yield made


def says(prompt: str) -> str:
    """Yes for what is worth more than 14 points; the better of two, and the first where they are near."""
    if "<answer A>" in prompt:
        first, second = (int(part.split("worth ")[1].split()[0]) for part in prompt.split("<answer ")[1:])
        return "A" if first > second - 5 else "B"
    return "Yes." if int(prompt.split("worth ")[1].split()[0]) > 14 else "No."


def hosting(hosted, tmp_path, **more):
    prices = tmp_path / "prices.toml"
    prices.write_text('["gpt-4o-mini"]\ninput = 1.0\noutput = 2.0\n')
    return JudgeHosting(base_url=hosted.base_url, prices=str(prices), **{"max_cost": 1.0, **more})


def test_a_local_judge_is_frozen_by_question_and_weights(project, tiny_chat):
    judge = load_rubric_judge(project, str(tiny_chat), "Is it kind?")
    scores = judge.scores(CASES[:3])
    assert ((scores > 0) & (scores < 1)).all()
    assert judge.digest == load_rubric_judge(project, str(tiny_chat), "Is it kind?").digest
    assert judge.digest != load_rubric_judge(project, str(tiny_chat), "Is it rude?").digest


def test_a_hosted_judge_is_paid_once_and_goes_on_after_a_failure(project, hosted, tmp_path):
    (model,) = hosted.models
    judge = load_rubric_judge(project, f"openai:{model}", "Is it much?", hosting(hosted, tmp_path))
    hosted.models.clear()
    with pytest.raises(UserError):
        judge.scores(CASES)
    hosted.models.add(model)
    judge = load_rubric_judge(project, f"openai:{model}", "Is it much?", hosting(hosted, tmp_path))
    assert np.array_equal(judge.scores(CASES), [float(number > 14) for number in range(30)])
    assert len(hosted.billed) == 30
    again = load_rubric_judge(project, f"openai:{model}", "Is it much?", hosting(hosted, tmp_path, max_cost=0.0))
    assert again.digest == judge.digest
    assert again.scores(CASES).sum() == 15
    assert len(hosted.billed) == 30


def test_two_that_ask_the_same_pay_once(project, hosted, tmp_path):
    (model,) = hosted.models
    one, two = (load_rubric_judge(project, f"openai:{model}", "Is it much?", hosting(hosted, tmp_path)) for _ in range(2))
    assert np.array_equal(one.scores(CASES), two.scores(CASES))
    with ThreadPoolExecutor(2) as pool:
        more = [JudgeCase(f"worth {number} points more") for number in range(20)]
        assert len({tuple(each.result()) for each in [pool.submit(judge.scores, more) for judge in (one, two)]}) == 1
    assert len(hosted.billed) == 50


def test_nothing_is_asked_above_the_budget(project, hosted, tmp_path):
    (model,) = hosted.models
    with pytest.raises(UserError, match="nothing was sent"):
        load_rubric_judge(project, f"openai:{model}", "Is it much?", hosting(hosted, tmp_path, max_cost=0.0)).scores(CASES)
    assert hosted.billed == []


def test_a_hosted_judge_that_changes_is_seen(project, hosted, tmp_path):
    (model,) = hosted.models
    name, human = f"openai:{model}", np.array([float(number > 14) for number in range(30)])
    groups = [str(number) for number in range(30)]
    assert (
        check_judge_drift(project, load_rubric_judge(project, name, "Much?", hosting(hosted, tmp_path, repetition=1)), CASES, human, groups)
        is None
    )
    same = check_judge_drift(
        project, load_rubric_judge(project, name, "Much?", hosting(hosted, tmp_path, repetition=2)), CASES, human, groups
    )
    assert same.same
    assert len(hosted.billed) == 60  # asked anew
    hosted.answer = lambda turns: "No."
    other = check_judge_drift(
        project, load_rubric_judge(project, name, "Much?", hosting(hosted, tmp_path, repetition=3)), CASES, human, groups
    )
    assert not other.same
    assert other.agreement_fell


def test_a_hosted_judge_beside_people_in_a_round(project, hosted, tmp_path):
    (model,) = hosted.models
    answers = [answers_of(name, 260, quality) for name, quality in zip(NAMES, (53, 50), strict=False)]
    name = compare_side_by_side(project, answers, ComparisonOptions(people=1, prompts=120))["question"]
    work(project, [Person("ann", right=0.95)], name)
    judge = load_pair_judge(project, f"openai:{model}", hosting=hosting(hosted, tmp_path))
    again = load_pair_judge(project, f"openai:{model}", hosting=hosting(hosted, tmp_path, repetition=1))
    found = compare_side_by_side(project, answers, judge=judge, again=again)
    told = found["matches"][0]["judge"]
    assert told["first_place"].low > 0.5  # it takes the first where they are near
    assert told["agreement"]["balanced"].low > 0.7
    assert told["with_judge"].method.startswith("ppi")
    assert told["with_judge"].high - told["with_judge"].low < told["people"].high - told["people"].low
    assert found["judge"]["drift"] is None
    paid = len(hosted.billed)
    later = load_pair_judge(project, f"openai:{model}", hosting=hosting(hosted, tmp_path, repetition=2))
    assert compare_side_by_side(project, answers, judge=judge, again=later)["judge"]["drift"]["same"]
    assert len(hosted.billed) == paid + 40


@pytest.mark.parametrize("name", ["nobody", "m-123", "openai:"])
def test_unknown_judges_are_told(project, name, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with pytest.raises(UserError, match=r"no judge is called|names no model"):
        load_rubric_judge(project, name, "Is it kind?")


def test_a_folder_that_holds_no_model_is_told(project, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a model"):
        load_rubric_judge(project, str(tmp_path / "empty"), "Is it kind?")
    with pytest.raises(NotFoundError):
        load_rubric_judge(project, str(tmp_path / "none"), "Is it kind?")
