"""Distillation: the divergences, who can be followed, the student's own answers, and a run that was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from preceptor.errors import UserError
from preceptor.formats.durable_files import load_sealed_json
from preceptor.models import load_causal
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.chat_template import build_conversation, render_conversation
from preceptor.models.completion_scoring import LMHead, completion_loss, find_supervised_positions
from preceptor.training import TrainingRun, recipes
from preceptor.training.distillation import (
    _TEACHER_ANSWERS_FILE,
    DistillationObjective,
    DistillationOptions,
    _build_distillation_task,
    _unpad_batch,
    describe_vocabulary_mismatch,
)
from preceptor.training.losses import generalized_jsd, kl_student_teacher, kl_teacher_student
from preceptor.training.objective import TrainingTask
from preceptor.training.recipe import TrainingProgress, UnlabelledItem
from preceptor.training.sft import prepare_sft, to_sft_options
from tiny_models import Answers, made_rows, save_decoder, save_encoder

FAST = {"learning_rate": 1e-2, "epochs": 1, "dtype": "float32", "adapter": "none", "max_tokens": 64}
STUDENT = torch.tensor([[1.0, -0.5, 2.0, 0.25], [0.0, 3.0, -1.0, 0.5]]).log_softmax(-1)
TEACHER = torch.tensor([[0.5, 0.5, 1.5, -2.0], [2.0, 1.0, 0.0, -1.0]]).log_softmax(-1)
# What TRL 1.16's GKDTrainer.generalized_jsd_loss says of the two, by beta.
TRL = {
    0.0: (0.1985905, 1.5528549),
    0.1: (0.0172035, 0.1215393),
    0.5: (0.0446527, 0.2708775),
    0.9: (0.0168659, 0.0931626),
    1.0: (0.195418, 1.0436649),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A student who might say anything, and a teacher of the same vocabulary who is surer of itself."""
    folder = tmp_path_factory.mktemp("bases")
    student, teacher = save_decoder("llama", folder / "student"), save_decoder("llama", folder / "teacher")
    model = load_causal(student)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(0.1)
    model.save_pretrained(student)
    return student, teacher


@pytest.fixture
def snapshot() -> Answers:
    return Answers([replace(row, group=row.id) for row in made_rows(16, 1)], [replace(row, group=row.id) for row in made_rows(6, 2)])


def distill(run: TrainingRun, teacher: Path, **options: Any) -> Any:
    recipe = recipes.get("distill")
    return recipe(run, recipe.Options.parse({**FAST, "teacher": str(teacher), **options}, of="distill"))


def task_of(folder: Path, bases: tuple[Path, Path], snapshot: Answers, **options: Any) -> TrainingTask:
    asked = DistillationOptions.parse({**FAST, "teacher": str(bases[1]), **options}, of="distill")
    prepared = prepare_sft(TrainingRun(folder, bases[0], snapshot), to_sft_options(asked))
    return _build_distillation_task(prepared.task, prepared.tokenizer, asked)


@pytest.mark.parametrize("beta", list(TRL))
def test_the_divergence_is_the_one_that_was_published(beta):
    assert generalized_jsd(TEACHER, STUDENT, beta).tolist() == pytest.approx(TRL[beta], abs=2e-7)


def test_both_ends_are_limits_of_what_lies_between():
    teacher, student = TEACHER.double(), STUDENT.double()
    small = 1e-6
    assert torch.allclose(generalized_jsd(teacher, student, small) / small, kl_teacher_student(teacher, student), atol=1e-4)
    assert torch.allclose(generalized_jsd(teacher, student, 1 - small) / small, kl_student_teacher(teacher, student), atol=1e-4)
    assert not torch.allclose(kl_teacher_student(teacher, student), kl_student_teacher(teacher, student), atol=0.01), "two directions"
    skew = torch.log(torch.tensor([[0.98, 0.01, 0.01]])), torch.log(torch.tensor([[0.34, 0.33, 0.33]]))
    by_hand = 0.98 * np.log(0.98 / 0.34) + 2 * 0.01 * np.log(0.01 / 0.33)
    assert float(kl_teacher_student(*skew)) == pytest.approx(by_hand, abs=1e-5)


