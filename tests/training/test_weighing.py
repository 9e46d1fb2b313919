"""Answers by people's posterior as texts: what each weighs, and that the loss is the cross-entropy of whole answers."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from preceptor.errors import UserError
from preceptor.models.causal_lm import prepare_tokenizer
from preceptor.models.chat_template import build_conversation
from preceptor.models.parity import check_parity_stages
from preceptor.training import TrainingRun, recipes
from preceptor.training.examples import expand_answers
from preceptor.training.sft import SFTObjective, build_completion_examples
from tiny_models import Answered, Answers, made_rows, save_decoder

FAST = {"learning_rate": 1e-2, "epochs": 2, "dtype": "float32", "batch_size": 8, "rank": 4}
DIVIDED = Answered("a", {"prompt": "What comes after red?"}, {"It is one.": 0.3, "It is green.": 0.69, "It is two.": 0.01}, 2.0)
SURE = Answered("b", {"prompt": "What comes after one?"}, {"It is two.": 1.0}, 0.5)
SPLIT = Answered("c", {"prompt": "What comes after two?"}, {"It is red.": 0.5, "It is two.": 0.5})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_decoder("llama", tmp_path_factory.mktemp("bases") / "llama")


def train(run, **options):
    recipe = recipes.get("sft")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="sft"))


def weighed(targets, *rows):
    return [(row.id, next(iter(row.target)), round(row.weight, 6)) for row in expand_answers(rows, targets)]


def test_what_each_answer_weighs():
    assert weighed("soft", DIVIDED, SURE) == [("a", "It is green.", 1.38), ("a", "It is one.", 0.6), ("b", "It is two.", 0.5)]
    assert weighed("certain", DIVIDED, SURE, SPLIT) == [("a", "It is green.", 0.76), ("b", "It is two.", 0.5), ("c", "It is red.", 0.0)]
    assert weighed("hard", DIVIDED, SURE, SPLIT) == [("a", "It is green.", 2.0), ("b", "It is two.", 0.5), ("c", "It is red.", 1.0)]


@pytest.mark.parametrize("targets", ["soft", "certain", "hard"])
def test_a_text_that_somebody_wrote_stays_what_it_is(targets):
    rows = made_rows(8, 1)
    assert [(row.target, row.weight) for row in expand_answers(rows, targets)] == [(row.target, row.weight) for row in rows]


def gradients(base, rows):
    """The loss of these rows by a fresh model, and its gradient by every weight."""
    tokenizer = prepare_tokenizer(base)
    objective = SFTObjective(base, tokenizer, "none", 4)
    examples = build_completion_examples(rows, tokenizer, max_tokens=64, split="train")
    torch.manual_seed(0)
    model = objective.create_model()
    loss = objective.loss(model, objective.batch(examples, range(len(examples))))
    loss.backward()
    return loss.item(), torch.cat([weights.grad.ravel() for weights in model.parameters() if weights.grad is not None])


def test_the_gradient_of_soft_targets_is_the_weighted_sum_of_those_of_single_answers(base):
    whole, together = gradients(base, expand_answers([DIVIDED, SURE], "soft"))
    parts = [(2 * 0.69, "a", "It is green."), (2 * 0.3, "a", "It is one."), (0.5, "b", "It is two.")]
    content = {row.id: row.content for row in (DIVIDED, SURE)}
    alone = [(weight, *gradients(base, [Answered(id_, content[id_], {answer: 1.0})])) for weight, id_, answer in parts]
    assert whole == pytest.approx(sum(weight * loss for weight, loss, _ in alone), rel=1e-5)
    assert torch.allclose(together, sum(weight * gradient for weight, _, gradient in alone), atol=1e-5)


def test_the_lowest_loss_is_the_entropy_of_the_posterior(base):
    row = replace(DIVIDED, target={"It is green.": 0.7, "It is one.": 0.3}, weight=1.0)
    tokenizer = prepare_tokenizer(base)
    objective = SFTObjective(base, tokenizer, "none", 4)
    batch = objective.batch(build_completion_examples(expand_answers([row], "soft"), tokenizer, max_tokens=64, split="train"), range(2))
    model = objective.create_model()
    optimiser, losses = torch.optim.Adam(model.parameters(), 5e-3), []
    for _ in range(200):
        loss = objective.loss(model, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    entropy = -0.7 * math.log(0.7) - 0.3 * math.log(0.3)
    assert min(losses) >= entropy - 1e-4
    assert losses[-1] == pytest.approx(entropy, abs=0.03)


def divided(rows):
    """Each row with a second answer that some gave, some rows undecided."""
    other = "It is sun."
    return [replace(row, target={next(iter(row.target)): share, other: 1 - share})
            for row, share in zip(rows, [0.8, 0.5, 1.0, 0.99] * (len(rows) // 4), strict=True)]  # fmt: skip


@pytest.fixture
def opinions():
    return Answers(divided(made_rows(40, 1)), divided(made_rows(12, 2)), answers=("It is red.", "It is sun."), target_kind="nominal")


def test_soft_targets_train_and_parity_holds(opinions, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, opinions))
    assert model.manifest["rows"]["train"] == 60
    assert "60 answers of 40 training rows were learnt, each weighed by its probability." in model.manifest["summary"]
    kept = json.loads((model.path / "parity.json").read_text())["rows"]
    assert len(kept) == 12
    rows = {row.id: build_conversation(row.content, max(row.target, key=row.target.get)) for row in opinions.validation}
    assert all(stage.passed for stage in check_parity_stages(model.path, rows, base=base))


def test_rows_that_weigh_nothing_are_counted(opinions, base, tmp_path):
    model = train(TrainingRun(tmp_path / "run", base, opinions), targets="certain", epochs=1)
    assert model.manifest["rows"]["train"] == 30
    assert model.manifest["left_out"]["train"] == {"weight": 10}
    assert "10 of 40 training rows were left out" in " ".join(model.manifest["summary"])
    undecided = replace(opinions, train=[replace(row, target={"a": 0.5, "b": 0.5}) for row in opinions.train])
    with pytest.raises(UserError, match="no row of the train split can be trained on: 40 × the row has no weight"):
        train(TrainingRun(tmp_path / "none", base, undecided), targets="certain")


def test_a_dry_run_shows_the_answers_that_would_be_learnt(opinions, base, tmp_path):
    recipe = recipes.get("sft")
    seen = recipe.preview(TrainingRun(tmp_path / "run", base, opinions), recipe.Options())
    assert seen["rows"] == {"train": 40, "validation": 12}, "rows are counted, not their answers"
    hard = recipe.preview(TrainingRun(tmp_path / "run", base, opinions), recipe.Options(targets="hard"))
    assert hard["rows"] == {"train": 40, "validation": 12}
