"""A run is one process on one device, and every row of an epoch is learnt."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard

from preceptor.errors import UserError
from preceptor.models import load_tokenizer
from preceptor.training import TrainingRun, recipes
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import LengthBatches, build_label_examples
from preceptor.training.model_manifest import _device_summary_lines
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import check_single_process
from preceptor.training.trainer import RecipeTrainer

PLAN = TrainConfig(epochs=2, min_steps=1, batch_size=16, weight_decay=0.0, patience=3, evals_per_epoch=1, seed=0, batch_tokens=40)
CLASSIFY = {"learning_rate": 1e-3, "epochs": 1, "min_steps": 1, "batch_size": 16, "dtype": "float32", "evals_per_epoch": 1}


@pytest.fixture
def task(snapshot, base, tmp_path) -> TrainingTask:
    tokenizer = load_tokenizer(base)
    train, validation = (
        build_label_examples(rows, snapshot.answers, tokenizer, max_tokens=32, hard=False) for rows in (snapshot.train, snapshot.validation)
    )
    return TrainingTask(
        TrainingRun(tmp_path / "run", base, snapshot), 32, ClassificationObjective(base, snapshot.answers, tokenizer), train, validation
    )


@pytest.fixture
def two_devices(monkeypatch):
    """As on a machine with two GPUs, as far as the Trainer looks: it counts two, and would spread the model over both."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


LAUNCHED = {
    "torchrun": {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
    "torchrun with one process": {"WORLD_SIZE": "1", "LOCAL_RANK": "0"},
    "mpirun": {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
    "MPICH": {"PMI_SIZE": "2"},
    "MVAPICH": {"MV2_COMM_WORLD_SIZE": "2"},
    "srun": {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"},
    "SageMaker": {"SMDATAPARALLEL_LOCAL_RANK": "0"},
    "accelerate with DeepSpeed": {"ACCELERATE_USE_DEEPSPEED": "true"},
    "accelerate with FSDP": {"ACCELERATE_USE_FSDP": "true"},
}
ALONE = [{}, {"WORLD_SIZE": "1"}, {"LOCAL_RANK": "-1"}, {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}, {"WORLD_SIZE": "many"}]


@pytest.mark.parametrize("environment", LAUNCHED.values(), ids=LAUNCHED)
def test_a_process_among_several_is_refused(environment):
    with pytest.raises(UserError, match=r"start one process, without torchrun"):
        check_single_process(environment)


@pytest.mark.parametrize("environment", [*ALONE, {"ACCELERATE_USE_FSDP": "false"}])
def test_a_process_by_itself_may_train(environment):
    check_single_process(environment)


def test_a_recipe_is_refused_before_it_writes_anything(snapshot, base, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    classify = recipes.get("classify")
    with pytest.raises(UserError, match="WORLD_SIZE=2"):
        classify(TrainingRun(tmp_path / "run", base, snapshot), classify.Options(**CLASSIFY))
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys
from preceptor.cli.main import main
main(["train", "classify", "--snapshot", "v1", "--base", "minilm"])
"""


@pytest.mark.slow
def test_torchrun_ends_in_words_and_hangs_nobody(tmp_path):
    """Two processes of torchrun waited for each other without end."""
    from preceptor import Project

    rows = "".join(f"text {number},{'good' if number % 2 else 'bad'}\n" for number in range(60))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    with_rows = Project.create(tmp_path / "project")
    with_rows.add_question("label", "choice", ["good", "bad"], "Which?")
    with_rows.read(tmp_path / "rows.csv", question="label", text="text", label="label")
    with_rows.snapshot("label", name="v1")
    with_rows.close()
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "train.py")]
    ended = subprocess.run(
        command, cwd=tmp_path / "project", env=os.environ.copy(), capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 1
    assert "this is one of 2 processes (WORLD_SIZE=2)" in ended.stderr
    assert "exitcode  : 1" in ended.stderr
    assert "preceptor/cli" not in ended.stderr  # no traceback of ours
    assert not list(Path(tmp_path / "project" / "runs").glob("*"))


def test_with_two_devices_a_model_trains_on_one(task, two_devices):
    """The Trainer wrapped it in DataParallel: 'DataParallel' object has no attribute 'config'."""
    trainer = RecipeTrainer(task, PLAN, "")
    assert (trainer.args.n_gpu, trainer.args.train_batch_size) == (1, 16)
    trainer.train()
    assert trainer.state.global_step == 2 * len(trainer.batches)
    assert type(trainer.model).__name__ == "MeanPooledClassifier"


def test_which_device_it_was_is_said_where_there_are_several(monkeypatch, two_devices):
    class Model:
        device = torch.device("cuda:0")

    (said,) = _device_summary_lines(Model())
    assert "cuda:0, of the 2" in said
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert _device_summary_lines(Model()) == []


class Sharded(RecipeTrainer):
    """As accelerate shards batches between two processes: it drops those that haven't as many rows as it was told."""

    def get_train_dataloader(self):
        loader = super().get_train_dataloader()
        shard = BatchSamplerShard(self.batches, num_processes=2, process_index=0, even_batches=False)
        return torch.utils.data.DataLoader(self.train_rows, batch_sampler=shard, collate_fn=loader.collate_fn)


def test_rows_that_are_lost_on_the_way_end_the_training(task):
    """16 of 1,000 rows reached two processes, without a word."""
    with pytest.raises(UserError, match=r"an epoch trained on \d+ of 90 rows"):
        Sharded(task, PLAN, "").train()


@pytest.mark.parametrize(("epochs", "min_steps"), [(1, 1), (0.5, 1), (1.5, 1), (1, 100)])
def test_an_epoch_that_has_all_rows_passes_whole_or_in_part(task, epochs, min_steps):
    trainer = RecipeTrainer(task, replace(PLAN, epochs=epochs, min_steps=min_steps, evals_per_epoch=0), "")
    trainer.train()
    assert trainer.state.global_step == trainer.state.max_steps


def test_an_epoch_that_is_gone_on_with_counts_what_it_had():
    batches = LengthBatches([3, 5, 4, 9, 2, 8, 7], 2, 0)
    batches.set_epoch(3)
    epoch = list(batches)
    assert list(LengthBatches([3, 5, 4, 9, 2, 8, 7], 2, 0).first_rows(3, 2)) == [*epoch[0], *epoch[1]]
    assert sorted(batches.first_rows(3, 4)) == list(range(7))
