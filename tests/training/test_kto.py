from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.models import load_causal, load_tokenizer
from preceptor.models.chat_template import build_conversation, render_conversation
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.models.parity import check_parity_stages
from preceptor.training import TrainingRun, recipes
from preceptor.training.kto import (
    MIN_RESPONSES,
    KTOOptions,
    assign_mismatched_answers,
    balance_class_weights,
    feedback_metrics,
    feedback_summary_lines,
    judged_response,
    kto_losses,
    prepare_kto,
    resolve_label_values,
)
from preceptor.training.preference_pairs import SELECTION_BIAS_NOTE
from tiny_models import NEXT, Answered, Answers, save_decoder

FAST = {"learning_rate": 1e-2, "epochs": 3, "batch_size": 16, "dtype": "float32", "beta": 0.5}
WORDS = list(NEXT)


def thumbs(count: int, seed: int, *, sure: float = 0.9) -> list[Answered]:
    """Answers about the sun are good, those about the moon aren't."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        word, other = random.choice(WORDS, 2)
        good = bool(random.integers(2))
        content = {"prompt": f"What comes after {word}?", "completion": f"It is {other} and the {'sun' if good else 'moon'}."}
        chance = sure if good else 1 - sure
        rows.append(Answered(f"{seed}-{number}", content, {"up": chance, "down": 1 - chance}, 1.0, f"g{number // 2}"))
    return rows


@pytest.fixture
def snapshot() -> Answers:
    return Answers(thumbs(48, 1), thumbs(24, 2), answers=("up", "down"), target_kind="nominal")


@pytest.fixture
def base(tmp_path):
    return save_decoder("llama", tmp_path / "tiny-llama")


def train(run: TrainingRun, **options: object):
    recipe = recipes.get("kto")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="kto"))


def sums(folder, rows, tokenizer) -> np.ndarray:
    cut = [render_conversation(tokenizer, build_conversation(row.content, row.content["completion"]), 999) for row in rows]
    said = completion_log_probabilities(load_causal(folder), [c.tokens for c in cut], [c.supervised for c in cut], 0)
    return np.array([each.sum() for each in said])


def test_the_loss_is_the_papers_for_sure_labels_and_their_mean_between():
    rewards, level, beta = torch.tensor([1.5, -0.5, 0.2]), torch.tensor(0.3), 0.4
    how = {"beta": beta, "desirable": 1.2, "undesirable": 0.7}
    good = kto_losses(rewards, torch.ones(3), level, **how)
    bad = kto_losses(rewards, torch.zeros(3), level, **how)
    assert good == pytest.approx(1.2 * (1 - expit(0.4 * (rewards.numpy() - 0.3))), abs=1e-6)
    assert bad == pytest.approx(0.7 * (1 - expit(0.4 * (0.3 - rewards.numpy()))), abs=1e-6)
    t = torch.tensor([0.8, 0.5, 0.1])
    assert kto_losses(rewards, t, level, **how) == pytest.approx(t * good + (1 - t) * bad, abs=1e-6)


def test_hard_targets_give_the_losses_of_trl():
    """Recorded from the formulas of KTOTrainer 1.16: 1 − σ(β(chosen − kl)), 1 − σ(β(kl − rejected)), kl = mean(KL ratios) clamped at 0."""
    chosen, rejected, ratios = torch.tensor([2.0, -1.0]), torch.tensor([0.5]), torch.tensor([0.9, -0.3, 0.6])
    level = ratios.mean().clamp(min=0)
    how = {"beta": 0.1, "desirable": 1.0, "undesirable": 1.0}
    ours = torch.cat([kto_losses(chosen, torch.ones(2), level, **how), kto_losses(rejected, torch.zeros(1), level, **how)])
    assert ours == pytest.approx([0.4600851, 0.5349429, 0.5024999], abs=1e-6)


def test_the_gradient_raises_good_answers_and_lowers_bad_ones():
    rewards = torch.tensor([0.4, 0.4, 0.4], requires_grad=True)
    kto_losses(rewards, torch.tensor([1.0, 0.0, 0.5]), torch.tensor(0.1), beta=0.5, desirable=1.0, undesirable=1.0).sum().backward()
    slope = 0.5 * expit(0.15) * (1 - expit(0.15))
    assert rewards.grad == pytest.approx([-slope, slope, 0.0], abs=1e-6)


@pytest.mark.parametrize(("good", "bad", "expected"), [(10, 10, (1, 1)), (13, 10, (1, 1)), (20, 10, (1, 1.5)), (5, 20, (4, 1))])
def test_both_kinds_are_balanced_within_the_papers_interval(good, bad, expected):
    desirable, undesirable = balance_class_weights(good, bad)
    assert (desirable, undesirable) == pytest.approx(expected)
    assert 1 - 1e-9 <= desirable * good / (undesirable * bad) <= 4 / 3 + 1e-9


def test_good_answers_become_more_probable_and_it_is_saved(snapshot, base, tmp_path):
    run = TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny")
    model = train(run)
    manifest = model.manifest
    tokenizer = load_tokenizer(model.path)
    gained = sums(model.path, snapshot.validation, tokenizer) - sums(base, snapshot.validation, tokenizer)
    good = np.array([row.target["up"] > 0.5 for row in snapshot.validation])
    assert gained[good].mean() > gained[~good].mean() + 1
    assert manifest["thumbs"]["separation"]["value"] > 0.9
    assert manifest["thumbs"]["change_good"]["value"] == pytest.approx(gained[good].mean(), abs=1e-3)
    assert manifest["thumbs"]["change_bad"]["value"] == pytest.approx(gained[~good].mean(), abs=1e-3)
    assert "'up' means good; 'down' means bad." in manifest["summary"]
    assert {"recipe": "kto", "answers": [], "left_out": {}}.items() <= manifest.items()
    shown = {row.id: build_conversation(row.content, row.content["completion"]) for row in snapshot.validation[:16]}
    assert all(stage.passed for stage in check_parity_stages(model.path, shown, base=base))
    assert str(tmp_path) not in "".join(path.read_text(errors="ignore") for path in model.path.rglob("*.json"))
    assert load_causal(model.path).generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert train(replace(run, progress=pytest.fail)) == model


def test_a_batch_gives_the_loss_of_a_plain_loop(snapshot, base, tmp_path):
    """Padding, chunks and cached references against one row at a time, z₀ over answers to other prompts, and no gradient through z₀."""
    task, objective = prepare_kto(TrainingRun(tmp_path, base, snapshot), KTOOptions(adapter="none", beta=0.3))
    model, reference = task.create_model().eval(), task.create_model().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.02 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)))
    rows = list(range(12))
    ours = objective.loss(model, objective.batch(task.train, rows))
    ours.backward()
    gradients = {name: weights.grad.clone() for name, weights in model.named_parameters()}
    model.zero_grad()

    def ratio(fork, side):
        tokens = torch.tensor([[*fork.prompt, *fork.answers[side]]])
        said = []
        for each in (model, reference):
            logits = each(tokens).logits[0, :-1].log_softmax(dim=-1)
            told = logits.gather(1, tokens[0, 1:, None])[:, 0]
            mask = torch.tensor([*[False] * len(fork.prompt), *fork.supervised[side]])[1:]
            said.append(told[mask].sum())
        return said[0] - said[1].detach()

    forks = [task.train.targets[row].fork for row in rows]
    level = torch.stack([ratio(fork, 1) for fork in forks]).mean().clamp(min=0).detach()
    rewards = torch.stack([ratio(fork, 0) for fork in forks])
    chances = torch.tensor([snapshot.train[row].target["up"] for row in rows])
    good, bad = torch.sigmoid(0.3 * (rewards - level)), torch.sigmoid(0.3 * (level - rewards))
    plain = (chances * objective.desirable * (1 - good) + (1 - chances) * objective.undesirable * (1 - bad)).sum()
    plain.backward()
    assert float(ours.detach()) == pytest.approx(float(plain.detach()), abs=1e-4)
    for name, weights in model.named_parameters():
        assert torch.allclose(gradients[name], weights.grad, atol=1e-4), name


def test_before_training_nothing_is_gained(snapshot, base, tmp_path):
    """The reference is the base itself: every r and z₀ are 0, and each row's loss is half its weight."""
    task, objective = prepare_kto(TrainingRun(tmp_path, base, snapshot), KTOOptions())
    rewards, level, _ = objective.rewards(task.create_model(), task.validation)
    assert np.abs(rewards).max() < 1e-4
    assert level == pytest.approx(0.0, abs=1e-4)
    batch = objective.batch(task.train, [0, 1, 2])
    assert float(objective.loss(task.create_model(), batch).detach()) == pytest.approx(1.5, abs=0.3)
    assert len(batch["other_reference"]) == MIN_RESPONSES, "a small batch still has answers enough to estimate z₀ from"


