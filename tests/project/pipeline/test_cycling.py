"""Turns of the loop: what one does, what the next finds new, and how one that was stopped goes on."""

from __future__ import annotations

import fcntl
import random

import pytest
from sqlalchemy import func, select

from preceptor import Project
from preceptor.errors import UserError
from preceptor.pipeline import pipeline_run
from preceptor.pipeline.pipeline_run import PipelinePlan, PipelineRun, run_pipeline
from preceptor.release.retraction import retract_annotator
from preceptor.snapshots.builder import create_joint_snapshot
from preceptor.storage import artifacts, events, pipeline_runs, schema

WORDS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}
QUICK = {"recipe": "linear_probe", "options": {"l2": 1.0, "dtype": "float32"}}


TRAIN = pipeline_run._train_step


def judge(project, first, last, *, seed=3):
    """Items from one number to another, each said the right thing about by two people."""
    rng, labels = random.Random(seed), list(WORDS)
    for n in range(first, last):
        text = " ".join([*rng.choices(WORDS[labels[n % 3]].split(), k=5), *rng.choices(" ".join(WORDS.values()).split(), k=4)])
        project.add_items([{"id": f"i-{n}", "text": text, "group": f"g-{n // 2}"}])
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(f"i-{n}", "sentiment", annotator=person, answer=labels[n % 3])


@pytest.fixture
def judged(database_url, tmp_path, tiny_cache, monkeypatch):
    """90 items on each database; the gate asks for little."""
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project = Project.create(tmp_path / "shop", database=database_url, gate={"bounds": ["accuracy.low >= 0.05"]}, pipeline=QUICK)
    project.add_question("sentiment", "choice", list(WORDS))
    judge(project, 0, 90)
    yield project
    project.close()


def test_a_turn_ends_with_a_model_that_waits_for_a_person(judged):
    first = run_pipeline(judged, PipelinePlan.from_project(judged))
    assert (first.outcome, first.exit_code) == ("asked", 0)
    made = first.document["steps"]
    assert list(made) == ["aggregate", "snapshot", "train", "evaluate", "compare", "ask"]
    assert made["compare"] == {"model": None, "why": "no model stands yet: nothing was let out before"}
    assert made["evaluate"]["figures"]["accuracy"]["low"] < made["evaluate"]["figures"]["accuracy"]["high"]
    with judged.database.reading() as connection:
        assert artifacts.list_releases(connection) == []  # nothing is released by itself
        assert [each["model"] for each in events.read_events(connection) if each["kind"] == "release asked for"] == [
            first.document["model"]
        ]

    again = run_pipeline(judged, PipelinePlan.from_project(judged))
    assert (again.outcome, again.exit_code, again.summary) == ("nothing", 0, "nothing is new since the last turn")

    judged.release(first.document["model"], by="owner")
    judge(judged, 90, 150, seed=5)
    second = run_pipeline(judged, PipelinePlan.from_project(judged)).document["steps"]
    compared = second["compare"]
    assert compared["model"] == first.document["model"] != second["train"]["model"]
    figures = compared["figures"]["accuracy"]
    assert figures["difference"]["low"] <= figures["now"]["value"] - figures["was"]["value"] <= figures["difference"]["high"]
    assert compared["rows"] == second["snapshot"]["rows"]["test"]  # rows keep their side: what stands learnt from none of them
    assert compared["learnt_from"] == 0


def test_what_the_gate_refuses_says_so_and_asks_people(judged):
    object.__setattr__(judged.config.gate, "bounds", ("accuracy.low >= 0.999",))
    judged.add_items({"id": f"new-{n}", "text": f"good box {n}", "group": f"new-{n}"} for n in range(30))
    ended = run_pipeline(judged, PipelinePlan.from_project(judged))
    assert (ended.outcome, ended.exit_code) == ("refused", 3)
    assert not ended.document["steps"]["ask"]["passed"]
    assert run_pipeline(judged, PipelinePlan.from_project(judged)).outcome == "nothing"


def test_a_turn_that_was_stopped_goes_on_after_its_last_step(judged, monkeypatch):
    done = []
    counting = {
        name: lambda current, made, name=name, step=step: (done.append(name), step(current, made))[1]
        for name, step in pipeline_run._PIPELINE_STEPS.items()
    }
    monkeypatch.setattr("preceptor.pipeline.pipeline_run._PIPELINE_STEPS", counting | {"compare": stopped})
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(judged, PipelinePlan.from_project(judged))
    assert done == ["aggregate", "snapshot", "train", "evaluate"]
    monkeypatch.setattr("preceptor.pipeline.pipeline_run._PIPELINE_STEPS", counting)
    ended = run_pipeline(judged, PipelinePlan.from_project(judged))
    assert done[4:] == ["compare", "ask"]
    assert ended.document["resumed"]
    with judged.database.reading() as connection:
        of_it = schema.reports.c.snapshot == ended.document["steps"]["snapshot"]["digest"]
        assert connection.execute(select(func.count()).select_from(schema.reports).where(of_it)).scalar_one() == 1
        assert pipeline_runs.count(connection) == 1


def stopped(current, made):
    raise KeyboardInterrupt


