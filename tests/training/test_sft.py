from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import UserError
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.chat_template import build_conversation, render_conversation
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.training import TrainingRun, recipes
from preceptor.training.objective import TrainConfig
from preceptor.training.sft import SFTOptions, prepare_sft
from preceptor.training.trainer import RecipeTrainer
from tiny_models import NEXT, Answered, Answers, made_rows, made_snapshot, save_decoder, save_encoder

FAST = {"learning_rate": 1e-2, "epochs": 8, "batch_size": 16, "dtype": "float32", "rank": 8}


@pytest.fixture
def snapshot() -> Answers:
    return made_snapshot()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_decoder("llama", tmp_path / "tiny-llama")


def train(run: TrainingRun, **options: Any) -> Any:
    recipe = recipes.get("sft")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="sft"))


def loss_of(folder: Path, rows: list[Answered]) -> float:
    tokenizer = load_tokenizer(folder)
    cut = [render_conversation(tokenizer, build_conversation(row.content, next(iter(row.target))), 999) for row in rows]
    said = completion_log_probabilities(load_causal(folder), [c.tokens for c in cut], [c.supervised for c in cut], tokenizer.pad_token_id)
    weights = [row.weight for row in rows]
    return -sum(w * s.sum() for w, s in zip(weights, said, strict=True)) / sum(w * len(s) for w, s in zip(weights, said, strict=True))


