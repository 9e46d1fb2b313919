"""Memory that runs out: planted in the objective's loss for batches above a size, and real, under a limit on a process."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.training import TrainingRun, recipes
from preceptor.training.objective import TrainConfig
from preceptor.training.sft import SFTObjective, SFTOptions, prepare_sft
from preceptor.training.trainer import AdaptiveMicroBatcher, RecipeTrainer
from tiny_models import made_snapshot, save_decoder

FULL = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
FAST = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 8, "dtype": "float32", "rank": 4}
EIGHT = TrainConfig(epochs=1, min_steps=1, batch_size=8, weight_decay=0.0, patience=3, evals_per_epoch=1, seed=0)


@pytest.fixture
def base(tmp_path):
    return save_decoder("llama", tmp_path / "tiny-llama")


@pytest.fixture
def no_room_for(monkeypatch):
    """Lets no more than so many rows through the objective's loss at once; what was let through is listed."""
    seen, loss = [], SFTObjective.loss

    def limit(most):
        def limited(self, model, inputs):
            rows = len(inputs["rows"])
            if rows > most:
                loss(self, model, {name: each[:1] for name, each in inputs.items()}).backward()  # half a step's gradients are left
                raise RuntimeError(FULL)
            seen.append(rows)
            return loss(self, model, inputs)

        monkeypatch.setattr(SFTObjective, "loss", limited)
        return seen

    return limit


def gradients(trainer):
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader())))
    return float(loss), {name: weights.grad.clone() for name, weights in trainer.model.named_parameters() if weights.grad is not None}


@pytest.mark.parametrize("most", [4, 3, 1])
def test_pieces_give_the_gradient_of_the_whole_batch(base, tmp_path, no_room_for, most):
    task = prepare_sft(TrainingRun(tmp_path / "run", base, made_snapshot()), SFTOptions(adapter="none")).task
    (tmp_path / "run").mkdir()
    whole_loss, whole = gradients(RecipeTrainer(task, EIGHT, ""))
    seen = no_room_for(most)
    loss, found = gradients(RecipeTrainer(task, EIGHT, ""))
    assert max(seen) <= most
    assert loss == pytest.approx(whole_loss, abs=1e-6)
    assert found.keys() == whole.keys()
    for name, gradient in whole.items():
        assert torch.allclose(found[name], gradient, atol=1e-6), name
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-3


def test_a_run_goes_on_in_pieces_and_says_so(base, tmp_path, no_room_for):
    told = []
    whole = recipes.get("sft")(TrainingRun(tmp_path / "whole", base, made_snapshot()), SFTOptions(**FAST))
    seen = no_room_for(2)
    model = recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot(), progress=told.append), SFTOptions(**FAST))
    assert set(seen) <= {1, 2}
    assert model.manifest["steps"] == whole.manifest["steps"]
    assert model.manifest["history"][-1]["validation_loss"] == pytest.approx(whole.manifest["history"][-1]["validation_loss"], abs=1e-4)
    (words,) = [words for words in model.manifest["summary"] if "Memory" in words]
    assert "pieces of at most" in words
    assert "the same gradient" in words
    assert told[-1].fields["tokens_at_once"] == AdaptiveMicroBatcher(tmp_path / "run").token_limit
    assert not any("Memory" in words for words in whole.manifest["summary"])


def test_an_interrupted_run_remembers_its_room(base, tmp_path, no_room_for):
    seen = no_room_for(4)

    def stop(progress):
        if progress.done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot(), progress=stop), SFTOptions(**FAST))
    before = json.loads((tmp_path / "run" / "room.json").read_text())
    seen.clear()
    recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot()), SFTOptions(**FAST))
    assert before["rows"] * before["longest"] // 2 >= AdaptiveMicroBatcher(tmp_path / "run").token_limit
    assert max(seen) <= 4


