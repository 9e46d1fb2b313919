from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import UserError
from preceptor.models.chat_template import build_conversation
from preceptor.models.parity import check_parity_stages
from preceptor.training import TrainingRun, recipes
from preceptor.training.meta_tasks import (
    InnerLoop,
    MetaTask,
    _inner_batches,
    adapt_to_task,
    copy_weights,
    set_weights,
    task_choices,
    trainable_weights,
)
from preceptor.training.reptile import OuterSchedule, compare_with_base, interpolate_weights, run_outer_round
from preceptor.types import RetentionData
from tiny_models import NEXT, Answered, Answers, save_decoder, save_encoder

FAST = {"rounds": 3, "tasks": 3, "inner_steps": 2, "learning_rate": 1e-2, "rank": 4, "shots": 4, "dtype": "float32"}
WORDS = list(NEXT)


def rows_of(first: int, count: int, rows: int = 8) -> list[Answered]:
    """Clients, each of whom counts on by a number of their own."""
    return [
        Answered(
            f"{task}-{row}", {"prompt": f"After {WORDS[row % 6]}?", "client": f"c{task}"}, {WORDS[(row + task) % 6]: 1.0}, 1.0, f"g{task}"
        )
        for task in range(first, first + count)
        for row in range(rows)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder("llama", tmp_path_factory.mktemp("reptile") / "tiny-llama")


@pytest.fixture
def snapshot() -> Answers:
    return Answers(rows_of(0, 6), rows_of(10, 3))


def train(run: TrainingRun, **options: Any) -> Any:
    recipe = recipes.get("reptile")
    return recipe(run, recipe.Options.parse({**FAST, **options}, of="reptile"))


# --- the equations


class Bowl(torch.nn.Module):
    """Tasks are points; a task's loss is half the squared distance from it."""

    def __init__(self, start: list[float]) -> None:
        super().__init__()
        self.at = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.device = torch.device("cpu")


def test_an_outer_step_is_the_mean_of_the_tasks_differences():
    """On half the squared distance from c, k steps of gradient descent at rate a leave φ̃ − c = (1 − a)^k (φ − c)."""
    start, points, rate, steps, epsilon = torch.tensor([3.0, -1.0]), torch.tensor([[1.0, 2.0], [5.0, 0.0], [0.0, 0.0]]), 0.2, 4, 0.7
    ends = []
    for point in points:
        model = Bowl(start.tolist())
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            (0.5 * (model.at - point).square().sum()).backward()
            optimizer.step()
        ends.append(copy_weights(trainable_weights(model)))
    shrunk = (1 - rate) ** steps
    expected = start + epsilon * (1 - shrunk) * (points.mean(dim=0) - start)
    assert torch.allclose(interpolate_weights({"at": start.double()}, ends, epsilon)["at"], expected.double(), atol=1e-6)


def test_epsilon_falls_from_one_and_a_round_draws_no_task_twice():
    rounds = OuterSchedule(rounds=10, tasks=4, seed=3)
    assert [round(rounds.epsilon(number), 1) for number in (0, 5, 9)] == [1.0, 0.5, 0.1]
    drawn = [rounds.sample_tasks(number, 6) for number in range(200)]
    assert all(len(set(each)) == 4 for each in drawn)
    assert drawn == [rounds.sample_tasks(number, 6) for number in range(200)]
    assert np.bincount(np.concatenate(drawn), minlength=6).min() > 100, "each as likely"


def test_batches_go_through_all_rows_before_they_repeat_one():
    rows = [(0, 1), (2,), (3,), (4,), (5,)]  # the first has two answers
    found = list(_inner_batches(rows, InnerLoop(steps=5, rows=2, rate=0.1), np.random.default_rng(0)))
    flat = [number for batch in found for number in batch]
    assert sorted(flat) == sorted([*range(6)] * 2)
    assert all(len(batch) in (2, 3) for batch in found)
    assert [sorted(batch) for batch in _inner_batches(rows[:1], InnerLoop(2, 5, 0.1), np.random.default_rng(0))] == [[0, 1], [0, 1]]


# --- the published toy: sine waves of random amplitude and phase (Nichol et al. 2018, section 5.1; Finn et al. 2017)


class Waves(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)]
        self.net, self.device = torch.nn.Sequential(*layers), torch.device("cpu")


