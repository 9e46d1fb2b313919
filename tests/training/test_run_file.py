from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.formats.toml import to_toml
from preceptor.training import TrainingRun, recipes
from preceptor.training.run_file import RUN_FILE, RunFile
from tiny_models import made_snapshot, save_decoder

GOOD = 'recipe = "sft"\nsnapshot = "v1"\nbase = "smollm2"\n\n[options]\nepochs = 2\n'


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (GOOD + "epoch = 3\n", ":7", "no option of sft is called 'epoch', did you mean 'epochs'"),
        (GOOD.replace("base =", "bases ="), ":3", "no key is called 'bases', did you mean 'base'"),
        (GOOD.replace("sft", "sfft"), ":1", "no recipe is called 'sfft'"),
        (GOOD.replace("= 2", "= -2"), "", "epochs: "),
        (GOOD.replace('"v1"', "7"), "", "snapshot: "),
        (GOOD.replace('snapshot = "v1"\n', ""), "", "snapshot: Field required"),
        (GOOD.replace("epochs = 2", "epochs ="), "", "can't be read"),
        ("\xff", "", "can't be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path, text, where, what):
    path = tmp_path / "run.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        RunFile.read(path)
    assert what in str(caught.value)
    assert f"run.toml{where}" in str(caught.value)


def test_a_file_may_say_the_least(tmp_path):
    (tmp_path / "run.toml").write_text(GOOD)
    found = RunFile.read(tmp_path / "run.toml")
    assert (found.recipe, found.seed, found.base_weights, found.options) == ("sft", 0, "", {"epochs": 2})


def test_a_run_leaves_what_repeats_it(tmp_path, monkeypatch):
    """The weights are the same again, without what had to be measured the first time."""
    monkeypatch.setattr("preceptor.training.hyperparameters.SWEEP_STEPS", 3)
    base, sft = save_decoder("llama", tmp_path / "tiny-llama"), recipes.get("sft")
    options = sft.Options(epochs=1, batch_size=8, rank=4)
    first = sft(TrainingRun(tmp_path / "first", base, made_snapshot(), seed=5, base_name="tiny"), options)
    found = RunFile.read(first.path / RUN_FILE)
    assert (found.recipe, found.snapshot, found.base, found.seed) == ("sft", "e" * 64, "tiny", 5)
    assert found.base_weights == first.manifest["base_weights"]
    assert found.options["learning_rate"] == first.manifest["learning_rate"]
    assert found.options["dtype"] == first.manifest["dtype"]
    assert found.options["max_tokens"] <= 1024
    assert str(tmp_path) not in (first.path / RUN_FILE).read_text()
    monkeypatch.setattr("preceptor.training.hyperparameters.sweep_learning_rates", pytest.fail)
    monkeypatch.setattr("preceptor.training.hyperparameters.choose_dtype", pytest.fail)
    again = sft(TrainingRun(tmp_path / "again", base, made_snapshot(), seed=found.seed), sft.Options(**found.options))
    assert again.manifest["weights"] == first.manifest["weights"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLAIN = TEXT | st.integers(-(2**60), 2**60) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value):
    assert tomllib.loads(f"x = {to_toml(value)}") == {"x": value}
