"""The rows of a report under the last release, and the slices that their items' metadata makes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.release.gate import find_last_release
from preceptor.runs import evaluation
from preceptor.runs.evaluation_sections import ScoredRows, build_row_sections

ANSWERS = ("negative", "neutral", "positive")


@pytest.fixture
def talked(project):
    """A project of 900 judged items, each in a group of its own and in one of two languages, and its snapshot."""
    project.add_items(
        {"id": f"i-{n}", "text": f"text number {n}" + " more" * (n % 30), "metadata": {"language": "en" if n % 2 else "de"}}
        for n in range(900)
    )
    project.add_annotator("ann")
    for n in range(900):
        project.judge(f"i-{n}", "sentiment", annotator="ann", answer=ANSWERS[n % 3])
    return project, project.snapshot("sentiment", name="v1")


def kept(project, model, snapshot, right):
    """A kept report of a model that has these rows right."""
    rows = evaluation.load_split(snapshot, "test")
    values = np.array([float(bool(right(number, row))) for number, row in enumerate(rows)])
    sections = build_row_sections(project, model, snapshot, ScoredRows(rows, [row.answer for row in rows], {"accuracy": values}))
    figure = Estimate(float(values.mean()), 0.5, 1.0, len(rows), "made up")
    document = {"models": {"tuned": {"accuracy": figure}}, "parity": {"passed": True}, **sections}
    return evaluation.store_report(project, model, snapshot, document, "test")


def test_a_report_keeps_its_rows_without_their_texts(talked, keep_model):
    project, snapshot = talked
    report = kept(project, keep_model(project, snapshot.digest, "m-1"), snapshot, lambda n, row: n % 4)
    data = project.objects.get(report.document["rows"]["digest"]).decode()
    assert len(json.loads(data)["keys"]) == report.document["rows"]["count"]
    assert "text number" not in data
    assert "previous" not in report.document, "nothing was let out before"
    assert report.document["truth"] == {"rows": report.document["rows"]["count"], "given": False, "certainty": pytest.approx(0.9, abs=0.11)}


def test_slices_come_from_metadata_and_length(talked, keep_model):
    project, snapshot = talked
    language = {item["id"]: item["metadata"]["language"] for item in project.export("items")}
    model = keep_model(project, snapshot.digest, "m-1")

    def right(_, row):
        return int(row.id[2:]) * 7919 % 97 < (92 if language[row.id] == "en" else 58)

    found = kept(project, model, snapshot, right).document["slices"]
    assert found["figure"] == "accuracy"
    assert {each["by"] for each in found["found"]} == {"language", "length"}
    assert [(each["by"], each["slice"]) for each in found["found"] if each["worse"]] == [("language", "de")]


def test_a_model_stands_beside_the_last_one_that_was_let_out(talked, keep_model):
    project, snapshot = talked
    first, second = keep_model(project, snapshot.digest, "m-1"), keep_model(project, snapshot.digest, "m-2")
    kept(project, first, snapshot, lambda n, row: n % 4)
    assert find_last_release(project, "sentiment") is None
    project.release("m-1", by="ann", without_bounds="the first")
    assert find_last_release(project, "sentiment").model == "m-1"
    assert find_last_release(project, "another question") is None
    previous = kept(project, second, snapshot, lambda n, row: n % 8).document["previous"]
    assert (previous["model"], previous["by"], previous["left_out"]) == ("m-1", "ann", 0)
    assert previous["figures"]["accuracy"]["difference"]["low"] > 0
    again = kept(project, first, snapshot, lambda n, row: n % 4).document
    assert "previous" not in again, "a model isn't held against itself"


def test_a_report_that_is_gone_from_the_disk_stops_nothing(talked, keep_model):
    project, snapshot = talked
    first, second = keep_model(project, snapshot.digest, "m-1"), keep_model(project, snapshot.digest, "m-2")
    report = kept(project, first, snapshot, lambda n, row: n % 4)
    project.release("m-1", by="ann", without_bounds="the first")
    project.objects.path(report.document["rows"]["digest"]).unlink()
    previous = kept(project, second, snapshot, lambda n, row: 1).document["previous"]
    assert "is missing from the project" in previous["why"]


def test_a_report_without_scores_of_rows_has_nothing_to_compare(talked, keep_model):
    project, snapshot = talked
    first, second = keep_model(project, snapshot.digest, "m-1"), keep_model(project, snapshot.digest, "m-2")
    figure = Estimate(0.9, 0.8, 1.0, 9, "made up")
    evaluation.store_report(project, first, snapshot, {"models": {"tuned": {"accuracy": figure}}, "parity": {"passed": True}}, "test")
    project.release("m-1", by="ann", without_bounds="the first")
    previous = kept(project, second, snapshot, lambda n, row: 1).document["previous"]
    assert "no scores of rows" in previous["why"]
    assert "figures" not in previous