@dataclass
class Points:
    """Points of many waves, as examples: the task's objective reads x and y by number."""

    x: Any
    y: Any
    loss_weights: Any
    ids: list[str]

    @classmethod
    def drawn(cls, waves: int, points: int, seed: int) -> tuple[Points, list[MetaTask]]:
        draws = np.random.default_rng(seed)
        amplitude, phase = draws.uniform(0.5, 5, (waves, 1)), draws.uniform(0, 2 * np.pi, (waves, 1))
        x = draws.uniform(-5, 5, (waves, points))
        y = amplitude * np.sin(x + phase)
        numbers = np.arange(waves * points).reshape(waves, points)
        tasks = [MetaTask(str(wave), tuple((int(each),) for each in numbers[wave]), (), (), ()) for wave in range(waves)]
        return cls(x.ravel(), y.ravel(), np.ones(x.size), [str(each) for each in range(x.size)]), tasks


class Fitting:
    """Squared error of a wave's points."""

    def batch(self, examples: Points, rows: list[int]) -> dict[str, Any]:
        return {name: torch.as_tensor(getattr(examples, name)[rows], dtype=torch.float32)[:, None] for name in ("x", "y")}

    def loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        return (model.net(inputs["x"]) - inputs["y"]).square().sum()


def adapted_loss(model: Waves, points: Points, tasks: list[MetaTask], pace: InnerLoop) -> float:
    """The mean squared error of new waves' other points after adapting to ten of each."""
    start, losses = copy_weights(trainable_weights(model)), []
    for number, task in enumerate(tasks):
        set_weights(model, start)
        adapt_to_task(model, Fitting(), points, task.rows[:10], pace, np.random.default_rng([5, number]))
        inputs = Fitting().batch(points, [row for (row,) in task.rows[10:]])
        losses.append(float(Fitting().loss(model, inputs).detach()) / len(task.rows[10:]))
    set_weights(model, start)
    return float(np.mean(losses))


def test_sine_waves_are_learnt_from_ten_points_where_joint_training_only_learns_their_mean():
    points, tasks = Points.drawn(60, 20, seed=1)
    new, others = Points.drawn(8, 40, seed=2)
    pace, slow = InnerLoop(steps=8, rows=10, rate=0.01), InnerLoop(steps=20, rows=10, rate=0.01)
    task = SimpleNamespace(objective=Fitting(), train=points)
    model, joint, fresh = Waves(), Waves(), Waves()
    rounds = OuterSchedule(rounds=40, tasks=4, seed=0)
    for number in range(rounds.rounds):
        run_outer_round(task, model, tasks, pace, rounds, number)
    every = [row for small in tasks for row in small.rows]
    adapt_to_task(joint, Fitting(), points, every, InnerLoop(steps=320, rows=40, rate=0.01), np.random.default_rng(0))
    found = {name: adapted_loss(each, new, others, slow) for name, each in (("reptile", model), ("joint", joint), ("fresh", fresh))}
    assert found["reptile"] < 0.7 * found["joint"], found
    assert found["reptile"] < 0.7 * found["fresh"], found


# --- the recipe


