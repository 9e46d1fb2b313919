"""Numbers that run away: planted in the loss, in a gradient, in the weights; the run stops and the last good weights are a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from preceptor.errors import UserError
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.loading import load_classifier
from preceptor.training import TrainingRun, recipes
from preceptor.training.sft import SFTObjective
from preceptor.training.trainer import RecipeTrainer
from tiny_models import made_snapshot, save_decoder, save_encoder

FAST = {"learning_rate": 1e-2, "epochs": 3, "batch_size": 8, "dtype": "float32", "rank": 4}
BROKEN = float("nan")


@pytest.fixture
def base(tmp_path):
    return save_decoder("llama", tmp_path / "tiny-llama")


def train(folder, base, **options):
    return recipes.get("sft")(TrainingRun(folder, base, made_snapshot(), seed=1), recipes.get("sft").Options(**{**FAST, **options}))


def in_the_loss(monkeypatch, step):
    loss, calls = SFTObjective.loss, []

    def breaks(self, model, inputs):
        calls.append(1)
        return loss(self, model, inputs) * (BROKEN if len(calls) == step else 1.0)

    monkeypatch.setattr(SFTObjective, "loss", breaks)


def in_the_gradient(monkeypatch, step):
    """The loss stays finite; its gradient isn't."""
    loss, calls = SFTObjective.loss, []

    def breaks(self, model, inputs):
        calls.append(1)
        found = loss(self, model, inputs)
        if len(calls) == step:
            found.register_hook(lambda gradient: gradient * float("inf"))
        return found

    monkeypatch.setattr(SFTObjective, "loss", breaks)


def in_the_weights(monkeypatch, step):
    """The optimiser's step leaves them so; the next loss, or the next look at them, finds it."""

    class Spoils(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            if state.global_step == step:
                with torch.no_grad():
                    next(weights for weights in model.parameters() if weights.requires_grad).view(-1)[0] = BROKEN

    start = RecipeTrainer.__init__

    def with_spoiler(self, *args):
        start(self, *args)
        self.add_callback(Spoils)

    monkeypatch.setattr(RecipeTrainer, "__init__", with_spoiler)


PLANTED = {
    "loss": (in_the_loss, r"the training loss became nan at step 10, on the rows 1-\d+, 1-\d+"),
    "gradient": (in_the_gradient, r"the gradient became (nan|inf) at step 10, on the rows 1-\d+, 1-\d+"),
    "weights": (in_the_weights, r"the training loss became nan at step 11, on the rows 1-\d+, 1-\d+"),
}


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("place", PLANTED)
def test_it_stops_and_the_last_good_weights_train_on(base, tmp_path, monkeypatch, place, adapter):
    plant, message = PLANTED[place]
    with monkeypatch.context() as planted:
        plant(planted, 10)
        with pytest.raises(UserError, match=message) as caught:
            train(tmp_path / "run", base, adapter=adapter)
    assert "a smaller learning_rate" in caught.value.hint
    assert "from the weights of step 8" in caught.value.hint
    kept = Path(re.search(r"--base (\S+)", caught.value.hint)[1])
    assert all(bool(torch.isfinite(weights).all()) for weights in load_causal(kept).parameters())
    assert load_tokenizer(kept).eos_token == load_tokenizer(base).eos_token
    assert not (tmp_path / "run" / "model").exists()
    if place == "loss":
        before = train(tmp_path / "anew", base, adapter=adapter, epochs=1).manifest["history"][0]["validation_loss"]
        assert train(tmp_path / "on", kept, adapter=adapter, epochs=1).manifest["history"][0]["validation_loss"] < before


def test_weights_that_no_row_touches_never_become_a_checkpoint(snapshot, tmp_path, monkeypatch):
    """The vector of a position that no text reaches: all losses stay finite."""

    class Spoils(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            if state.global_step == 12:
                with torch.no_grad():
                    model.get_parameter("body.embeddings.position_embeddings.weight")[-1] = BROKEN

    start = RecipeTrainer.__init__

    def with_spoiler(self, *args):
        start(self, *args)
        self.add_callback(Spoils)

    monkeypatch.setattr(RecipeTrainer, "__init__", with_spoiler)
    options = recipes.get("classify").Options(learning_rate=1e-3, epochs=3, batch_size=8, dtype="float32", min_steps=1)
    with pytest.raises(UserError, match=r"weights that aren't finite stand in .*position_embeddings.* after step 12") as caught:
        recipes.get("classify")(TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "bert"), snapshot), options)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-6"]
    assert "from the weights of step 6" in caught.value.hint
    assert load_classifier(tmp_path / "run" / "last-good").config.num_labels == 3


def test_before_anything_was_kept_it_says_so(base, tmp_path, monkeypatch):
    in_the_loss(monkeypatch, 2)
    with pytest.raises(UserError, match="step 2") as caught:
        train(tmp_path / "run", base)
    assert "nothing had been kept yet" in caught.value.hint
    assert not (tmp_path / "run" / "last-good").exists()
