"""Fine-tuning at a service: counted, capped, begun once, and its model noted with its lineage."""

from __future__ import annotations

import json

import pytest

from hosted_lines import line
from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.generation import OpenAIClient
from preceptor.runs.hosted_sft import estimate_training_cost, train_hosted_model
from preceptor.testing.fake_servers import FakeOpenAIServer


@pytest.fixture
def frozen(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line(number)) + "\n" for number in range(60)))
    project = Project.create(tmp_path / "shop")
    project.read(path)
    yield project, project.snapshot(choose_snapshot_question(project, None))
    project.close()


@pytest.fixture
def hosted():
    with FakeOpenAIServer(lambda turns: "yes") as made:
        yield made


@pytest.fixture
def service(hosted):
    made = OpenAIClient(key=hosted.key, base_url=hosted.base_url)
    yield made
    made.close()


def test_a_snapshot_is_trained_once_and_its_model_noted(frozen, hosted, service):
    project, snapshot = frozen
    how = {"hyperparameters": {"n_epochs": 2}, "max_cost": 1.0, "look_seconds": 0}
    told = []
    model = train_hosted_model(project, service, snapshot, "gpt-4o-mini", tell=told.append, **how)
    assert told[-1] == "The job has successfully completed"
    assert model.manifest["hosted"]["model"] in hosted.models
    assert train_hosted_model(project, service, snapshot, "gpt-4o-mini", **how).id == model.id
    assert (len(hosted.trained), len(hosted.files)) == (1, 2)
    sent = [json.loads(row) for row in hosted.files["file-1"][1].splitlines()]
    assert len(sent) == len(list(snapshot.rows("train")))
    assert {turn["role"] for row in sent for turn in row["messages"]} == {"system", "user", "assistant"}
    assert project.lineage(model.id)["judgments"]["count"] == 60
    assert project.model("m-").id == model.id


def test_nothing_is_sent_above_the_cap(frozen, hosted, service):
    project, snapshot = frozen
    most = estimate_training_cost(snapshot, "gpt-4o-mini", {"n_epochs": 2})
    assert 0 < most < estimate_training_cost(snapshot, "gpt-4o-mini", {}) < estimate_training_cost(snapshot, "gpt-4o", {})
    with pytest.raises(UserError, match=r"training gpt-4o-mini may cost .* nothing was sent"):
        train_hosted_model(project, service, snapshot, "gpt-4o-mini", max_cost=most / 2, hyperparameters={"n_epochs": 2})
    assert (hosted.files, hosted.trained) == ({}, [])


def test_only_answers_that_are_taught_here_are_taught_there(tmp_path, hosted, service):
    before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo", "weight": 0}]
    rows = [{"messages": [*before, *line(number)["messages"][-2:]]} for number in range(60)]
    (tmp_path / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(tmp_path / "talk")
    project.read(tmp_path / "turns.jsonl")
    train_hosted_model(
        project, service, project.snapshot(choose_snapshot_question(project, None)), "gpt-4o-mini", max_cost=1.0, look_seconds=0
    )
    sent = [json.loads(row) for row in hosted.files["file-1"][1].splitlines()]
    assert {tuple(turn.get("weight") for turn in row["messages"]) for row in sent} == {(None, 0, None, None)}
    project.close()
