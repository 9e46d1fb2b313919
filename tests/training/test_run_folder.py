"""The skeleton of all recipes: a folder belongs to one run, which trains once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import Field

from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.training import TrainingRun
from preceptor.training.run_folder import lock_run_folder, run_recipe
from preceptor.types import Model


class Settings(OptionsBase):
    steps: int = Field(1, description="of the training")


class Training:
    """Leave a finished model in the run's folder, and count how often."""

    def __init__(self, run: TrainingRun, dies: bool = False) -> None:
        self.run, self.dies, self.count = run, dies, 0

    def __call__(self) -> Model:
        self.count += 1
        if self.dies:
            raise KeyboardInterrupt
        folder = self.run.folder / "model"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps({"id": "m-1"}))
        return Model("m-1", folder, {"id": "m-1"})


@pytest.fixture
def run(tmp_path: Path, snapshot) -> TrainingRun:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_bytes(b"weights")
    return TrainingRun(tmp_path / "run", tmp_path / "base", snapshot, seed=3)


def test_a_finished_run_returns_its_model_without_training(run):
    training = Training(run)
    first = run_recipe(run, "made", Settings(), training, teacher="t")
    assert (first.id, training.count) == ("m-1", 1)
    again = run_recipe(run, "made", Settings(), training, teacher="t")
    assert (again.id, again.path, again.manifest, training.count) == ("m-1", first.path, first.manifest, 1)


def test_a_killed_run_trains_again_in_its_folder(run):
    with pytest.raises(KeyboardInterrupt):
        run_recipe(run, "made", Settings(), Training(run, dies=True))
    assert run_recipe(run, "made", Settings(), Training(run)).id == "m-1"


@pytest.mark.parametrize(
    ("recipe", "options", "seed", "teacher", "differs"),
    [("other", 1, 3, "t", "recipe"), ("made", 2, 3, "t", "options"), ("made", 1, 4, "t", "seed"), ("made", 1, 3, "u", "teacher")],
)
def test_a_folder_belongs_to_one_run(run, recipe, options, seed, teacher, differs):
    run_recipe(run, "made", Settings(), Training(run), teacher="t")
    other = replace(run, seed=seed)
    training = Training(other)
    with pytest.raises(UserError) as refused:
        run_recipe(other, recipe, Settings(steps=options), training, teacher=teacher)
    assert f": {differs} differ" in refused.value.message
    assert training.count == 0


def test_other_weights_of_the_base_are_another_run(run):
    run_recipe(run, "made", Settings(), Training(run))
    (run.base / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UserError, match="base differ"):
        run_recipe(run, "made", Settings(), Training(run))


def test_nothing_is_trained_in_a_folder_that_is_held(run):
    training = Training(run)
    with lock_run_folder(run.folder), pytest.raises(UserError) as refused:
        run_recipe(run, "made", Settings(), training)
    assert refused.value.hint
    assert training.count == 0