def test_the_sweep_and_the_measured_format_take_what_fits(base, tmp_path, no_room_for, monkeypatch):
    monkeypatch.setattr("preceptor.training.hyperparameters.SWEEP_STEPS", 3)
    seen = no_room_for(4)
    options = SFTOptions(**{**FAST, "learning_rate": None, "dtype": "auto", "epochs": 1})
    assert recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot()), options).path.is_dir()
    assert max(seen) <= 4


def test_a_row_that_does_not_fit_by_itself_is_named(base, tmp_path, no_room_for):
    no_room_for(0)
    with pytest.raises(UserError, match=r"memory doesn't hold row 1-\d+ by itself: it is \d+ tokens long"):
        recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot()), SFTOptions(**FAST))
    assert not (tmp_path / "run" / "model").exists()


def test_validation_is_halved_too(base, tmp_path, monkeypatch):
    from preceptor.models import completion_scoring

    rows, sizes = completion_scoring._read_rows, []

    def limited(model, head, inputs, read):
        if len(inputs["input_ids"]) > 5:
            raise RuntimeError(FULL)
        sizes.append(len(inputs["input_ids"]))
        return rows(model, head, inputs, read)

    task = prepare_sft(TrainingRun(tmp_path / "run", base, made_snapshot()), SFTOptions()).task
    model = task.create_model()
    whole = task.objective.validate(model, task.validation)
    monkeypatch.setattr(completion_scoring, "_read_rows", limited)
    halved = task.objective.validate(model, task.validation)
    assert max(sizes) <= 5
    assert halved.losses == pytest.approx(whole.losses, abs=1e-6)


def test_memory_that_no_smaller_batch_gives_back(base, tmp_path, monkeypatch):
    def full(self):
        raise RuntimeError(FULL)

    monkeypatch.setattr(RecipeTrainer, "create_optimizer", full)
    with pytest.raises(UserError, match="memory doesn't hold what training tiny-llama takes beside its batches"):
        recipes.get("sft")(TrainingRun(tmp_path / "run", base, made_snapshot()), SFTOptions(**FAST))


def test_a_loss_that_compares_rows_is_not_cut(tmp_path):
    def full(pieces):
        assert pieces == [[0, 1, 2, 3]]
        raise MemoryError

    with pytest.raises(UserError, match=r"a batch of 4 rows, and the loss compares them.*batch_size=2"):
        AdaptiveMicroBatcher(tmp_path).run_in_pieces([0, 1, 2, 3], [5] * 4, "abcd", full, divisible=False)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 200))
def test_pieces_hold_every_row_once_and_no_more_than_there_is_room_for(tmp_path_factory, lengths, tokens):
    room = AdaptiveMicroBatcher(tmp_path_factory.getbasetemp() / "nowhere")
    assert room.pieces(range(len(lengths)), lengths) == [list(range(len(lengths)))]
    room.failed_batch = {"rows": 2, "longest": tokens}
    pieces = room.pieces(range(len(lengths)), lengths)
    assert [row for piece in pieces for row in piece] == list(range(len(lengths)))
    assert all(len(piece) == 1 or len(piece) * max(lengths[row] for row in piece) <= tokens for piece in pieces)


def test_rows_keep_their_weights_in_pieces(base, tmp_path, no_room_for):
    """A batch of unequal weights, one row at a time."""
    snapshot = made_snapshot()
    heavy = replace(snapshot, train=[replace(row, weight=1 + 9 * (at % 2)) for at, row in enumerate(snapshot.train)])
    task = prepare_sft(TrainingRun(tmp_path / "run", base, heavy), SFTOptions()).task
    (tmp_path / "run").mkdir()
    _, whole = gradients(RecipeTrainer(task, EIGHT, ""))
    no_room_for(1)
    _, found = gradients(RecipeTrainer(task, EIGHT, ""))
    assert all(torch.allclose(found[name], gradient, atol=1e-6) for name, gradient in whole.items())