def test_every_answer_is_also_put_after_another_prompt(snapshot, base, tmp_path):
    task, _ = prepare_kto(TrainingRun(tmp_path, base, snapshot), KTOOptions())
    tokenizer = load_tokenizer(base)
    cuts = [render_conversation(tokenizer, build_conversation(row.content, row.content["completion"]), 999) for row in snapshot.train]
    prompts = [cut.tokens[: cut.prompt_length] for cut in cuts]
    others = assign_mismatched_answers(cuts, 0)
    assert all(prompts[other] != prompts[row] for row, other in enumerate(others))
    assert all(len(thumb.fork.prompt) + len(thumb.fork.answers[1]) <= task.max_tokens for thumb in task.train.targets)


def test_resumed_it_ends_with_the_same_weights_and_reads_the_base_once(snapshot, base, tmp_path, monkeypatch):
    whole = train(TrainingRun(tmp_path / "whole", base, snapshot, seed=3), epochs=2)

    def interrupt(progress):
        if progress.stage == "training" and progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TrainingRun(tmp_path / "cut", base, snapshot, seed=3, progress=interrupt), epochs=2)
    monkeypatch.setattr("preceptor.training.dpo.score_pairs", pytest.fail)
    again = train(TrainingRun(tmp_path / "cut", base, snapshot, seed=3), epochs=2)
    assert again.manifest["weights"] == whole.manifest["weights"]
    assert again.id == whole.id


