from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.models import load_tokenizer
from preceptor.training import TrainingRun
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import build_label_examples, order_nested, top_answer
from preceptor.training.hyperparameters import choose_dtype
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.trainer import RecipeTrainer


@pytest.fixture
def task(snapshot, base, tmp_path):
    for name, setting in {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}.items():
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps({**config, name: setting}))
    tokenizer = load_tokenizer(base)
    train, validation = (
        build_label_examples(rows, snapshot.answers, tokenizer, max_tokens=32, hard=False) for rows in (snapshot.train, snapshot.validation)
    )
    objective = ClassificationObjective(base, snapshot.answers, tokenizer)
    return TrainingTask(TrainingRun(tmp_path / "run", base, snapshot), 32, objective, train, validation)


PLAN = TrainConfig(epochs=1, min_steps=1, batch_size=16, weight_decay=0.0, patience=3, evals_per_epoch=1, seed=0)


def test_loss_and_gradients_equal_a_plain_loop(task):
    """Length grouping, padding, soft targets, row weights and a last batch that isn't full, against one row at a time."""
    trainer = RecipeTrainer(task, PLAN, "")
    model = trainer.model
    torch.manual_seed(1)
    torch.nn.init.normal_(model.head.weight)
    model.dropout.p = 0.0
    model.train()
    loader = trainer.get_train_dataloader()
    losses = [trainer.compute_loss(model, batch) for batch in loader]
    assert (len(losses), len(task.train) % 16 > 0) == (6, True)
    mean = sum(losses) / len(losses)
    mean.backward()
    ours = {name: weights.grad.clone() for name, weights in model.named_parameters()}

    model.zero_grad()
    plain = 0.0
    for tokens, target, weight in zip(task.train.tokens, task.train.targets, task.train.weights, strict=True):
        ids = torch.tensor([tokens])
        logits = model(ids, torch.ones_like(ids)).logits[0]
        plain = plain + weight * torch.nn.functional.cross_entropy(logits, torch.tensor(target, dtype=torch.float32))
    plain = plain / task.train.weights.sum()
    plain.backward()

    assert float(mean.detach()) == pytest.approx(float(plain.detach()), abs=1e-6)
    for name, weights in model.named_parameters():
        assert torch.allclose(ours[name], weights.grad, atol=1e-6), name
    assert max(float(gradient.abs().max()) for gradient in ours.values()) > 1e-3


def test_the_trainers_own_step_takes_that_gradient(task):
    trainer = RecipeTrainer(task, PLAN, "")
    trainer.model.dropout.p = 0.0
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.training_step(trainer.model, batch)
    taken = trainer.model.head.bias.grad.clone()
    trainer.model.zero_grad()
    expected = trainer.compute_loss(trainer.model, batch)
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.detach()))
    assert torch.allclose(taken, trainer.model.head.bias.grad)


@pytest.mark.parametrize(("times", "chosen"), [((1.0, 0.5), "bfloat16"), ((1.0, 0.9), "float32"), ((1.0, 2.0), "float32")])
def test_bfloat16_only_where_clearly_faster(task, monkeypatch, times, chosen):
    monkeypatch.setattr("preceptor.training.hyperparameters._measure_step_seconds", lambda task, model, batch, *, bfloat16: times[bfloat16])
    assert choose_dtype(task, PLAN) == {"chosen": chosen, "seconds": {"float32": times[0], "bfloat16": times[1]}}


def test_few_rows_are_part_of_more_rows_and_lack_no_answer(snapshot):
    rows = [*snapshot.train, *(replace(row, id=f"x{row.id}") for row in snapshot.train if top_answer(row) == "negative")]
    order = order_nested(rows, seed=5)
    assert {row.id for row in order} == {row.id for row in rows}
    assert {top_answer(row) for row in order[:3]} == set(snapshot.answers)
    assert [row.id for row in order_nested(rows[::-1], seed=5)] == [row.id for row in order]
    assert [row.id for row in order_nested(rows, seed=6)] != [row.id for row in order]
    shares = np.mean([top_answer(row) == "negative" for row in order[:60]])
    assert abs(shares - 0.5) < 0.15  # as in the whole


def test_the_only_step_of_a_run_learns(task):
    """A rate that rises over a tenth of the steps, rounded up, would be zero in it."""
    trainer = RecipeTrainer(task, replace(PLAN, batch_size=999, evals_per_epoch=0), "")
    before = {name: weights.clone() for name, weights in trainer.model.named_parameters()}
    trainer.train()
    assert trainer.state.global_step == 1
    assert any(not torch.equal(before[name], weights) for name, weights in trainer.model.named_parameters())
