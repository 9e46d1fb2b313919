"""Trains in child processes that die at given moments: `killed_run.py FOLDER BASE`. Prints the signal that ended each child."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from conftest import make_snapshot
from preceptor.models import atomic_folder
from preceptor.training import TrainingRun, recipes, trainer

OPTIONS = {"learning_rate": 1e-3, "epochs": 6, "batch_size": 8, "evals_per_epoch": 3, "dtype": "float32"}


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(step):
    return lambda progress: die() if progress.done == step else None


def in_checkpoint(step):
    """Dies with the checkpoint of `step` written but not yet in its place."""
    publish = trainer.publish
    trainer.publish = lambda partial, final: die() if final.name == f"checkpoint-{step}" else publish(partial, final)


def half_written(step):
    """Dies with half of a weights file on disk."""

    def write_half(partial, final):
        if final.name == f"checkpoint-{step}":
            weights = partial / "model.safetensors"
            os.truncate(weights, weights.stat().st_size // 2)
            die()
        return publish(partial, final)

    publish = trainer.publish
    trainer.publish = write_half


def while_discarding():
    """Dies with half of an old checkpoint removed."""
    rmtree = shutil.rmtree

    def remove_half(folder, **kwargs):
        if folder.name.endswith(".discarded") and folder.exists():
            (folder / "model.safetensors").unlink()
            die()
        rmtree(folder, **kwargs)

    atomic_folder.shutil = SimpleNamespace(rmtree=remove_half)


def train(folder, base, progress):
    recipe = recipes.get("classify")
    recipe(TrainingRun(Path(folder), Path(base), make_snapshot(), seed=3, progress=progress), recipe.Options(**OPTIONS))


def main(folder, base):
    recipes.get("classify")
    deaths = [lambda: in_checkpoint(6), lambda: half_written(12), while_discarding, lambda: None, lambda: None]
    steps = [None, None, None, 31, None]
    for prepare, step in zip(deaths, steps, strict=True):
        child = os.fork()
        if child == 0:
            prepare()
            train(folder, base, at_step(step))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