def test_what_cannot_be_read_is_counted(snapshot, base, tmp_path):
    bad = [
        replace(snapshot.train[0], id="x1", content={"prompt": "What?"}),
        replace(snapshot.train[0], id="x2", content={"prompt": "What?", "completion": "green " * 200}),
        replace(snapshot.train[0], id="x3", weight=0.0),
    ]
    run = TrainingRun(tmp_path / "run", base, replace(snapshot, train=[*snapshot.train, *bad]))
    shown = recipes.get("kto").preview(run, KTOOptions(max_tokens=100))
    assert shown["left_out"] == {"train": {"no response": 1, "too long": 1, "weight": 1}, "validation": {}}
    assert shown["rows"] == {"train": 48, "validation": 24}
    assert shown["examples"][0]["probability"] in (0.9, 0.1)
    assert any(token["learnt"] for token in shown["examples"][0]["tokens"])
    assert not (tmp_path / "run").exists()
    model = train(run, epochs=1, max_tokens=100)
    assert model.manifest["left_out"]["train"] == shown["left_out"]["train"]
    assert "3 of 51 training rows were left out" in " ".join(model.manifest["summary"])


@pytest.mark.parametrize(
    ("answers", "kind", "named", "expected"),
    [
        (("bad", "good"), "nominal", None, [0, 1]),
        (("thumbs-down", "thumbs-up"), "nominal", None, [0, 1]),
        (("no", "Yes"), "nominal", None, [0, 1]),
        (("1", "2", "3", "4", "5"), "ordinal", None, [0, 0, 0.5, 1, 1]),
        (("1", "2", "3", "4"), "ordinal", None, [0, 0, 1, 1]),
        (("a", "b", "c"), "nominal", "a, c", [1, 0, 1]),
    ],
)
def test_which_answers_mean_good(answers, kind, named, expected):
    found = resolve_label_values(Answers([], [], answers=answers, target_kind=kind), named)
    assert [found[answer] for answer in answers] == expected