@pytest.mark.parametrize("adapter", ["none", "lora", "lora-top", "dora"])
def test_learns_saves_and_reloads(snapshot, base, tmp_path, adapter):
    told = []
    model = train(TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny", progress=told.append), adapter=adapter)
    manifest = model.manifest
    history = manifest["history"]
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] - 0.5
    best = min(history, key=lambda entry: entry["validation_loss"])
    assert manifest["best_step"] == best["step"]
    assert loss_of(model.path, snapshot.validation) == pytest.approx(best["validation_loss"], abs=1e-4)
    assert {"recipe": "sft", "base": "tiny", "answers": [], "left_out": {}}.items() <= manifest.items()
    learnt = sum(
        sum(render_conversation(load_tokenizer(model.path), build_conversation(r.content, next(iter(r.target))), 999).supervised)
        for r in snapshot.train
    )
    assert manifest["supervised_tokens"] == pytest.approx(history[-1]["epoch"] * learnt, rel=0.05)
    assert manifest["tokens_per_second"] > manifest["supervised_tokens_per_second"] > 0
    assert manifest["peak_memory_bytes"] > 1e6
    assert told[-1].done == manifest["steps"] <= told[-1].total, "all steps, or fewer where validation no longer got better"
    assert (model.path / "adapter" / "adapter_model.safetensors").exists() == (adapter != "none")
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in model.path.rglob("*.json"))
    assert load_causal(model.path).generation_config.eos_token_id == load_tokenizer(model.path).convert_tokens_to_ids("<|im_end|>")
    assert train(TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny", progress=pytest.fail), adapter=adapter) == model


def test_batches_by_tokens_and_their_loss_equal_a_plain_loop(snapshot, base, tmp_path):
    """Token-sized batches over an epoch, row weights, chunks and padding, against one row at a time."""
    task = prepare_sft(TrainingRun(tmp_path / "run", base, snapshot), SFTOptions(adapter="none")).task
    plan = TrainConfig(epochs=1, min_steps=1, batch_size=1, weight_decay=0, patience=3, evals_per_epoch=1, seed=0, batch_tokens=300)
    trainer = RecipeTrainer(task, plan, "")
    sizes = [len(batch) * max(len(task.train.tokens[row]) for row in batch) for batch in trainer.batches]
    assert max(sizes) <= 300
    assert len(sizes) > 4
    assert sum(task.train.lengths) / sum(sizes) > 0.85  # little padding
    losses = [trainer.compute_loss(trainer.model, batch) for batch in trainer.get_train_dataloader()]
    mean = sum(losses) / len(losses)
    mean.backward()
    ours = {name: weights.grad.clone() for name, weights in trainer.model.named_parameters()}
    trainer.model.zero_grad()
    total, mass = 0.0, 0.0
    for ids, mask, weight in zip(task.train.tokens, task.train.targets, task.train.weights, strict=True):
        logits = trainer.model(torch.tensor([ids])).logits[0, :-1]
        each = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
        total, mass = total + weight * each[torch.tensor(mask[1:])].sum(), mass + weight * mask[1:].sum()
    (total / mass).backward()
    assert float(mean.detach()) == pytest.approx(float((total / mass).detach()), rel=1e-5)
    for name, weights in trainer.model.named_parameters():
        assert torch.allclose(ours[name], weights.grad, atol=1e-5), name


def test_a_killed_run_ends_with_the_same_weights(snapshot, base, tmp_path):
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "killed_writer.py"), "test_sft.py", "8", "13", str(tmp_path / "killed"), str(base)],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.split() == ["-9", "-9", "0"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = train(TrainingRun(tmp_path / "whole", base, snapshot, seed=3))
    finally:
        torch.set_num_threads(threads)
    survived = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    for name, weights in load_file(whole.path / "model.safetensors").items():
        assert torch.allclose(weights, survived[name], atol=1e-6), name
    manifest = json.loads((tmp_path / "killed" / "model" / "manifest.json").read_text())
    assert manifest["supervised_tokens"] == whole.manifest["supervised_tokens"]


def test_rows_that_cannot_be_trained_on_are_counted_by_reason(snapshot, base, tmp_path):
    bad = [
        replace(snapshot.train[0], id="x1", target={"": 1.0}),
        replace(snapshot.train[0], id="x2", content={"prompt": "a <|im_start|> b"}),
        replace(snapshot.train[0], id="x3", target={"green " * 200: 1.0}),
        replace(snapshot.train[0], id="x4", weight=0.0),
    ]
    model = train(TrainingRun(tmp_path / "run", base, replace(snapshot, train=[*snapshot.train, *bad])), epochs=1, max_tokens=100)
    assert model.manifest["left_out"] == {"train": {"empty": 1, "marks": 1, "too long": 1, "weight": 1}}
    assert model.manifest["rows"]["train"] == 60
    assert "4 of 64 training rows were left out: 1 × the completion is empty" in " ".join(model.manifest["summary"])


def test_when_no_row_is_left_it_says_why(snapshot, base, tmp_path):
    with pytest.raises(UserError, match=r"no row of the train split can be trained on: 60 × prompt and completion are longer"):
        train(TrainingRun(tmp_path / "run", base, snapshot), max_tokens=10)


def test_conversations_train_too(base, tmp_path):
    def talk(number, word):
        turns = [
            {"role": "user", "content": f"After {word}?"},
            {"role": "assistant", "content": f"{NEXT[word]}."},
            {"role": "user", "content": "Sure?"},
        ]
        return Answered(f"c{number}", {"messages": turns}, {"Yes.": 1.0})

    rows = [talk(number, word) for number, word in enumerate([*NEXT] * 4)]
    model = train(TrainingRun(tmp_path / "run", base, Answers(rows[:18], rows[18:])), epochs=25)
    assert model.manifest["history"][-1]["validation_loss"] < 1.0


def test_a_correction_takes_the_place_of_the_completion(base, tmp_path):
    rows = [replace(row, content={**row.content, "completion": "I don't know."}) for row in made_rows(60, 1)]
    task = prepare_sft(TrainingRun(tmp_path / "run", base, Answers(rows, rows[:9])), SFTOptions()).task
    assert "know" not in load_tokenizer(base).decode(task.train.tokens[0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: replace(s, train=[]), "the snapshot's train split is empty"),
        (lambda s: replace(s, validation=[]), "the snapshot's validation split is empty"),
    ],
)
def test_a_snapshot_that_cannot_be_learnt_is_refused(snapshot, base, tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        train(TrainingRun(tmp_path / "run", base, spoil(snapshot)))


def test_a_base_that_does_not_write_is_refused(snapshot, tmp_path):
    with pytest.raises(UserError, match="is not a causal model"):
        train(TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "bert"), snapshot))


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU, packed weights are unpacked by it")
@pytest.mark.parametrize("recipe", ["sft", "classify"])
def test_a_packed_base_is_refused_without_a_gpu(snapshot, base, tmp_path, recipe):
    config = json.loads((base / "config.json").read_text())
    packing = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": packing}))
    chosen = recipes.get(recipe)
    with pytest.raises(UserError, match=r"tiny-llama is packed \(bitsandbytes\).*no GPU"):
        chosen(TrainingRun(tmp_path / "run", base, snapshot), chosen.Options())


def test_bfloat16_trains_and_is_saved_in_float32(snapshot, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, snapshot), dtype="bfloat16")
    assert model.manifest["dtype"] == "bfloat16"
    assert model.manifest["history"][-1]["validation_loss"] < 2.0
    assert {weights.dtype for weights in load_file(model.path / "model.safetensors").values()} == {torch.float32}


def test_rate_and_format_are_measured_where_they_are_open(snapshot, base, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.training.hyperparameters.SWEEP_STEPS", 3)
    model = train(TrainingRun(tmp_path / "run", base, snapshot), learning_rate=None, dtype="auto", epochs=1)
    assert model.manifest["learning_rate"] in [tried["learning_rate"] for tried in model.manifest["sweep"]]
    assert set(model.manifest["dtype_seconds"]) == {"float32", "bfloat16"}


def test_options_are_a_dozen():
    assert len(SFTOptions.model_fields) <= 12
    assert len(recipes.get("classify").Options.model_fields) <= 12
