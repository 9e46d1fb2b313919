"""Trains in child processes of which two die: `killed_writer.py TESTS CHECKPOINT STEP FOLDER BASE`. Prints what ended each child.

TESTS: the file beside this one whose `train` it is. The first child dies in writing the checkpoint, the second at the step.
"""

# ruff: noqa: E402 (what it imports lies beside it)

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from preceptor.training import TrainingRun, trainer
from tiny_models import made_snapshot


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def in_checkpoint(step):
    """Dies with the checkpoint of `step` written but not yet in its place."""
    publish = trainer.publish
    trainer.publish = lambda partial, final: die() if final.name == f"checkpoint-{step}" else publish(partial, final)


def main(tests, written, step_of_death, folder, base):
    path = Path(__file__).parent / tests
    sys.path.insert(0, str(path.parent))
    train = import_module(path.stem).train
    for checkpoint, step in ((int(written), None), (None, int(step_of_death)), (None, None)):
        child = os.fork()
        if child == 0:
            if checkpoint:
                in_checkpoint(checkpoint)
            progress = lambda told, step=step: die() if told.done == step else None  # noqa: E731
            train(TrainingRun(Path(folder), Path(base), made_snapshot(), seed=3, progress=progress))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
