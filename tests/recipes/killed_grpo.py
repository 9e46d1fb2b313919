"""Trains grpo in child processes of which two die: `killed_grpo.py FOLDER BASE`. Prints the signal that ended each child."""

# ruff: noqa: E402 (what it imports lies beside it)

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "reinforcing"), str(Path(__file__).parents[1])]

from test_reinforcing import train

import preceptor.recipes.trainer as trainer
from preceptor.recipes import Run
from tiny_models import made_snapshot


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def in_checkpoint(step):
    """Dies with the checkpoint of `step` written but not yet in its place."""
    publish = trainer.publish
    trainer.publish = lambda partial, final: die() if final.name == f"checkpoint-{step}" else publish(partial, final)


def main(folder, base):

    for checkpoint, step in ((4, None), (None, 5), (None, None)):
        child = os.fork()
        if child == 0:
            if checkpoint:
                in_checkpoint(checkpoint)
            progress = lambda told, step=step: die() if told.done == step else None  # noqa: E731
            train(Run(Path(folder), Path(base), made_snapshot(), seed=3, progress=progress))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
