from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import UserError
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.chat_template import build_conversation, render_conversation
from preceptor.models.parity import check_parity_stages, score_completions
from preceptor.training import TrainingRun, recipes
from preceptor.training import dpo as reference_module
from preceptor.training.dpo import DPOOptions, prepare_dpo
from preceptor.training.objective import TrainConfig
from preceptor.training.preference_pairs import preferred_answer
from preceptor.training.trainer import RecipeTrainer
from preceptor.types import Model, RetentionData
from preferring_rows import compared, comparisons, corrected
from tiny_models import Answered, Answers, save_decoder, save_encoder

FAST = {"learning_rate": 5e-3, "epochs": 3, "batch_size": 16, "dtype": "float32"}
TEXTS = {word: build_conversation({"prompt": f"What is {word}?"}, f"It is {word}.") for word in ("sun", "moon", "star", "cat")}


@dataclass(frozen=True)
class Trained:
    run: TrainingRun
    model: Model
    told: list[Any]


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_decoder("llama", tmp_path / "tiny-llama")


def train(run: TrainingRun, **options: Any) -> Any:
    recipe = recipes.get("dpo")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="dpo"))


def said(folder: Path, row: Answered, text: str) -> float:
    """Summed log-probability of an answer, by a plain forward."""
    tokenizer = load_tokenizer(folder)
    cut = render_conversation(tokenizer, build_conversation(row.content, text), 999)
    with torch.no_grad():
        each = torch.log_softmax(load_causal(folder)(torch.tensor([cut.tokens])).logits[0, :-1], dim=-1)
    return float(each[range(len(cut.tokens) - 1), cut.tokens[1:]][cut.prompt_length - 1 :].sum())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A base, comparisons, and what a run on one thread made of them; trained once for all tests."""
    folder = tmp_path_factory.mktemp("dpo")
    told: list[Any] = []
    run = TrainingRun(
        folder / "run", save_decoder("llama", folder / "tiny-llama"), comparisons(), seed=3, base_name="tiny", progress=told.append
    )
    with one_thread():
        return Trained(run, train(run), told)


def test_learns_what_people_prefer_and_says_so(trained):
    manifest = trained.model.manifest
    learnt(manifest)
    assert {
        "recipe": "dpo",
        "base": "tiny",
        "answers": [],
        "left_out": {},
        "rows": {"train": 48, "validation": 16},
    }.items() <= manifest.items()
    assert "moved towards the answer that people prefer in 100.0%" in " ".join(manifest["summary"])
    assert "Validation rows chose these weights, which flatters what they say" in " ".join(manifest["summary"])
    assert trained.told[-1].total >= trained.told[-1].done == manifest["steps"]
    assert train(replace(trained.run, progress=pytest.fail)) == trained.model, "what is done isn't done again"


@pytest.mark.parametrize("options", [{"adapter": "lora-top"}, {"adapter": "none", "learning_rate": 2e-3, "normalise": "length"}])
def test_learns_with_other_weights_trained(base, tmp_path, options):
    model = train(TrainingRun(tmp_path / "run", base, comparisons(), seed=1), **options)
    learnt(model.manifest)
    assert (model.path / "adapter" / "adapter_model.safetensors").exists() == (options["adapter"] != "none")


def learnt(manifest: dict[str, Any]) -> None:
    preference = manifest["preference"]
    assert preference["accuracy"]["value"] >= 0.9
    assert preference["accuracy"]["low"] > 0.5
    assert preference["log_loss"]["value"] < 0.65
    assert manifest["history"][-1]["validation_accuracy"] >= 0.9


def test_what_is_held_out_is_measured_as_a_plain_loop_does(trained):
    snapshot, model, base, margins = trained.run.snapshot, trained.model, trained.run.base, []
    for row in snapshot.validation:
        best = max(("0", "1"), key=lambda place: row.target[place])
        texts = row.content["responses"][int(best)], row.content["responses"][1 - int(best)]
        tuned, before = ([said(folder, row, text) for text in texts] for folder in (model.path, base))
        margins.append(0.1 * (tuned[0] - before[0] - tuned[1] + before[1]))
    p = np.minimum([max(row.target.values()) for row in snapshot.validation], 0.95)
    losses = p * np.logaddexp(0, -np.array(margins)) + (1 - p) * np.logaddexp(0, margins)
    assert min(entry["validation_loss"] for entry in model.manifest["history"]) == pytest.approx(losses.mean(), abs=1e-3)
    assert model.manifest["preference"]["accuracy"]["value"] == np.mean(np.array(margins) > 0)


@pytest.mark.parametrize(
    "options", [{}, {"loss_type": "hard", "sft_weight": 0.5}, {"adapter": "none", "loss_type": "robust"}, {"normalise": "length"}]
)
def test_a_step_s_loss_and_gradients_equal_a_plain_loop(base, tmp_path, options):
    """One pair at a time, each answer alone, against batches of prompts read once."""
    rows = [replace(row, weight=1.0 + number % 3) for number, row in enumerate(compared(12, 1, probability=0.8))]
    run = TrainingRun(tmp_path, base, Answers(rows, compared(4, 2), answers=("0", "1")))
    chosen = DPOOptions(**{"batch_size": 5, **options})
    task, objective = prepare_dpo(run, chosen)
    assert objective.shares_prompt
    plan = TrainConfig(epochs=1, min_steps=1, batch_size=5, weight_decay=0, patience=3, evals_per_epoch=1, seed=0)
    trainer = RecipeTrainer(task, plan, "")
    torch.manual_seed(3)
    for weights in trainer.model.parameters():
        if weights.requires_grad:
            weights.data += 0.05 * torch.randn_like(weights)
    mean = sum(trainer.compute_loss(trainer.model, batch) for batch in trainer.get_train_dataloader()) / len(trainer.batches)
    mean.backward()
    ours = {name: weights.grad.clone() for name, weights in trainer.model.named_parameters() if weights.grad is not None}
    trainer.model.zero_grad()
    before, total = prepare_causal(base, objective.tokenizer).eval(), torch.zeros(())
    for row in rows:
        best = max(("0", "1"), key=lambda place: row.target[place])
        ratio, nll = [], 0.0
        for text in (row.content["responses"][int(best)], row.content["responses"][1 - int(best)]):
            cut = render_conversation(objective.tokenizer, build_conversation(row.content, text), 999)
            ids = torch.tensor([cut.tokens])
            policy, base_said = (
                torch.log_softmax(model(ids).logits[0, :-1], dim=-1)[range(ids.shape[1] - 1), ids[0, 1:]][cut.prompt_length - 1 :]
                for model in (trainer.model, before)
            )
            nll = nll or -policy.mean()
            each = policy.sum() - base_said.sum().detach()
            ratio.append(each / len(policy) if objective.normalization == "length" else each)
        h = objective.beta * (ratio[0] - ratio[1])
        right, wrong = (-torch.nn.functional.logsigmoid(each) for each in (h, -h))
        loss = {"soft": 0.8 * right + 0.2 * wrong, "hard": right, "robust": (0.8 * right - 0.2 * wrong) / 0.6}[chosen.loss_type]
        total = total + row.weight * (loss + (chosen.sft_weight or 0.0) * nll)
    total = total / sum(row.weight for row in rows)
    total.backward()
    assert float(mean.detach()) == pytest.approx(float(total.detach()), rel=1e-4)
    for name, weights in trainer.model.named_parameters():
        if weights.grad is not None:
            assert torch.allclose(ours[name], weights.grad, atol=1e-4), name


def test_both_answers_end_with_their_turn_and_no_prompt_is_learnt(base, tmp_path):
    task, _ = prepare_dpo(TrainingRun(tmp_path, base, comparisons()), DPOOptions())
    end = load_tokenizer(base).convert_tokens_to_ids("<|im_end|>")
    for sides in task.train.targets:
        assert [answer[-1] for answer in sides.fork.answers] == [end, end]
        assert all(sum(learnt) == len(answer) for learnt, answer in zip(sides.fork.supervised, sides.fork.answers, strict=True))


def test_the_reference_is_read_once_without_dropout_and_kept(tmp_path, monkeypatch):
    base = save_decoder("gpt2", tmp_path / "gpt2")  # which has dropout
    run = TrainingRun(tmp_path / "run", base, comparisons(12))
    run.folder.mkdir()
    first, _ = prepare_dpo(run, DPOOptions())
    monkeypatch.setattr(reference_module, "score_pairs", pytest.fail)
    again, _ = prepare_dpo(run, DPOOptions(loss_type="hard", beta=0.5))
    assert [each.reference for each in again.train.targets] == [each.reference for each in first.train.targets]
    row, sides = run.snapshot.train[0], first.train.targets[0]
    assert sides.reference[0] == pytest.approx(said_by(base, row), abs=1e-3)
    with pytest.raises(TypeError, match="_Fail"):  # other pairs are read
        prepare_dpo(replace(run, snapshot=comparisons(13)), DPOOptions())


def said_by(base: Path, row: Answered) -> float:
    tokenizer = prepare_tokenizer(base)
    model = prepare_causal(base, tokenizer).eval()
    return float(
        score_completions(model, tokenizer, {row.id: build_conversation(row.content, preferred_answer(row))})
        .log_probabilities[row.id]
        .sum()
    )


def test_a_killed_run_ends_with_the_same_weights(trained, tmp_path):
    with one_thread():
        for stop in (1, 4, None):  # each between two checkpoints
            child = os.fork()
            if child == 0:
                run = replace(trained.run, folder=tmp_path / "killed", progress=lambda told, stop=stop: _die_at(told, stop))
                train(run)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if stop is None else -signal.SIGKILL)
    survived = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    for name, weights in load_file(trained.model.path / "model.safetensors").items():
        assert torch.equal(weights, survived[name]), name


def _die_at(told: Any, stop: int | None) -> None:
    if told.done == stop:
        os.kill(os.getpid(), signal.SIGKILL)


def test_hard_labels_of_flipped_pairs_are_learnt_less_surely_with_their_posterior(base, tmp_path):
    """At 70 % the soft loss stops at odds of 7 to 3; the hard one goes on."""
    snapshot = Answers(compared(48, 1, probability=0.7), compared(16, 2, probability=0.7), answers=("0", "1"))
    soft, hard = (
        train(TrainingRun(tmp_path / loss, base, snapshot), loss_type=loss, epochs=5).manifest["history"][-1]["validation_loss"]
        for loss in ("soft", "hard")
    )
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))
    assert entropy - 1e-6 <= soft < hard - 0.05


def test_a_correction_is_target_and_pair_at_once(trained, base, tmp_path):
    snapshot = Answers(corrected(48, 1), corrected(16, 2))
    model = train(TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny"))
    preference = model.manifest["preference"]
    assert preference["accuracy"]["value"] >= 0.8
    compared_only = trained.model.manifest["preference"]["chosen_change_share"]
    assert preference["chosen_change_share"] > compared_only + 0.03, "it is learnt for its own sake too"


def test_ties_hold_both_answers_and_count_a_quarter(base, tmp_path):
    ties = compared(8, 5, tie=0.8)
    ties = [replace(row, id=f"tie-{row.id}") for row in ties]
    task, _ = prepare_dpo(TrainingRun(tmp_path, base, replace(comparisons(), train=[*comparisons().train, *ties])), DPOOptions())
    assert task.train.weights.tolist() == [1.0] * 48 + [0.25] * 8
    assert [each.target for each in task.train.targets[48:]] == [0.5] * 8


def test_pairs_that_say_nothing_are_left_out_and_counted(base, tmp_path):
    good = comparisons().train
    first = good[0].content["responses"]
    bad = [
        replace(good[0], id="x1", content={"prompt": "a", "responses": [first[0], f"{first[0]} "]}),
        replace(good[0], id="x2", target={"0": 0.55, "1": 0.45}),
        replace(good[0], id="x3", content={"prompt": "a " * 200, "responses": first}),
        replace(good[0], id="x4", content={"prompt": "a <|im_start|> b", "responses": first}),
        replace(good[0], id="x5", weight=0.0),
        replace(good[0], id="x6", content={"prompt": "a"}),
    ]
    snapshot = replace(comparisons(), train=[*good, *bad])
    reasons = {"the same twice": 1, "undecided": 1, "too long": 1, "marks": 1, "weight": 1, "no pair": 1}
    shown = recipes.get("dpo").preview(TrainingRun(tmp_path / "none", base, snapshot), DPOOptions(max_tokens=100))
    assert shown["left_out"]["train"] == reasons
    assert shown["rows"]["train"] == shown["pairs"]["train"] == 48
    assert {row["id"] for row in shown["left_out_rows"]} == {row.id for row in bad}
    assert "".join(token["text"] for token in shown["examples"][0]["rejected"]).endswith("<|im_end|>")
    assert not (tmp_path / "none").exists(), "nothing is written"
    model = train(TrainingRun(tmp_path / "run", base, snapshot), epochs=1, max_tokens=100)
    assert model.manifest["left_out"] == {"train": reasons}
    assert "6 of 54 training pairs were left out: 1 × the text holds marks" in " ".join(model.manifest["summary"])


SAME = {"prompt": "a", "responses": ["b", "b"]}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([Answered("i", {"prompt": "a"}, {"b": 1.0})], {}, "no row of the train split holds two answers to compare"),
        ([Answered("i", SAME, {"0": 1.0})], {}, "no pair of the train split says which answer is better: 1 × both answers are the same"),
        ([replace(compared(1, 1)[0], target={"0": 0.1, "1": 0.1, "tie": 0.8})], {}, "1 × people call both answers equal"),
        (compared(2, 1), {"max_tokens": 9}, "2 × prompt and completion are longer than max_tokens"),
        ([], {}, "the snapshot's train split is empty"),
    ],
)
def test_a_snapshot_without_a_preference_is_refused(base, tmp_path, rows, options, message):
    with pytest.raises(UserError, match=message):
        train(TrainingRun(tmp_path / "run", base, Answers(rows, compared(4, 2), answers=("0", "1", "tie"))), **options)


def test_an_encoder_and_a_longer_window_than_there_is_are_refused(base, tmp_path):
    with pytest.raises(UserError, match="is not a causal model"):
        train(TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "bert"), comparisons()))
    with pytest.raises(UserError, match=r"max_tokens=\d+ is more than tiny reads at once"):
        train(TrainingRun(tmp_path / "run", base, comparisons(), base_name="tiny"), max_tokens=10**6)


def test_numbers_that_run_away_end_the_run(base, tmp_path):
    with pytest.raises(UserError, match="became"):
        train(TrainingRun(tmp_path / "run", base, comparisons()), learning_rate=1e30, adapter="none")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda best: ["a long red answer" if best else "no", "no"], "longer answer is the better one"),
        (lambda best: ["yes", "a long and green answer"], "shorter answer is the better one"),
        (None, "first response is the better one"),
    ],
)
def test_preferences_that_all_go_one_way_are_told(base, tmp_path, change, words):
    rows = []
    for number, row in enumerate(compared(12, 1)):
        texts = change(1) if change else [f"red{'!' * (number % 3)}", f"one{'!' * ((number + 1) % 3)}"]
        rows.append(replace(row, content={**row.content, "responses": texts}, target={"0": 0.9, "1": 0.1}))
    shown = recipes.get("dpo").preview(TrainingRun(tmp_path, base, Answers(rows, rows, answers=("0", "1"))), DPOOptions())
    assert words in " ".join(shown["notes"])


def test_saved_merged_and_loaded_it_says_the_same(trained):
    rows = {row.id: build_conversation(row.content, preferred_answer(row)) for row in trained.run.snapshot.validation}
    found = check_parity_stages(trained.model.path, rows, base=trained.run.base)
    assert [stage.stage for stage in found] == ["unmerged", "merged", "reloaded", "alone"]
    assert all(stage.passed for stage in found), found


def test_a_remedy_against_forgetting_keeps_what_the_base_knew(base, tmp_path):
    about = RetentionData({}, TEXTS, {}, "made texts")
    manifest = train(TrainingRun(tmp_path / "run", base, comparisons(24), general=about), epochs=1, retention="alpha").manifest
    assert manifest["retention"]["asked"] == "alpha"
    assert 0 < manifest["retention"]["alpha"] <= 1


@pytest.mark.slow
def test_the_rate_and_the_number_format_are_measured(base, tmp_path):
    manifest = train(TrainingRun(tmp_path / "run", base, comparisons(24)), learning_rate=None, dtype="auto", epochs=1).manifest
    assert [trial["learning_rate"] for trial in manifest["sweep"]] == [5e-5, 2e-4, 5e-4]


def test_memory_for_half_a_batch_gives_the_whole_batch_s_gradient(base, tmp_path):
    task, objective = prepare_dpo(TrainingRun(tmp_path, base, comparisons(8)), DPOOptions())
    model = objective.create_model()
    rows = list(range(8))

    def gradient(parts):
        model.zero_grad()
        sum(objective.loss(model, objective.batch(task.train, part)) for part in parts).backward()
        return {name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None}

    whole, halves = gradient([rows]), gradient([rows[:4], rows[4:]])
    for name, weights in whole.items():
        assert torch.allclose(weights, halves[name], atol=1e-6), name
