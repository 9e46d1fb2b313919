from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import UserError
from preceptor.models import TextClassifier, class_probabilities, load_tokenizer
from preceptor.models.batching import encode_texts
from preceptor.models.classifier import predict_log_probabilities
from preceptor.training import TrainingRun, recipes

FAST = {"learning_rate": 3e-3, "epochs": 8, "batch_size": 8, "dtype": "float32", "min_steps": 1}


def train(run, **options):
    recipe = recipes.get("classify")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="classify"))


def log_loss(probabilities, rows, answers):
    targets = np.array([[row.target[answer] for answer in answers] for row in rows])
    weights = np.array([row.weight for row in rows])
    return float(np.average(-(targets * np.log(probabilities)).sum(1), weights=weights))


def test_learns_saves_and_reloads(snapshot, base, tmp_path):
    told = []
    model = train(TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny", progress=told.append))
    manifest = model.manifest
    probabilities = class_probabilities(model.path, [row.text for row in snapshot.validation])
    truth = [max(row.target, key=row.target.get) for row in snapshot.validation]
    assert np.mean(np.array(snapshot.answers)[probabilities.argmax(1)] == truth) > 0.7
    assert np.abs(probabilities.sum(1) - 1).max() < 1e-12

    best = min(manifest["history"], key=lambda entry: entry["validation_loss"])
    assert manifest["best_step"] == best["step"]
    assert log_loss(probabilities, snapshot.validation, snapshot.answers) == pytest.approx(best["validation_loss"], abs=1e-5)

    assert (told[-1].done, told[-1].total) == (manifest["steps"], 96)
    assert json.loads((model.path / "manifest.json").read_text()) == dict(manifest)
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in model.path.glob("*.json"))
    assert {"recipe": "classify", "base": "tiny", "snapshot": "d" * 64, "seed": 1, "dtype": "float32"}.items() <= manifest.items()
    assert not (tmp_path / "run" / "checkpoints").exists()

    again = train(TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny", progress=pytest.fail))
    assert again == model


def test_best_weights_are_kept_and_overfitting_is_told(snapshot, base, tmp_path):
    """Shuffled answers in validation: the better the training, the worse the validation."""
    random = np.random.default_rng(0)
    targets = [row.target for row in snapshot.validation]
    random.shuffle(targets)
    spoilt = replace(snapshot, validation=[replace(row, target=target) for row, target in zip(snapshot.validation, targets, strict=True)])
    model = train(TrainingRun(tmp_path / "run", base, spoilt), patience=6, epochs=20)
    losses = [entry["validation_loss"] for entry in model.manifest["history"]]
    assert len(losses) - 1 - int(np.argmin(losses)) == 6
    assert model.manifest["steps"] < 20 * 12
    probabilities = class_probabilities(model.path, [row.text for row in spoilt.validation])
    assert log_loss(probabilities, spoilt.validation, spoilt.answers) == pytest.approx(min(losses), abs=1e-5)
    assert "overfitting" in " ".join(model.manifest["summary"])
    assert "no longer got clearly better" in " ".join(model.manifest["summary"])


def test_a_killed_run_ends_with_the_same_weights(snapshot, base, tmp_path):
    """Killed between checkpoints, inside a checkpoint's write, with half a file written, and while removing an old one."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "killed_run.py"), str(tmp_path / "killed"), str(base)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.split() == ["-9"] * 4 + ["0"]
    sys.path.insert(0, str(here))
    options = {"learning_rate": 1e-3, "epochs": 6, "batch_size": 8, "evals_per_epoch": 3, "min_steps": 100}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the killed process: sums in another order differ in their last bits
    try:
        whole = train(TrainingRun(tmp_path / "whole", base, snapshot, seed=3), **options)
    finally:
        torch.set_num_threads(threads)
    survived = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    for name, weights in load_file(whole.path / "model.safetensors").items():
        assert torch.allclose(weights, survived[name], atol=1e-6), name
    manifest = json.loads((tmp_path / "killed" / "model" / "manifest.json").read_text())
    assert [entry["step"] for entry in manifest["history"]] == [entry["step"] for entry in whole.manifest["history"]]


def test_same_seed_same_weights(snapshot, base, tmp_path):
    first, second, other = (
        train(TrainingRun(tmp_path / name, base, snapshot, seed=seed), epochs=1) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.manifest["weights"] == second.manifest["weights"] != other.manifest["weights"]
    assert first.id == second.id != other.id


def test_sweep_and_measured_dtype_are_kept(snapshot, base, tmp_path, monkeypatch):
    run = TrainingRun(tmp_path / "run", base, snapshot)
    model = train(run, learning_rate=None, dtype="auto", epochs=1)
    rates = [tried["learning_rate"] for tried in model.manifest["sweep"]]
    assert model.manifest["learning_rate"] in rates
    assert set(model.manifest["dtype_seconds"]) == {"float32", "bfloat16"}
    (run.folder / "model" / "manifest.json").unlink()
    monkeypatch.setattr("preceptor.training.hyperparameters.sweep_learning_rates", pytest.fail)
    monkeypatch.setattr("preceptor.training.hyperparameters.choose_dtype", pytest.fail)
    assert train(run, learning_rate=None, dtype="auto", epochs=1).manifest["weights"] == model.manifest["weights"]


def test_a_rate_that_runs_away_in_the_sweep_is_not_taken(snapshot, base, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.training.classification.ClassificationObjective.learning_rates", (1e-3, 1e30))
    model = train(TrainingRun(tmp_path / "run", base, snapshot), learning_rate=None, epochs=1)
    assert model.manifest["learning_rate"] == 1e-3
    assert model.manifest["sweep"][1]["validation_loss"] is None


def test_bfloat16_trains_and_serves_in_float32(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot), dtype="bfloat16")
    assert model.manifest["dtype"] == "bfloat16"
    assert model.manifest["history"][-1]["validation_accuracy"] > 0.6
    assert TextClassifier(model.path).model.dtype == torch.float32


def test_a_decoder_without_a_pad_token_trains_too(snapshot, decoder, tmp_path):
    model = train(TrainingRun(tmp_path / "run", decoder, snapshot))
    assert model.manifest["history"][-1]["validation_accuracy"] > 0.6
    classifier = TextClassifier(model.path)
    texts = [row.text for row in snapshot.validation]
    alone = np.vstack([classifier.predict([text]) for text in texts])
    assert np.abs(classifier.predict(texts) - alone).max() < 1e-6  # padding is never read


def test_training_goes_on_from_an_earlier_model(snapshot, base, tmp_path):
    first = train(TrainingRun(tmp_path / "first", base, snapshot))
    more = train(TrainingRun(tmp_path / "more", first.path, snapshot), epochs=1, learning_rate=1e-5)
    assert more.manifest["history"][0]["validation_loss"] < first.manifest["history"][0]["validation_loss"]
    assert more.manifest["base_weights"] == first.manifest["weights"]


def test_hard_targets_and_fewer_rows(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot), targets="hard", max_train_rows=20, epochs=1)
    assert model.manifest["rows"] == {"train": 20, "validation": 48}


def test_min_steps_gives_few_rows_more_passes(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot), max_train_rows=8, epochs=1, min_steps=30, patience=99)
    assert model.manifest["steps"] == 30
    assert [entry["step"] for entry in model.manifest["history"]] == [6, 12, 18, 24, 30]  # validation has six times the rows


def test_another_process_in_the_folder_is_refused(snapshot, base, tmp_path):
    refused = []

    def meanwhile(progress):
        if progress.done == 1:
            with pytest.raises(UserError, match="another process is training in run") as caught:
                train(TrainingRun(tmp_path / "run", base, snapshot))
            refused.append(caught.value)

    train(TrainingRun(tmp_path / "run", base, snapshot, progress=meanwhile))
    assert len(refused) == 1


def test_another_run_in_the_folder_is_refused(snapshot, base, tmp_path):
    train(TrainingRun(tmp_path / "run", base, snapshot), epochs=1)
    with pytest.raises(UserError, match="holds another run: options, seed differ"):
        train(TrainingRun(tmp_path / "run", base, snapshot, seed=9), epochs=2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: replace(s, train=[]), "the snapshot's train split is empty"),
        (lambda s: replace(s, validation=[]), "the snapshot's validation split is empty"),
        (lambda s: replace(s, train=[row for row in s.train if row.target["neutral"] < 0.5]), "no training row has 'neutral'"),
    ],
)
def test_a_snapshot_that_cannot_be_learnt_is_refused(snapshot, base, tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        train(TrainingRun(tmp_path / "run", base, spoil(snapshot)))
    assert not (tmp_path / "run").exists()


def test_a_base_that_is_no_model_is_refused(snapshot, base, tmp_path):
    with pytest.raises(UserError, match="there is no model folder nowhere") as caught:
        train(TrainingRun(tmp_path / "run", tmp_path / "nowhere", snapshot))
    assert "config.json" in caught.value.hint
    (base / "config.json").unlink()
    with pytest.raises(UserError, match="tiny-bert is not a model: it has no config"):
        train(TrainingRun(tmp_path / "run", base, snapshot))
    (base / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(UserError, match="tiny-bert can't be loaded"):
        train(TrainingRun(tmp_path / "run", base, snapshot))


def test_unknown_options_are_refused():
    with pytest.raises(UserError, match="no option is called 'epoch', did you mean 'epochs'"):
        recipes.get("classify").Options.parse({"epoch": 3}, of="classify")


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_weights(snapshot, base, tmp_path, monkeypatch):
    from preceptor.training.losses import CLASSIFICATION_LOSSES

    loss, calls = CLASSIFICATION_LOSSES["nominal"], []

    def breaks(logits, targets):
        calls.extend([1] * logits.requires_grad)  # in training, not in validation
        return loss(logits, targets) * (float("nan") if len(calls) > 20 else 1)

    monkeypatch.setitem(CLASSIFICATION_LOSSES, "nominal", breaks)
    with pytest.raises(UserError, match=r"the training loss became nan at step 21, on the rows t-\d+") as caught:
        train(TrainingRun(tmp_path / "run", base, snapshot))
    assert "smaller learning_rate" in caught.value.hint
    kept = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert "checkpoint-18" in kept
    assert not (tmp_path / "run" / "model").exists()


FULL = [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed")]


@pytest.mark.parametrize("error", FULL, ids=["system", "torch"])
@pytest.mark.parametrize("place", ["preceptor.training.trainer.publish", "preceptor.models.atomic_folder.publish"])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(snapshot, base, tmp_path, monkeypatch, error, place):
    def full(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(place, full)
        with pytest.raises(UserError, match="the disk filled up while writing"):
            train(TrainingRun(tmp_path / "run", base, snapshot), epochs=1)
    assert not (tmp_path / "run" / "model").exists()
    assert train(TrainingRun(tmp_path / "run", base, snapshot), epochs=1).path.is_dir()


def test_long_texts_are_cut_alike_in_training_and_serving(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot), epochs=1, max_tokens=6)
    tokenizer, classifier = load_tokenizer(model.path), TextClassifier(model.path)
    texts = [row.text for row in snapshot.validation]
    cut = encode_texts(tokenizer, texts, 6)
    assert max(map(len, cut)) == 6
    assert "training texts fill all 6 tokens" in " ".join(model.manifest["summary"])
    assert np.allclose(classifier.predict(texts), np.exp(predict_log_probabilities(classifier.model, cut, tokenizer.pad_token_id)))


def test_texts_longer_than_the_model_reads_are_cut_at_its_limit(snapshot, base, tmp_path):
    longer = [replace(row, text=" ".join([row.text] * 40)) for row in snapshot.train[:9]]
    model = train(TrainingRun(tmp_path / "run", base, replace(snapshot, train=longer)), epochs=1)  # max_tokens is 128 unless set
    assert "9 of 9 training texts fill all 64 tokens" in " ".join(model.manifest["summary"])
    assert class_probabilities(model.path, [longer[0].text]).shape == (1, 3)