def test_learns_and_tells_each_held_out_task_before_and_after(snapshot, base, tmp_path):
    told = []
    model = train(TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny", progress=told.append))
    manifest = model.manifest
    about = manifest["tasks"]
    assert (about["train"], about["validation"], about["shots"], about["left_out"]) == (6, 3, 4, {})
    assert [each["task"] for each in about["held_out"]] == ["g10", "g11", "g12"]
    assert about["means"]["adapted"]["loss"] < about["means"]["base_adapted"]["loss"] < about["means"]["base"]["loss"]
    better = about["better_by"]["loss"]
    assert better["low"] < better["value"] == pytest.approx(about["means"]["base_adapted"]["loss"] - about["means"]["adapted"]["loss"])
    assert better["n"] == 3, "the interval is over tasks"
    history = manifest["history"]
    assert [entry["step"] for entry in history] == [0, 1, 2, 3]
    assert manifest["best_step"] == manifest["steps"] == 3
    assert manifest["texts_per_second"] > 0
    assert history[-1]["validation_loss"] == pytest.approx(about["means"]["adapted"]["loss"])
    assert (told[-1].stage, told[-1].done, told[-1].total) == ("meta-learning", 3, 3)
    assert "On 3 held-out tasks, 4 examples and 2 steps take the accuracy from" in " ".join(manifest["summary"])
    assert "fewer than 20 tasks" in " ".join(manifest["summary"])
    turns = {row.id: build_conversation(row.content, next(iter(row.target))) for row in snapshot.validation}
    probed = json.loads((model.path / "parity.json").read_text())["rows"]
    found = check_parity_stages(model.path, {id_: turns[id_] for id_ in probed}, base=base)
    assert [(stage.stage, stage.passed) for stage in found] == [("unmerged", True), ("merged", True), ("reloaded", True), ("alone", True)]
    assert train(TrainingRun(tmp_path / "run", base, snapshot, seed=1, base_name="tiny", progress=pytest.fail)) == model


def test_held_out_tasks_leave_no_trace_in_the_weights(snapshot, base, tmp_path):
    """What validation tasks say changes what is told of them, and nothing else."""
    other = replace(snapshot, validation=[replace(row, target={"green": 1.0}) for row in rows_of(20, 4)])
    here = train(TrainingRun(tmp_path / "here", base, snapshot), rounds=1)
    there = train(TrainingRun(tmp_path / "there", base, other), rounds=1)
    assert here.manifest["weights"] == there.manifest["weights"]
    assert here.manifest["tasks"]["held_out"] != there.manifest["tasks"]["held_out"]


def test_what_is_measured_on_is_never_adapted_with(snapshot, base, tmp_path, monkeypatch):
    from preceptor.training import meta_tasks

    adapted: list[set[str]] = []

    def spy(model: Any, objective: Any, examples: Any, rows: Any, pace: InnerLoop, random: Any) -> float:
        adapted.append({examples.ids[number] for row in rows for number in row})
        return adapt_to_task(model, objective, examples, rows, pace, random)

    monkeypatch.setattr(meta_tasks, "adapt_to_task", spy)
    monkeypatch.setattr(
        meta_tasks.HeldOutTasks, "score_task", lambda self, model, small: seen.append(self) or meta_tasks.TaskScore(1.0, None)
    )
    seen: list[Any] = []
    train(TrainingRun(tmp_path / "run", base, snapshot), rounds=1)
    held = seen[0]
    for small, used in zip(held.tasks, adapted, strict=False):
        assert len(used) == 4
        assert used.isdisjoint(small.ids[row] for row in held.measured_rows(small))
        said = {held.rows[id_].text for id_ in used}  # of eight rows the last two ask what the first two do
        assert said.isdisjoint(held.rows[small.ids[row]].text for row in held.measured_rows(small))
        assert held.measured_rows(small)


def test_rows_that_ask_nearly_the_same_as_one_that_is_adapted_with_are_counted(snapshot, base, tmp_path):
    goods = {"g10": "a lamp", "g11": "two blue chairs", "g12": "the third book"}
    asked = ("Has {} left your house in the north, and when will it be here", "Where is the invoice that you promised for {}", *"abcd")
    twice = [  # the seventh and eighth ask what the first two do, with another mark at the end
        replace(row, content={"prompt": f"{asked[at % 6].format(goods[row.group])} {row.group}{'?!'[at // 6]}"})
        for at, row in ((number % 8, row) for number, row in enumerate(rows_of(10, 3)))
    ]
    model = train(TrainingRun(tmp_path / "run", base, replace(snapshot, validation=twice)), rounds=1, shots=3, inner_steps=1)
    about = model.manifest["tasks"]
    assert 0 < about["alike"] <= 6
    assert f"{about['alike']} rows weren't measured on: they ask (nearly) the same" in " ".join(model.manifest["summary"])


class Killed(Exception):
    pass


def test_a_run_that_was_killed_ends_with_the_same_weights(snapshot, base, tmp_path):
    def die(told: Any) -> None:
        if told.stage == "meta-learning" and told.done == 2:
            raise Killed

    with pytest.raises(Killed):
        train(TrainingRun(tmp_path / "run", base, snapshot, seed=3, progress=die))
    assert [folder.name for folder in (tmp_path / "run" / "checkpoints").iterdir()] == ["round-2"]
    done = []
    again = train(TrainingRun(tmp_path / "run", base, snapshot, seed=3, progress=lambda told: done.append(told.done)))
    whole = train(TrainingRun(tmp_path / "whole", base, snapshot, seed=3))
    assert done == [3]
    assert not (tmp_path / "run" / "checkpoints").exists()
    for name, weights in load_file(whole.path / "model.safetensors").items():
        assert torch.equal(weights, load_file(again.path / "model.safetensors")[name]), name
    assert again.manifest["tasks"] == whole.manifest["tasks"]


def test_a_field_of_the_content_names_the_tasks(snapshot, base, tmp_path):
    one_group = {side: [replace(row, group=side) for row in getattr(snapshot, side)] for side in ("train", "validation")}
    model = train(TrainingRun(tmp_path / "run", base, Answers(**one_group)), task="client", rounds=1)
    assert [each["task"] for each in model.manifest["tasks"]["held_out"]] == ["c10", "c11", "c12"]


def test_rows_without_a_task_and_tasks_of_one_row_are_counted(snapshot, base, tmp_path):
    lone = replace(snapshot.train[0], id="lone", content={"prompt": "After red?", "client": "lone"})
    nobody = replace(snapshot.train[0], id="nobody", content={"prompt": "After red?"})
    mixed = replace(snapshot, train=[*snapshot.train, lone, nobody])
    model = train(TrainingRun(tmp_path / "run", base, mixed), task="client", rounds=1)
    assert model.manifest["tasks"]["left_out"] == {"train": {"no task": 1, "alone": 1}}
    assert "Of the train split 2 rows were left out" in " ".join(model.manifest["summary"])
    assert model.manifest["rows"]["train"] == 48


def test_an_encoder_adapts_with_its_head(tmp_path):
    def of(first: int, count: int) -> list[Answered]:
        return [
            Answered(
                f"{task}-{row}",
                {"text": f"{WORDS[row % 6]} {WORDS[(row + 1) % 6]}"},
                {("no", "yes")[(row + task) % 2]: 1.0},
                1.0,
                f"g{task}",
            )
            for task in range(first, first + count)
            for row in range(8)
        ]

    given = Answers(of(0, 6), of(10, 2), answers=("no", "yes"), target_kind="nominal")
    encoder = save_encoder("bert", tmp_path / "tiny-bert")
    model = train(TrainingRun(tmp_path / "run", encoder, given), rounds=2)
    assert set(model.manifest["tasks"]["means"]["adapted"]) == {"loss", "accuracy"}
    assert (model.path / "adapter" / "adapter_model.safetensors").exists()
    found = check_parity_stages(model.path, {row.id: row.text for row in given.validation}, base=encoder)
    assert all(stage.passed for stage in found), found


def test_open_choices_are_settled_by_measuring(snapshot, base, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.training.reptile.RATE_TRIAL_TASKS", 2)
    model = train(TrainingRun(tmp_path / "run", base, snapshot), learning_rate=None, dtype="auto", rounds=1)
    assert model.manifest["settled_rate"] in [each["learning_rate"] for each in model.manifest["sweep"]]
    assert set(model.manifest["dtype_seconds"]) == {"float32", "bfloat16"}


def test_what_is_left_of_the_base_is_told_where_there_is_something_to_measure_it_by(snapshot, base, tmp_path):
    talk = [{"role": "user", "content": "What comes after red?"}, {"role": "assistant", "content": "It is green, and so on."}]
    general = RetentionData(texts={f"t{number}": talk for number in range(3)}, origin="texts of this test")
    kept = {}
    for rate in (1e-9, 0.1):
        model = train(TrainingRun(tmp_path / f"run-{rate}", base, snapshot, general=general), rounds=1, learning_rate=rate)
        kept[rate] = model.manifest["retention"]["kept"]["value"]
    assert kept[1e-9] == pytest.approx(1, abs=1e-6), "who hardly moved kept everything"
    assert abs(kept[0.1] - 1) > 0.01
    assert "Of the base's log-probability on 3 texts of this test" in " ".join(model.manifest["summary"])


def test_a_dry_run_shows_tasks_and_rows(snapshot, base, tmp_path):
    recipe = recipes.get("reptile")
    shown = recipe.preview(TrainingRun(tmp_path / "run", base, snapshot), recipe.Options.parse({"shots": 4}, of="reptile"))
    assert shown["tasks"] == {"train": {f"g{n}": 8 for n in range(6)}, "validation": {f"g{n}": 8 for n in (10, 11, 12)}}
    assert shown["rows"] == {"train": 48, "validation": 24}
    assert shown["notes"] == ["train: 6 tasks of 8 to 8 rows", "validation: 3 tasks of 8 to 8 rows"]
    assert not (tmp_path / "run").exists()


# --- what is refused


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"task": "tenant"}, r"no row of the train split has the field 'tenant' in its content; fields: client, prompt"),
        ({"train": rows_of(0, 9, rows=1)}, {}, r"each of the 9 tasks of the train split has one row.*task=client"),
        ({"validation": rows_of(10, 3, rows=1)}, {}, r"each of the 3 tasks of the validation split has one row"),
        ({"train": rows_of(0, 4)}, {}, r"there are 4 tasks of two rows or more to learn from; reptile needs 5; about 20"),
        ({}, {"shots": 8}, r"shots=8 takes all rows of each held-out task, the largest of which has 8.*shots=7"),
        (
            {"validation": [replace(row, content={"prompt": f"What is {row.group}?"}) for row in rows_of(10, 6)]},
            {"shots": 2},
            r"each row beyond the 2 that a task is adapted with asks \(nearly\) the same as one of those",
        ),
        ({"validation": rows_of(5, 3)}, {}, r"rows of the task 'g5' stand in the train split and in the validation split"),
        ({"test": rows_of(11, 1)}, {}, r"rows of the task 'g11' stand in the validation split and in the test split"),
        ({"target_kind": "multilabel", "answers": ("red",)}, {}, r"several labels may apply"),
    ],
)  # fmt: skip
def test_bad_input_is_named(snapshot, base, tmp_path, change, options, said):
    with pytest.raises(UserError, match=said):
        train(TrainingRun(tmp_path / "run", base, replace(snapshot, **change)), **options)


