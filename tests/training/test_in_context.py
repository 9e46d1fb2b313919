from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.generation.in_context import FewShotClassifier
from preceptor.generation.local import LocalProvider
from preceptor.training import TrainingRun, recipes
from preceptor.training.run_file import RunFile
from tiny_models import save_decoder

OPTIONS = {"shots": 3, "calibration": 4, "max_tokens": 16}


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return save_decoder("llama", tmp_path_factory.mktemp("writer") / "tiny")


@pytest.fixture
def short(snapshot):
    """Texts of three words: byte by byte, longer ones would fill the tiny base's window."""
    rows = {
        split: [replace(row, text=f"{' '.join(row.text.split()[:2])} {number}") for number, row in enumerate(snapshot.rows(split))]
        for split in ("train", "validation")
    }
    return replace(snapshot, **rows)


def make(run, **options):
    recipe = recipes.get("in_context")
    return recipe(run, recipe.Options.parse({**OPTIONS, **options}, of="in_context"))


def test_nothing_is_trained_and_the_folder_answers_again(short, base, writer, tmp_path):
    run = TrainingRun(tmp_path / "run", writer, short, base_name="tiny", folder_of=lambda name: base)
    model = make(run)
    assert not [path for path in model.path.iterdir() if path.suffix in (".safetensors", ".bin")]
    again = FewShotClassifier.load(model.path, LocalProvider(writer), base)
    texts = {row.id: row.text for row in short.validation}
    probed = json.loads((model.path / "parity.json").read_text())["rows"]
    said = again.predict([texts[id_] for id_ in probed])
    assert np.exp(list(probed.values())) == pytest.approx(said, abs=1e-6)
    assert np.abs(said.sum(1) - 1).max() < 1e-12
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in model.path.glob("*.json"))
    assert make(replace(run, progress=pytest.fail)) == model
    repeated = RunFile.read(model.path / "run.toml")
    assert (repeated.recipe, repeated.options["shots"], repeated.options["encoder"]) == ("in_context", 3, "minilm")


def test_only_training_rows_are_shown(short, base, writer, tmp_path):
    """A validation text that stands in training as well is answered without its twin."""
    twin = short.train[0]
    leaking = replace(short, validation=[replace(twin, id="v-twin", text=twin.text.upper()), *short.validation])
    model = make(TrainingRun(tmp_path / "run", writer, leaking, folder_of=lambda name: base), max_train_rows=40)
    shown = json.loads((model.path / "demonstrations.json").read_text())["rows"]
    assert {row["id"] for row in shown} <= {row.id for row in short.train}
    assert len(shown) <= 40
    found = FewShotClassifier.load(model.path, LocalProvider(writer), base)
    for text in (row["text"] for row in shown[:5]):
        alike = found._similarities([text.upper()])[0]
        assert text not in {row.text for row in found.examples_for(text.upper(), alike)}


def test_bad_input_is_told_before_anything_is_written(short, base, writer, tmp_path):
    run = TrainingRun(tmp_path / "run", writer, short, folder_of=lambda name: base)
    with pytest.raises(UserError, match=r"shows 6 examples with each text, and there are 5.*shots=5"):
        make(run, shots=6, max_train_rows=5)
    with pytest.raises(UserError, match=r"30 examples and a text, of 60 tokens each, don't fit into the 2,048 .* at once; max_tokens=\d\d"):
        make(replace(run, folder=tmp_path / "long"), shots=30, max_tokens=60)
    with pytest.raises(UserError, match="at once; fewer shots"):
        make(replace(run, folder=tmp_path / "many"), shots=90)
    with pytest.raises(UserError, match=r"there are 0; 90 are too long to show"):
        make(replace(run, folder=tmp_path / "short"), max_tokens=4)
    with pytest.raises(UserError, match="this needs a causal model"):
        make(replace(run, base=base))
    lacking = replace(short, train=[row for row in short.train if max(row.target, key=row.target.get) != "neutral"])
    with pytest.raises(UserError, match="'neutral'"):
        make(replace(run, snapshot=lacking))
    assert not list(tmp_path.rglob("model"))
