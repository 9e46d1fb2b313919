"""A turn of the loop with its process killed in each step: the same command ends it, and each step that was done stays done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import func, select

from preceptor import Project
from preceptor.pipeline.pipeline_run import PipelinePlan, run_pipeline
from preceptor.storage import artifacts, events, pipeline_runs, schema

ARGS = ("pipeline", "run", "--recipe", "linear_probe", "-o", "l2=1.0", "-o", "dtype=float32", "--json")


KILLED = (
    "preceptor.runs.training:_store_model=0",
    "preceptor.pipeline.pipeline_run:_record_progress=1",
)  # not kept yet; evaluated, not noted


def test_a_turn_that_is_killed_ends_by_the_same_command(tmp_path, fill, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = fill(tmp_path / "shop")
    command = [sys.executable, str(Path(__file__).parent / "killed_command.py"), *KILLED, "--", *ARGS]
    assert json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True, env=env).stdout) == [-9, -9]
    project = Project.open(folder)
    plan = PipelinePlan.from_project(project, recipe="linear_probe", options={"l2": 1.0, "dtype": "float32"})
    ended = run_pipeline(project, plan)
    document = ended.document
    assert (ended.outcome, document["resumed"]) == ("asked", True)
    with project.database.reading() as connection:
        assert pipeline_runs.count(connection) == 1
        assert [row["id"] for row in artifacts.list_models(connection)] == [document["model"]]
        of_it = schema.reports.c.snapshot == document["steps"]["snapshot"]["digest"]
        reports = connection.execute(select(func.count()).select_from(schema.reports).where(of_it)).scalar_one()
        assert reports == 1  # the one that was made is taken
        assert [each["kind"] for each in events.read_events(connection)].count("release asked for") == 1
    assert run_pipeline(project, plan).outcome == "nothing"
    project.close()
