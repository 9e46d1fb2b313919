from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from preceptor.errors import UserError
from preceptor.models.classifier import RewardModel
from preceptor.models.parity import check_parity_stages
from preceptor.training import TrainingRun, recipes
from preceptor.training.preference_pairs import pair_answers
from preceptor.training.reward_model import (
    FIRST_COLUMN,
    NO_TIES,
    RewardModelOptions,
    centering_penalty,
    davidson_loss,
    estimate_tie_log_odds,
    fit_davidson_scale,
    prepare_reward_base,
)
from tiny_models import NEXT, Answered, Answers, save_decoder, save_encoder

FAST = {"learning_rate": 3e-3, "epochs": 4, "batch_size": 16, "dtype": "float32", "min_steps": 1}
WORDS = list(NEXT)


def compared(count: int, seed: int, *, sure: float = 0.9, ties: float = 0.0) -> list[Answered]:
    """Two answers to a question, of which the one that mentions the sun is better."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        word, other = random.choice(WORDS, 2)
        better = f"It is {other} and the sun{', ' * int(random.integers(0, 3))}."
        worse = f"It is {other} and the moon{', ' * int(random.integers(0, 3))}."
        place = int(random.integers(2))
        responses = [better, worse] if place == 0 else [worse, better]
        tie = ties if random.random() < 0.5 else 0.0
        target = {str(place): sure * (1 - tie), str(1 - place): (1 - sure) * (1 - tie), **({"tie": tie} if tie else {})}
        content = {"prompt": f"What comes after {word}?", "responses": responses}
        rows.append(Answered(f"{seed}-{number}", content, target, 1.0, f"g{number // 2}"))
    return rows


def snapshot(**how: float) -> Answers:
    return Answers(compared(64, 1, **how), compared(24, 2, **how), answers=("0", "1", "tie"), target_kind="nominal")


def train(run: TrainingRun, **options: object):
    recipe = recipes.get("reward")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="reward"))


def turns(row: Answered) -> list[dict[str, str]]:
    return [{"role": "user", "content": row.content["prompt"]}]


def margin(model: RewardModel, row: Answered) -> float:
    """Log-odds of the response that people take."""
    best = int(max(row.target, key=row.target.get))
    first, second = model.score([turns(row)] * 2, row.content["responses"])
    return (first - second) * (1 if best == 0 else -1)


def test_without_ties_the_loss_is_bradley_terrys_and_its_gradient_is_sigma_less_p():
    margins = torch.tensor([-2.0, 0.3, 1.7], requires_grad=True)
    p = torch.tensor([0.9, 0.5, 1.0])
    targets = torch.stack([p, torch.zeros(3), 1 - p], dim=1)
    losses = davidson_loss(margins, targets, NO_TIES)
    plain = -p * torch.nn.functional.logsigmoid(margins) - (1 - p) * torch.nn.functional.logsigmoid(-margins)
    assert losses.detach() == pytest.approx(plain.detach(), abs=1e-6)
    losses.sum().backward()
    assert margins.grad == pytest.approx(torch.sigmoid(margins.detach()) - p, abs=1e-6)


def test_hard_targets_give_the_loss_of_trl():
    """RewardTrainer 1.16: -logsigmoid(chosen - rejected).mean() + coefficient * ((chosen + rejected) ** 2).mean()."""
    chosen, rejected = torch.tensor([1.2, -0.4, 0.05]), torch.tensor([0.3, 0.9, -0.85])
    hard = torch.tensor([[1.0, 0.0, 0.0]] * 3)
    ours = (davidson_loss(chosen - rejected, hard, NO_TIES) + centering_penalty(chosen, rejected)).mean()
    recorded = -np.log(expit([0.9, -1.3, 0.9])).mean() + 0.01 * np.mean(np.square([1.5, 0.5, -0.8]))
    assert float(ours) == pytest.approx(recorded, abs=1e-6)


def test_ties_are_davidsons_third_answer():
    nu, delta = 0.8, 1.1
    strong, weak = math.exp(delta / 2), math.exp(-delta / 2)
    tie = nu / (strong + weak + nu)  # ν√(p_i p_j) / (p_i + p_j + ν√(p_i p_j)) with p_i/p_j = e^δ
    loss = davidson_loss(torch.tensor([delta]), torch.tensor([[0.0, 1.0, 0.0]]), math.log(nu))
    assert float(loss) == pytest.approx(-math.log(tie), abs=1e-6)


def test_sides_that_are_swapped_have_the_same_loss():
    targets = torch.tensor([[0.5, 0.3, 0.2]])
    one = davidson_loss(torch.tensor([0.7]), targets, -0.5)
    assert float(one) == pytest.approx(float(davidson_loss(torch.tensor([-0.7]), targets.flip(1), -0.5)), abs=1e-7)


def test_two_free_rewards_end_at_the_posteriors_log_odds():
    margin_ = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([margin_], max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = davidson_loss(margin_, torch.tensor([[0.8, 0.0, 0.2]]), NO_TIES).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(margin_.detach()) == pytest.approx(logit(0.8), abs=1e-3)


def test_the_scale_is_found_again():
    """Margins a third as large as the log-odds by which outcomes were drawn, with ties."""
    random = np.random.default_rng(0)
    true, tie = random.normal(0, 2, 4000), math.log(0.7)
    chances = torch.softmax(torch.tensor(np.stack([true / 2, np.full_like(true, tie), -true / 2], axis=1)), dim=1).numpy()
    drawn = np.array([random.multinomial(1, row / row.sum()) for row in chances], dtype=float)
    scale, level = fit_davidson_scale(true / 3, drawn, np.ones(4000), estimate_tie_log_odds(drawn, np.ones(4000)))
    assert scale == pytest.approx(3.0, rel=0.08)
    assert level == pytest.approx(tie, abs=0.1)


def test_few_pairs_that_all_come_out_right_do_not_make_it_sure_of_everything():
    one_sided = np.tile([1.0, 0.0, 0.0], (5, 1))
    assert 1 < fit_davidson_scale(np.full(5, 0.5), one_sided, np.ones(5), NO_TIES)[0] < 6


@pytest.mark.parametrize(("save", "name"), [(save_encoder, "bert"), (save_decoder, "llama")])
def test_learns_is_calibrated_saved_and_reloaded(tmp_path, save, name):
    told = []
    rows, base = snapshot(), save(name, tmp_path / "base")
    run = TrainingRun(tmp_path / "run", base, rows, seed=1, base_name="tiny", progress=told.append)
    model = train(run, epochs=5)
    manifest = model.manifest
    figures = manifest["preference"]
    assert figures["accuracy"]["value"] > 0.9
    assert figures["accuracy"]["low"] < figures["accuracy"]["value"]
    assert {"log_loss", "brier", "calibration_error", "longer_wins", "length_correlation"} <= set(figures)
    reward = RewardModel(model.path)
    margins = np.array([margin(reward, row) for row in rows.validation])
    assert np.mean(margins > 0) == pytest.approx(figures["accuracy"]["value"])
    loss = np.mean(-0.9 * np.log(expit(margins)) - 0.1 * np.log(expit(-margins)))
    assert loss == pytest.approx(figures["log_loss"]["value"], abs=1e-4)
    assert np.median(margins) == pytest.approx(logit(0.9), abs=1.0)  # log-odds
    words = " ".join(manifest["summary"])
    assert "their differences are log-odds" in words
    assert "Validation rows chose these weights, which flatters what they say" in words
    assert "going by length alone" in words
    assert {"recipe": "reward", "base": "tiny", "left_out": {}}.items() <= manifest.items()
    assert told[-1].total >= told[-1].done > 0
    shown = {row.id: [[*turns(row), {"role": "assistant", "content": each}] for each in pair_answers(row)] for row in rows.validation[:16]}
    assert all(stage.passed for stage in check_parity_stages(model.path, shown))
    assert train(replace(run, progress=pytest.fail), epochs=5) == model
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in model.path.rglob("*.json"))
    assert json.loads((model.path / "parity.json").read_text())["kind"] == "reward"


def test_an_adapter_is_the_same_put_on_anew(tmp_path):
    rows, base = snapshot(), save_decoder("llama", tmp_path / "base")
    model = train(TrainingRun(tmp_path / "run", base, rows, seed=1), adapter="lora", epochs=2)
    shown = {row.id: [[*turns(row), {"role": "assistant", "content": each}] for each in pair_answers(row)] for row in rows.validation[:16]}
    found = check_parity_stages(model.path, shown, base=base)
    assert [stage.stage for stage in found] == ["unmerged", "merged", "reloaded", "alone"]
    assert all(stage.passed for stage in found), found


def test_ties_are_learnt_and_told(tmp_path):
    rows = snapshot(ties=0.6)
    run = TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "base"), rows, seed=1)
    objective = prepare_reward_base(run, RewardModelOptions()).task.objective
    share = np.mean([row.target.get("tie", 0.0) for row in rows.train])
    assert math.exp(objective.tie_log_odds) / (2 + math.exp(objective.tie_log_odds)) == pytest.approx(share)
    assert "tie_log_odds" in train(run, epochs=1).manifest["calibration"]


def test_the_same_pair_whichever_side_came_first(tmp_path):
    """Orders of responses make no difference: the better one is the row's first side."""
    base, rows = save_encoder("bert", tmp_path / "base"), snapshot()
    swapped = [
        replace(
            row, content={**row.content, "responses": row.content["responses"][::-1]}, target={"0": row.target["1"], "1": row.target["0"]}
        )
        for row in rows.train
    ]
    one, other = (
        prepare_reward_base(TrainingRun(tmp_path / name, base, replace(rows, train=each)), RewardModelOptions()).task.train
        for name, each in (("a", rows.train), ("b", swapped))
    )
    assert [list(tokens) for tokens in one.tokens] == [list(tokens) for tokens in other.tokens]
    assert (one.targets == other.targets).all()
    assert one.targets[:, FIRST_COLUMN] == pytest.approx(0.9)


