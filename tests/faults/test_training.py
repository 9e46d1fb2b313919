"""A training run that is killed, that runs out of disk, or that another process is at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor.errors import UserError
from preceptor.training import TrainingRun, recipes
from tiny_models import made_snapshot, save_decoder

FAST = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 8, "dtype": "float32", "rank": 4}


@pytest.fixture
def base(tmp_path):
    return save_decoder("llama", tmp_path / "tiny-llama")


def train(run):
    return recipes.get("sft")(run, recipes.get("sft").Options(**FAST))


def test_ten_random_kills_end_with_the_same_weights(base, tmp_path):
    command = [sys.executable, str(Path(__file__).parent / "killed_training.py"), str(tmp_path / "run"), str(base), "10", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    kills, whole, *completed = done.stdout.split()
    assert kills == "10"
    assert completed
    assert set(completed) == {whole}


def leave(disk: Path, space: int) -> None:
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    found = os.statvfs(disk)
    filler.write_bytes(b"x" * max(found.f_bavail * found.f_frsize - space, 0))


def test_wherever_the_space_ends_the_run_goes_on_later(base, small_disk, tmp_path):
    """In the lock, a checkpoint, the model: said in words, nothing half-written, and with space the same weights."""
    whole = train(TrainingRun(tmp_path / "whole", base, made_snapshot(), seed=2))
    run, told = TrainingRun(small_disk / "run", base, made_snapshot(), seed=2), []
    for kilobytes in (0, 16, 120, 200, 400, 600, 800):
        leave(small_disk, 1024 * kilobytes)
        try:
            train(run)
        except UserError as error:
            told.append(str(error))
        else:
            break
        assert not (run.folder / "model").exists()
    assert len(told) >= 3
    assert all("disk" in words and "free some space" in words for words in told), told
    leave(small_disk, 2**21)
    assert train(run).manifest["weights"] == whole.manifest["weights"]
    assert sorted(path.name for path in run.folder.iterdir() if path.name.startswith(".")) == []


def test_another_process_in_the_folder_is_refused(base, tmp_path):
    refused = []

    def meanwhile(progress):
        if progress.done == 1:
            with pytest.raises(UserError, match="another process is training in run") as caught:
                train(TrainingRun(tmp_path / "run", base, made_snapshot()))
            refused.append(caught.value)

    train(TrainingRun(tmp_path / "run", base, made_snapshot(), progress=meanwhile))
    assert len(refused) == 1
    with pytest.raises(UserError, match="holds another run: seed differ"):
        train(TrainingRun(tmp_path / "run", base, made_snapshot(), seed=9))
