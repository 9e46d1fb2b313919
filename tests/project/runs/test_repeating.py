"""A run is repeated from what its model's folder holds, by library and command."""

from __future__ import annotations

import json
import shutil

import pytest

from preceptor import Project, UserError
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.runs.training import load_repeated_run, train_model
from tiny_models import made_rows, save_decoder

OPTIONS = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 16, "dtype": "float32", "rank": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a snapshot of completions, its base, and a model."""
    folder = tmp_path_factory.mktemp("made")
    answered = [(row.content["prompt"], next(iter(row.target))) for row in made_rows(60, 1)]
    rows = [{"prompt": f"{prompt} ({number})", "completion": answer} for number, (prompt, answer) in enumerate(answered)]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "answers")
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    base = save_decoder("llama", folder / "base")
    model = project.train("sft", snapshot="v1", base=base, seed=4, **OPTIONS)
    yield project, base, model
    project.close()


def test_the_same_weights_come_of_the_file_in_another_project(made, tmp_path):
    """Where the same file was imported, the snapshot has the same digest."""
    project, base, model = made
    other = Project.create(tmp_path / "other")
    other.read(project.folder.parent / "faq.jsonl")
    other.snapshot(choose_snapshot_question(other, None), name="mine", seed=3)
    shutil.copy(model.path / "run.toml", tmp_path)
    wanted = load_repeated_run(other, str(tmp_path / "run.toml"), base=base)
    repeated = train_model(other, wanted.recipe, wanted.snapshot, wanted.base, seed=wanted.seed, progress=None, options=wanted.options)
    assert repeated.manifest["weights"] == model.manifest["weights"]
    assert wanted.seed == 4
    other.close()


def test_a_model_is_enough_and_what_is_given_takes_precedence(made):
    project, base, model = made
    wanted = load_repeated_run(project, model.id, base=base, seed=7, options={"epochs": 1})
    assert (wanted.recipe, wanted.snapshot.digest, wanted.seed) == ("sft", model.manifest["snapshot"], 7)
    assert wanted.options == {**OPTIONS, **{name: value for name, value in wanted.options.items() if name not in OPTIONS}, "epochs": 1}


def test_a_model_trained_here_is_found_as_a_base(made):
    project, _, model = made
    onward = project.train("sft", snapshot="v1", base=model.id, **{**OPTIONS, "epochs": 1})
    assert load_repeated_run(project, onward.id).base == model.id


def changed(model, folder, old, new):
    text = (model.path / "run.toml").read_text()
    assert old in text
    (folder / "run.toml").write_text(text.replace(old, new))
    return str(folder / "run.toml")


def test_what_cannot_be_repeated_is_told_with_its_line(made, tmp_path, monkeypatch):
    project, base, model = made
    with pytest.raises(UserError, match=r"run.toml:5: the base 'base' was a folder; say where it lies: --base DIR"):
        load_repeated_run(project, model.id)
    foreign = changed(model, tmp_path, model.manifest["snapshot"], "f" * 64)
    with pytest.raises(UserError, match=r"run.toml:4: snapshot ffffffffffff… isn't in this project; open the project that has it"):
        load_repeated_run(project, foreign, base=base)
    assert load_repeated_run(project, foreign, base=base, snapshot="v1").snapshot.digest == model.manifest["snapshot"]
    monkeypatch.chdir(base.parent)
    assert load_repeated_run(project, model.id).base == "base"
    with pytest.raises(UserError, match=r"run.toml:6: base has other weights here than it had then"):
        load_repeated_run(project, changed(model, tmp_path, model.manifest["base_weights"], "0" * 64))
    with pytest.raises(UserError, match=r"there is no file nowhere.toml, and no model is called 'nowhere.toml'"):
        load_repeated_run(project, "nowhere.toml")


def test_by_command(made, run):
    project, base, model = made
    place = ("--project", project.folder, "--json")
    repeated = run("train", "--repeat", model.path / "run.toml", "--base", base, "-o", "epochs=1", *place)
    assert repeated.code == 0
    assert project.model(repeated.document["model"]).manifest["options"]["epochs"] == 1
    refused = run("train", "--repeat", model.id, "--base", base, "-o", "epoch=1", *place)
    assert refused.code == 1
    assert "did you mean 'epochs'" in refused.err
    assert run("train", "sft", *place).code == 2
