"""From a file of one's own to a report: what is asked first, and what the same command does when it is given again."""

from __future__ import annotations

import csv

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.pipeline.quickstart import run_quickstart

COLUMNS = {"text": "review", "label": "sentiment", "annotator": "who", "group": "customer", "epochs": 1.0}


@pytest.fixture(autouse=True)
def cached(tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))


def shouted(file):
    """Every seventh label in capitals, every fifth with a space."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for at, row in enumerate(rows):
        row["sentiment"] = row["sentiment"].upper() if at % 7 == 0 else f" {row['sentiment']}" if at % 5 == 0 else row["sentiment"]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_spellings_of_one_label_are_asked_about_and_folded_with_consent(tmp_path, write_reviews):
    """Nine options stood where three were meant, agreement was a fifth of what it is, and training stopped without advice."""
    file = shouted(write_reviews(tmp_path / "r.csv"))
    with pytest.raises(UserError) as caught:
        run_quickstart(file, tmp_path / "p", **COLUMNS)
    assert "'NEGATIVE'" in caught.value.message
    assert "--fold" in caught.value.hint
    assert not (tmp_path / "p").exists()
    run_quickstart(file, tmp_path / "p", fold=True, **COLUMNS)
    with Project.open(tmp_path / "p") as project:
        assert project.question("label").options == ("negative", "neutral", "positive")
        assert project.status()["questions"][0]["agreement"]["value"] > 0.5


def test_the_same_command_again_goes_on_and_a_cleaned_file_doesnt_count_twice(tmp_path, write_reviews):
    file, folder = write_reviews(tmp_path / "r.csv"), tmp_path / "p"
    first = run_quickstart(file, folder, **COLUMNS)
    with Project.open(folder) as project:
        before = project.status()
    assert run_quickstart(file, folder, **COLUMNS).estimates["accuracy"] == first.estimates["accuracy"]
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-4]) + "\n")
    with pytest.raises(UserError) as caught:
        run_quickstart(file, folder, **COLUMNS)
    assert "--out" in caught.value.hint
    with Project.open(folder) as project:
        after = project.status()
    assert (after["judgments"], after["cost"]) == (before["judgments"], before["cost"])
    assert (after["snapshots"], after["models"]) == (1, 1)


def test_a_folder_with_a_project_of_its_own_is_left_alone(tmp_path, write_reviews):
    with Project.create(tmp_path / "p") as project:
        project.add_items([{"text": "mine"}])
    with pytest.raises(UserError):
        run_quickstart(write_reviews(tmp_path / "r.csv"), tmp_path / "p", **COLUMNS)
    with Project.open(tmp_path / "p") as project:
        assert project.counts()["items"] == 1


def test_the_first_cycle_doesnt_train_the_model_of_the_quickstart_again(tmp_path, write_reviews, run):
    run_quickstart(write_reviews(tmp_path / "r.csv"), tmp_path / "p", **COLUMNS)
    done = run("pipeline", "run", "--project", tmp_path / "p", "--json")
    assert (done.code, done.document["outcome"]) == (0, "nothing")
    with Project.open(tmp_path / "p") as project:
        assert len(project.models()) == 1