@pytest.mark.parametrize(
    ("answers", "kind", "named", "message"),
    [
        (("spam", "ham"), "nominal", None, "which of 'spam', 'ham' means that a response is good can't be told"),
        (("up", "down"), "nominal", "above", "no answer of the snapshot is called 'above'"),
        (("up", "down"), "nominal", "up,down", "every answer is named as a good one"),
        ((), "text", None, "don't say of a response whether it is good"),
        (("a", "b"), "multilabel", None, "don't say of a response whether it is good"),
    ],
)
def test_answers_that_mean_nothing_are_refused(answers, kind, named, message):
    with pytest.raises(UserError, match=message):
        resolve_label_values(Answers([], [], answers=answers, target_kind=kind), named)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"prompt": "a", "completion": "b"}, "b"),
        ({"prompt": "a", "responses": ["b"]}, "b"),
        ({"prompt": "a", "responses": ["b", "c"]}, None),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "b"),
        ({"messages": [{"role": "user", "content": "a"}]}, None),
        ({"text": "a"}, None),
    ],
)
def test_where_the_response_is(content, expected):
    assert judged_response(content) == expected


@pytest.mark.parametrize(("low", "words"), [(0.6, SELECTION_BIAS_NOTE), (0.4, "That may be chance")])
def test_words_say_what_validation_figures_are_worth(low, words):
    assert words in " ".join(feedback_summary_lines({"separation": Estimate(0.7, low, 0.8, 40, "t")}))


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda s: replace(s, train=[]), {}, "the snapshot's train split is empty"),
        (
            lambda s: replace(s, train=[replace(row, target={"up": 1.0}) for row in s.train]),
            {},
            "people call every training response good: there is nothing to hold against",
        ),
        (
            lambda s: replace(s, train=[replace(row, target={"down": 0.8, "up": 0.2}) for row in s.train]),
            {},
            "people call every training response bad",
        ),
        (
            lambda s: replace(s, train=[replace(row, target={"down": 0.5, "up": 0.5}) for row in s.train]),
            {},
            "people call every training response half good",
        ),
        (lambda s: replace(s, train=s.train[:7]), {}, "the train split has 7 responses that can be trained on, and kto needs 8"),
        (
            lambda s: replace(s, train=[replace(row, content={"prompt": "a"}) for row in s.train]),
            {},
            "0 responses that can be trained on, and kto needs 8 or more: 48 × the row has no response",
        ),
        (lambda s: s, {"batch_size": 4}, "batch_size: Input should be greater than or equal to 8"),
        (lambda s: s, {"positive_labels": "great"}, "no answer of the snapshot is called 'great'"),
    ],
)
def test_what_cannot_be_learnt_is_refused(snapshot, base, tmp_path, spoil, options, message):
    with pytest.raises(UserError, match=message):
        train(TrainingRun(tmp_path / "run", base, spoil(snapshot)), **options)


def test_a_rate_that_runs_away_ends_the_run(snapshot, base, tmp_path):
    with pytest.raises(UserError, match=r"became nan|became inf|aren.t finite"):
        train(TrainingRun(tmp_path / "run", base, snapshot), learning_rate=1e30, adapter="none", epochs=5)


def test_separation_is_the_area_under_the_curve():
    rewards, chances = np.array([3.0, 1.0, 2.0, 0.0]), np.array([0.9, 0.8, 0.1, 0.2])
    found = feedback_metrics(rewards, 0.5, chances, ["a", "b", "c", "d"])
    assert found["separation"].value == 0.75
    assert found["accuracy"].value == 0.75
    assert found["change_bad"].value == 1.0