def test_another_process_at_it_is_told_of(judged):
    with (judged.folder / "cycle.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711")
        held.flush()
        ended = run_pipeline(judged, PipelinePlan.from_project(judged))
    assert (ended.outcome, ended.exit_code) == ("running", 0)
    assert "process 4711" in ended.summary


def test_what_is_taken_out_is_new_and_few_judgments_wait(judged):
    run_pipeline(judged, PipelinePlan.from_project(judged))
    judge(judged, 90, 92)
    patient = PipelinePlan.from_project(judged, min_new_judgments=50)
    assert run_pipeline(judged, patient).summary == "4 new judgments since the last turn, of 50 that it takes"
    retract_annotator(judged, "bob", by="owner", reason="guessed")
    assert run_pipeline(judged, patient).outcome != "nothing"


def test_judgments_that_change_no_row_train_nothing(judged):
    first = run_pipeline(judged, PipelinePlan.from_project(judged))
    for person in ("carl", "dora"):  # a judgment that is taken back leaves the rows as they were
        judged.add_annotator(person)
        number = judged.judge("i-1", "sentiment", annotator=person, answer="negative")
        judged.withdraw_answer(number, person)
        ended = run_pipeline(judged, PipelinePlan.from_project(judged))
        assert (ended.outcome, ended.summary) == ("nothing", f"the rows are those that {first.document['model']} was trained on")


def failing(current, made):
    raise UserError("no disk", "get one")


def test_a_first_turn_needs_neither_alias_nor_corrections(judged):
    """Both come of what a first model is served for; the docs' own table stands in preceptor.toml from the first night on."""
    plan = PipelinePlan.from_project(judged, questions=("sentiment", "live-answer"), alias="support:production")
    assert plan.questions == ("sentiment",)
    first = run_pipeline(judged, plan)
    assert first.document["steps"]["compare"] == {
        "model": None,
        "why": "support:production stands for no model yet: nothing was let out before",
    }
    judged.release(first.document["model"], by="owner")
    judge(judged, 90, 150, seed=5)
    assert run_pipeline(judged, plan).document["steps"]["compare"]["model"] == first.document["model"]  # the last that was let out
    with pytest.raises(UserError, match="no question is called 'live-answer'"):
        PipelinePlan.from_project(judged, questions=("live-answer",))


def test_a_turn_that_fails_leaves_the_next_one_free(judged, monkeypatch):
    with pytest.raises(UserError, match="no question is called"):
        PipelinePlan.from_project(judged, questions=("nope",))
    with pytest.raises(UserError, match="l2"):
        PipelinePlan.from_project(judged, options={"l2": -1})
    monkeypatch.setitem(pipeline_run._PIPELINE_STEPS, "train", failing)
    with pytest.raises(UserError, match="no disk"):
        run_pipeline(judged, PipelinePlan.from_project(judged))
    monkeypatch.setitem(pipeline_run._PIPELINE_STEPS, "train", TRAIN)
    with judged.database.reading() as connection:
        assert pipeline_runs.find_unfinished(connection) is None
    assert run_pipeline(judged, PipelinePlan.from_project(judged)).outcome == "asked"


def test_corrections_and_completions_are_learnt_together(tmp_path):
    project = Project.create(tmp_path / "desk")
    for name, settings in (("completion", {"correct": False}), ("live-answer", {"correct": True})):
        project.add_question(name, "write", **settings)
    project.add_items({"id": f"p-{n}", "prompt": f"question number {n} about {n * n}", "completion": "a draft"} for n in range(60))
    project.add_annotator("ann")
    for n in range(60):
        for name in ("completion", "live-answer") if n == 0 else (("completion", "live-answer")[n % 2],):
            project.judge(f"p-{n}", name, annotator="ann", answer={"text": f"answer {n}"})
    project.add_question("unasked", "write")
    plan = PipelinePlan.from_project(project, questions=("completion", "live-answer", "unasked"), recipe="sft")
    assert list(pipeline_run._aggregate_step(PipelineRun(project, "t", 1, 0.0, plan, None), {})) == ["completion", "live-answer"]
    made = create_joint_snapshot(project, ["completion", "live-answer"], name="both")
    rows = list(made.rows())
    assert len(rows) == 61  # p-0 was told of twice, once with its draft
    assert {row.id for row in rows if "draft" in row.content} == {"p-0", *(f"p-{n}" for n in range(1, 60, 2))}
    sides = {}
    assert all(sides.setdefault(row.group, row.split) == row.split for row in rows)
    assert project.snapshots()[-1]["digest"] == made.digest
    project.close()
    other = Project.create(tmp_path / "other")
    other.add_question("tone", "choice", ["a", "b"])
    with pytest.raises(UserError, match="learnt by itself"):
        create_joint_snapshot(other, ["tone"])
    other.close()


def test_the_command_says_what_it_did(judged, run):
    args = ("pipeline", "run", "--project", judged.folder, "--question", "sentiment")
    told = run(*args, "--json")
    assert (told.code, told.document["outcome"]) == (0, "asked")
    assert run(*args).out.strip() == "nothing is new since the last turn"
    assert run(*args, "--recipe", "nope").code == 1