def test_resumed_it_ends_with_the_same_weights(tmp_path):
    """Interrupted at a step after the first checkpoint, and started again."""
    base, rows = save_encoder("bert", tmp_path / "base"), snapshot()
    whole = train(TrainingRun(tmp_path / "whole", base, rows, seed=3), epochs=2, patience=9)

    def interrupt(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TrainingRun(tmp_path / "cut", base, rows, seed=3, progress=interrupt), epochs=2, patience=9)
    again = train(TrainingRun(tmp_path / "cut", base, rows, seed=3), epochs=2, patience=9)
    assert again.manifest["weights"] == whole.manifest["weights"]
    assert again.id == whole.id


def test_what_would_be_read_is_shown_before(tmp_path):
    rows = snapshot()
    bad = [
        replace(rows.train[0], id="x1", content={"prompt": "What?", "responses": ["red", "red"]}),
        replace(rows.train[0], id="x2", content={"prompt": "What?", "responses": ["red", "green " * 300]}),
        replace(rows.train[0], id="x3", content={"prompt": "What?", "completion": "red"}),
    ]
    run = TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "base"), replace(rows, train=[*rows.train, *bad]))
    shown = recipes.get("reward").preview(run, RewardModelOptions())
    assert shown["pairs"] == {"train": 64, "validation": 24}
    assert shown["left_out"] == {"train": {"the same twice": 1, "too long": 1, "no pair": 1}, "validation": {}}
    assert {row["id"] for row in shown["left_out_rows"]} == {"x1", "x2", "x3"}
    assert shown["examples"][0]["target"]["first is better"] == pytest.approx(0.9)
    assert not (tmp_path / "run").exists()
    model = train(run, epochs=1)
    assert model.manifest["left_out"]["train"] == shown["left_out"]["train"]
    assert "3 training rows were left out" in " ".join(model.manifest["summary"])


def test_corrections_are_pairs_too(tmp_path):
    rows = [
        Answered(f"w{number}", {"prompt": "Which?", "responses": ["It is the moon."]}, {f"It is the sun, {word}.": 1.0}, 1.0, str(number))
        for number, word in enumerate(WORDS * 4)
    ]
    model = train(TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "base"), Answers(rows, rows[:8])), epochs=2)
    assert model.manifest["preference"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: replace(s, train=[]), "the snapshot's train split is empty"),
        (lambda s: replace(s, validation=[]), "the snapshot's validation split is empty"),
        (
            lambda s: replace(s, train=[replace(row, target={"tie": 1.0}) for row in s.train]),
            "people call both answers of each training pair equally good",
        ),
        (
            lambda s: replace(s, train=[replace(row, content={"prompt": "What?", "completion": "red"}) for row in s.train]),
            "no row of the train split can be compared: 64 × the row holds no two answers",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused(tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        train(TrainingRun(tmp_path / "run", save_encoder("bert", tmp_path / "base"), spoil(snapshot())))
