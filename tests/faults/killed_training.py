"""Trains a tiny model in child processes that are killed at random moments: `killed_training.py FOLDER BASE KILLS SEED`.

Two of three are killed by the clock, wherever they are; every third inside the write of a checkpoint, after some of its files
have reached the disk. A child that ends before its kill has completed the run: its weights count, and the next child begins the
run again in a new folder, with half as long to live. Prints the number of kills, the weights of a run without a kill, and the
weights of each run that was completed after kills.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from preceptor.models import atomic_folder
from preceptor.training import TrainingRun, recipes
from tiny_models import made_snapshot

OPTIONS = {"learning_rate": 1e-2, "epochs": 3, "batch_size": 8, "dtype": "float32", "rank": 4, "evals_per_epoch": 4, "patience": 99}


def train(folder, base):
    recipe = recipes.get("sft")
    return recipe(TrainingRun(Path(folder), Path(base), made_snapshot(), seed=3), recipe.Options(**OPTIONS))


def die_in_a_write(after):
    """The process dies when so many files of checkpoints have been flushed to the disk."""
    flush, left = atomic_folder._fsync_path, [after]

    def count(path):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(path)

    atomic_folder._fsync_path = count


def is_killed(folder, base, rng, in_a_write, longest):
    """Train in a child process; whether it was killed before it ended."""
    after, seconds = rng.randrange(30), rng.uniform(0, longest)
    child = os.fork()
    if child == 0:
        if in_a_write:
            die_in_a_write(after)
        train(folder, base)
        os._exit(0)
    if not in_a_write:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        sys.exit(f"a training ended with {code}")
    return code != 0


def main(folder, base, kills, seed):
    torch.set_num_threads(1)
    began = time.perf_counter()
    whole = train(f"{folder}-whole", base)
    longest = 0.5 * (time.perf_counter() - began)
    rng, done, completed = random.Random(int(seed)), 0, []
    while done < int(kills):
        run = f"{folder}-{len(completed)}"
        if is_killed(run, base, rng, done % 3 == 2, longest):
            done += 1
        else:
            completed.append(train(run, base).manifest["weights"])
            longest /= 2
    completed.append(train(f"{folder}-{len(completed)}", base).manifest["weights"])
    print(done, whole.manifest["weights"], *completed)


if __name__ == "__main__":
    main(*sys.argv[1:])