def test_a_base_that_is_no_model_is_named(snapshot, tmp_path):
    with pytest.raises(UserError, match="there is no model folder nowhere"):
        train(TrainingRun(tmp_path / "run", tmp_path / "nowhere", snapshot))


# --- what is told


def test_a_task_is_a_choice_where_an_answer_comes_again():
    rows = rows_of(0, 1)
    assert task_choices(rows) == tuple(sorted(WORDS))
    assert task_choices(rows[:6]) == (), "six rows, six answers"
    assert task_choices([replace(row, target={"red": 1.0}) for row in rows]) == ()


def test_differences_are_paired_over_tasks():
    def seen(before: float, *after: float) -> list[dict[str, Any]]:
        return [{"task": str(n), "before": {"loss": before}, "after": {"loss": loss}} for n, loss in enumerate(after)]

    found = compare_with_base(seen(5.0, 3.0, 2.0, 1.0), seen(2.0, 2.0, 1.0, 0.0))
    assert found["means"]["start"]["loss"] == 2.0
    assert found["better_by"]["loss"]["value"] == pytest.approx(1.0)
    assert found["better_by"]["loss"]["n"] == 3
    worse = compare_with_base(seen(5.0, 3.0, 2.0, 1.0), seen(2.0, 4.0, 3.5, 1.5))["better_by"]["loss"]
    assert worse["low"] < worse["value"] == pytest.approx(-1.0)
    alone = compare_with_base(seen(5.0, 3.0), seen(2.0, 2.0))["better_by"]["loss"]
    assert (alone["low"], alone["high"]) == (None, None), "one task bounds nothing"