@given(st.lists(st.floats(-8, 8), min_size=3, max_size=3), st.lists(st.floats(-8, 8), min_size=3, max_size=3), st.floats(0, 1))
def test_a_divergence_is_never_negative_and_nothing_between_equals(teacher, student, beta):
    p, q = torch.tensor([teacher]).double().log_softmax(-1), torch.tensor([student]).double().log_softmax(-1)
    assert float(generalized_jsd(p, q, beta)) >= -1e-12
    assert float(generalized_jsd(p, p, beta)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_student_of_three_tokens_arrives_at_its_teacher(beta):
    teacher = torch.tensor([[0.5, -1.0, 1.0]]).log_softmax(-1)
    logits = torch.zeros(1, 3, requires_grad=True)
    steps = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        steps.zero_grad()
        generalized_jsd(teacher, logits.log_softmax(-1), beta).sum().backward()
        steps.step()
    assert torch.allclose(logits.log_softmax(-1), teacher, atol=0.02)


def test_on_peoples_answers_the_loss_is_the_plain_divergence(bases, snapshot, tmp_path):
    """Through chunks, padding, row weights and mixed labels, against the whole logits of both models one row at a time."""
    task = task_of(tmp_path, bases, snapshot, on_policy_fraction=0.0, beta=0.3, sft_weight=0.25)
    student, teacher = task.create_model(), prepare_causal(bases[1], task.objective.tokenizer).eval()
    batch = task.objective.batch(task.train, range(5))
    loss = task.objective.loss(student, batch)
    loss.backward()
    ours = {name: weights.grad.clone() for name, weights in student.named_parameters()}
    student.zero_grad()
    total = 0.25 * completion_loss(student, LMHead.from_model(student), batch)
    for ids, mask, weight in zip(*_unpad_batch(batch), batch["weights"], strict=True):
        at = [place - 1 for place, learn in enumerate(mask) if learn]
        width = len(task.objective.tokenizer)
        said, taught = (model(torch.tensor([ids])).logits[0, at, :width].log_softmax(-1) for model in (student, teacher))
        total = total + 0.75 * weight * generalized_jsd(taught.detach(), said, 0.3).sum()
    total.backward()
    assert float(loss.detach()) == pytest.approx(float(total.detach()), rel=1e-4)
    for name, weights in student.named_parameters():
        assert torch.allclose(ours[name], weights.grad, atol=2e-4), name


def test_on_its_own_answers_a_row_weighs_as_much(bases, snapshot, tmp_path):
    objective = (task := task_of(tmp_path, bases, snapshot, on_policy_fraction=1.0)).objective
    assert isinstance(objective, DistillationObjective)
    student, batch = task.create_model(), task.objective.batch(task.train, range(6))
    torch.manual_seed(4)
    own = objective.sample_on_policy(student, batch)
    people = [sum(mask) * float(weight) for mask, weight in zip(_unpad_batch(batch)[1], batch["weights"], strict=True)]
    assert [sum(m) * float(w) for m, w in zip(_unpad_batch(own)[1], own["weights"], strict=True)] == pytest.approx(people, rel=1e-5)
    assert student.training
    for ids, mask, (old, old_mask) in zip(*_unpad_batch(own), zip(*_unpad_batch(batch), strict=True), strict=True):
        prompt = mask.index(True)
        assert all(mask[prompt:])
        assert ids[:prompt] == old[: old_mask.index(True)], "the prompt is people's"
        assert ids[-1] in objective.end_tokens or len(ids) - prompt == objective.max_new_tokens
        assert len(ids) <= objective.max_tokens
    torch.manual_seed(4)
    assert torch.equal(objective.sample_on_policy(student, batch)["input_ids"], own["input_ids"])
    assert not torch.equal(objective.sample_on_policy(student, batch)["input_ids"], own["input_ids"])
    assert len(find_supervised_positions(own)[2]) == sum(sum(mask) for mask in _unpad_batch(own)[1])


def test_how_often_the_student_answers_itself(bases, snapshot, tmp_path, monkeypatch):
    objective = (task := task_of(tmp_path, bases, snapshot, on_policy_fraction=0.3)).objective
    student, batch, drawn = task.create_model(), task.objective.batch(task.train, [0]), []
    monkeypatch.setattr(DistillationObjective, "sample_on_policy", lambda self, model, inputs: drawn.append(1) or inputs)
    torch.manual_seed(0)
    for _ in range(80):
        objective.loss(student, batch)
    assert 0.2 < len(drawn) / 80 < 0.4


def test_a_student_comes_nearer_to_its_teacher(bases, snapshot, tmp_path):
    told = []
    model = distill(TrainingRun(tmp_path / "run", bases[0], snapshot, seed=1, progress=told.append), bases[1], epochs=4, beta=0.0)
    history = model.manifest["history"]
    assert history[-1]["validation_kl_to_teacher"] < 0.9 * history[0]["validation_kl_to_teacher"]
    assert told[-1].done == model.manifest["steps"]
    assert model.manifest["teacher"]["answered"] == 0
    assert "on answers that the student wrote itself" in " ".join(model.manifest["summary"])


def test_a_killed_run_draws_the_same_answers_and_ends_with_the_same_weights(bases, snapshot, tmp_path):
    def killed(progress: TrainingProgress) -> None:
        if progress.done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(TrainingRun(tmp_path / "killed", bases[0], snapshot, seed=3, progress=killed), bases[1])
    survived = distill(TrainingRun(tmp_path / "killed", bases[0], snapshot, seed=3), bases[1])
    whole = distill(TrainingRun(tmp_path / "whole", bases[0], snapshot, seed=3), bases[1])
    ours, theirs = (load_file(model.path / "model.safetensors") for model in (whole, survived))
    assert all(torch.allclose(weights, theirs[name], atol=1e-6) for name, weights in ours.items())


def test_the_teacher_answers_what_nobody_has_and_its_answers_are_learnt_too(bases, snapshot, tmp_path):
    """A run that was killed while it trained learns the answers that it kept."""
    sft = recipes.get("sft")
    taught = {**FAST, "epochs": 10}  # so that it ends its answers
    teacher = sft(TrainingRun(tmp_path / "teacher", bases[1], snapshot), sft.Options.parse(taught, of="sft")).path
    words = ("red", "green", "blue", "one")
    free = [UnlabelledItem(f"free-{at}", {"prompt": f"What comes after {word}?"}, f"free-{at}") for at, word in enumerate(words)]

    def killed(progress: TrainingProgress) -> None:
        if progress.stage == "training" and progress.done == 3:
            raise KeyboardInterrupt

    run = TrainingRun(tmp_path / "run", bases[0], snapshot, seed=2, unlabelled=lambda: iter(free))
    recipe = recipes.get("distill")
    asked = recipe.Options.parse({**FAST, "teacher": str(teacher), "unlabelled": 3}, of="distill")
    assert recipe.preview(run, asked)["unlabelled"] == 3
    whole = distill(replace(run, folder=tmp_path / "whole"), teacher, unlabelled=3, on_policy_fraction=0.0)
    said = load_sealed_json((tmp_path / "whole" / _TEACHER_ANSWERS_FILE).read_bytes())
    assert len(said) == 3 <= len(free)
    assert set(said) < {each.id for each in free}
    count = whole.manifest["teacher"]["answered"]
    assert 0 < count <= 3
    assert whole.manifest["rows"]["train"] == 16 + count
    assert f"{count} of the {16 + count} rows were answered by the teacher" in " ".join(whole.manifest["summary"])
    with pytest.raises(KeyboardInterrupt):
        distill(replace(run, progress=killed), teacher, unlabelled=3, on_policy_fraction=0.0)
    survived = distill(replace(run, unlabelled=lambda: iter(reversed(free))), teacher, unlabelled=3, on_policy_fraction=0.0)
    ours, theirs = (load_file(model.path / "model.safetensors") for model in (whole, survived))
    assert all(torch.allclose(weights, theirs[name], atol=1e-6) for name, weights in ours.items())
    with pytest.raises(UserError, match="unlabelled=3 has the teacher answer items that nobody has answered, and there are none"):
        distill(TrainingRun(tmp_path / "none", bases[0], snapshot), teacher, unlabelled=3)
    assert not (tmp_path / "none").exists()


def test_another_vocabulary_is_refused_with_the_reason(bases, snapshot, tmp_path):
    other = save_decoder("gpt2", tmp_path / "gpt2")
    with pytest.raises(UserError, match=r"the teacher .*gpt2 has another vocabulary than the base: \d+ tokens and \d+; \d+ have") as told:
        distill(TrainingRun(tmp_path / "run", bases[0], snapshot), other)
    assert "of the base's own family" in told.value.hint
    recipe = recipes.get("distill")
    with pytest.raises(UserError, match="another vocabulary"):
        recipe.preview(TrainingRun(tmp_path / "run", bases[0], snapshot), recipe.Options.parse({"teacher": str(other)}, of="distill"))
    with pytest.raises(UserError, match="not a causal model"):
        distill(TrainingRun(tmp_path / "run", bases[0], snapshot), save_encoder("bert", tmp_path / "bert"))
    assert not (tmp_path / "run").exists()


def test_vocabularies_of_one_size_may_differ():
    same = {"a": 0, "b": 1, "c": 2}
    assert describe_vocabulary_mismatch(same, dict(same)) == ""
    assert (
        describe_vocabulary_mismatch(same, {"a": 0, "c": 1, "b": 2})
        == "3 tokens and 3; 2 have another number or are in one only, such as 'b'"
    )
    assert "1 have another number" in describe_vocabulary_mismatch(same, {**same, "d": 3})


def test_rows_that_the_teacher_cannot_read_are_left_out(bases, snapshot, tmp_path):
    """A teacher with a short window: what it can't read isn't cut for it."""
    short = save_decoder("llama", tmp_path / "short")
    model = load_causal(short)
    tokenizer = prepare_tokenizer(short)
    lengths = [
        len(render_conversation(tokenizer, build_conversation(row.content, next(iter(row.target))), 99).tokens) for row in snapshot.train
    ]
    model.config.max_position_embeddings = limit = sorted(lengths)[len(lengths) // 2]
    model.save_pretrained(short)
    recipe = recipes.get("distill")
    run, asked = TrainingRun(tmp_path / "run", bases[0], snapshot), recipe.Options.parse({"teacher": str(short)}, of="distill")
    seen = recipe.preview(run, asked)
    assert seen["left_out"]["train"] == {"too long": sum(length > limit for length in lengths)}


def test_the_teacher_must_be_named():
    with pytest.raises(UserError, match="teacher"):
        recipes.get("distill").Options.parse({}, of="distill")
