"""What a model says of new rows: files in, files out, by Python and by the command line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.models.classifier import class_probabilities


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_cache, write_reviews):
    """A project with a probe of the reviews, and a second model from elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
        folder = tmp_path_factory.mktemp("predict")
        project = Project.create(folder / "p")
        project.add_question("sentiment", "choice", ["negative", "neutral", "positive"])
        columns = {"text": "review", "label": "sentiment", "annotator": "who", "group": "customer"}
        project.read(write_reviews(folder / "r.csv"), question="sentiment", **columns)
        project.snapshot("sentiment", name="v1")
        model = project.train("linear_probe", snapshot="v1", base="minilm")
        assert project.models()[-1]["figure"] is None, "nobody has measured it"
        yield project, model
        project.close()


def test_every_row_comes_back_with_its_answer_and_all_probabilities(trained):
    project, model = trained
    rows = list(project.predict(model, [{"id": n, "text": text} for n, text in enumerate(["good great", "bad awful", "box cable"])]))
    expected = class_probabilities(model.path, ["good great", "bad awful", "box cable"])
    found = np.array([[row[f"probability_{answer}"] for answer in model.manifest["answers"]] for row in rows])
    assert np.allclose(found, expected, atol=1e-6)
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert all(row["prediction"] == model.manifest["answers"][at] for row, at in zip(rows, expected.argmax(axis=1), strict=True))
    assert all(row["probability"] == max(row[f"probability_{answer}"] for answer in model.manifest["answers"]) for row in rows)


def test_texts_frames_and_more_rows_than_a_batch_are_taken(trained):
    project, model = trained
    told = []
    many = pd.DataFrame({"text": [f"good {'fine ' * (n % 5)}" for n in range(300)]})
    rows = list(project.predict(model.id, many, progress=told.append))
    assert (len(rows), [step.done for step in told], told[-1].total) == (300, [256, 300], 300)
    assert [row["prediction"] for row in project.predict(model, ["good", "good"])] == [rows[0]["prediction"]] * 2
    assert list(project.predict(model, [])) == []


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_of_each_format_by_the_command_line(trained, run, tmp_path, ending):
    from preceptor.formats import write

    project, model = trained
    file = tmp_path / f"new.{ending}"
    write([{"n": 1, "review": "good great love"}, {"n": 2, "review": "bad awful"}], file)
    done = run("predict", model.id, file, "--text", "review", "--project", project.folder, "--json")
    assert (done.code, done.document["rows"]) == (0, 2)
    rows = list(read(tmp_path / f"new-predictions.{ending}"))
    assert [str(row["n"]) for row in rows] == ["1", "2"]
    assert all(row["prediction"] in model.manifest["answers"] for row in rows)
    again = run("predict", model.id, file, "--text", "review", "--project", project.folder)
    assert (again.code, "is there already" in again.err) == (1, True)
    assert "no model" in run("predict", "nothing", file, "--text", "review", "--project", project.folder).err, "that comes first"
    before = file.read_bytes()
    over = run("predict", model.id, file, "--text", "review", "--out", file, "--project", project.folder)
    assert (over.code, "is the file that is read" in over.err, file.read_bytes()) == (1, True, before)
    assert (
        "--text COLUMN, in Python text=; columns: n, review"
        in run("predict", model.id, file, "--out", tmp_path / "c.csv", "--project", project.folder).err
    )
    assert run("predict", model.id, file, "--text", "review", "--out", tmp_path / "b.jsonl", "--project", project.folder).code == 0


@pytest.mark.parametrize(
    ("rows", "options", "where"),
    [
        ([{"review": "x"}], {}, "row 1"),
        ([{"text": "x"}, {"text": 7}], {}, "row 2"),
        ([{"text": "x", "prediction": "y"}], {}, "row 1"),
        ([{"text": "x"}], {"text": "txt"}, "row 1"),
    ],
)
def test_a_row_that_cant_be_read_is_named_and_nothing_is_written(trained, run, tmp_path, rows, options, where):
    project, model = trained
    with pytest.raises(UserError) as caught:
        list(project.predict(model, rows, **options))
    assert caught.value.where == where
    file = tmp_path / "new.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    named = ["--text", options["text"]] if options else []
    assert run("predict", model.id, file, *named, "--project", project.folder).code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]


def test_models_are_listed_with_what_was_measured(trained, run):
    project, model = trained
    project.evaluate(model)
    listed = run("models", "--project", project.folder, "--json").document["models"]
    assert [(row["model"], row["recipe"], row["question"], row["decision"]) for row in listed][-1] == (
        model.id, "linear_probe", "sentiment", None,
    )  # fmt: skip
    assert listed[-1]["figure"]["low"] <= listed[-1]["figure"]["value"]
    assert model.id in run("models", "--project", project.folder).out


def test_a_folder_from_elsewhere_is_evaluated_like_ones_own(trained, run, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from preceptor.models.base_models import find_base_folder

    project, own = trained
    names = {0: "Positive", 1: "NEUTRAL", 2: "negative"}
    theirs = AutoModelForSequenceClassification.from_pretrained(
        find_base_folder("minilm"), id2label=names, label2id={b: a for a, b in names.items()}
    )
    theirs.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(find_base_folder("minilm")).save_pretrained(tmp_path / "theirs")
    report = project.evaluate(tmp_path / "theirs", snapshot="v1")
    test = list(project.load_snapshot("v1").rows("test"))
    columns = [2, 1, 0]  # of theirs, in the order of the question's answers
    chances = class_probabilities(tmp_path / "theirs", [row.text for row in test])[:, columns]
    truth = [own.manifest["answers"].index(row.answer) for row in test]
    assert report.estimates["accuracy"].value == pytest.approx(np.mean(chances.argmax(axis=1) == truth))
    assert project.models()[0]["recipe"] == "external_model"
    assert run("evaluate", tmp_path / "theirs", "--snapshot", "v1", "--project", project.folder).code == 0
    assert len(project.models()) == 2  # the same weights are the same model
    assert run("evaluate", tmp_path / "theirs", "--project", project.folder).code == 1
    assert run("evaluate", own.id, "--snapshot", "v1", "--project", project.folder).code == 1


def test_a_project_closes_itself_and_says_what_it_is(tmp_path):
    with Project.create(tmp_path / "shop") as project:
        assert "shop" in repr(project)
    with pytest.raises(ValueError, match="x"), Project.open(tmp_path / "shop"):
        raise ValueError("x")
    with (tmp_path / "r.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], ["a"]])
    with Project.open(tmp_path / "shop") as project:
        assert project.read(tmp_path / "r.csv").items == 1


def test_what_is_shown_in_a_shell_fits_on_a_line(trained):
    project, model = trained
    for shown in (project, model, project.load_snapshot("v1"), project.consensus("sentiment"), project.evaluate(model)):
        assert len(repr(shown)) < 300
    assert model.id in repr(model)
