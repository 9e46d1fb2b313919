"""A real fine-tuning run, killed by SIGKILL at ten random moments and started again, beside one that was left alone.

SmolLM2-135M with LoRA on 100 short rows, float32, one thread. Both must end with the same weights. Each start lives for loading
and a random part of the training, so that kills fall into loading, steps and validation; every third waits for a checkpoint
to be begun. `in a checkpoint` counts the kills that left one half written. Run: python -m benches.kill_training
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

KILLS = 10
ROWS = 100
OPTIONS = {"learning_rate": 2e-4, "dtype": "float32", "batch_size": 4, "epochs": 1, "evals_per_epoch": 6, "patience": 99}
CITIES = ["Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Quito", "Tunis", "Accra", "Dakar"]
HABITS = "likes rain,has old bridges,is loud at night,smells of bread,hides a river,sells good tea,wakes early,loves kites,is full of cats,"
HABITS += "sleeps at noon"


def rows() -> list[dict[str, str]]:
    """What can be learnt in a minute: each city's habit, asked in a few ways."""
    ways = ["Tell me about {}.", "What is {} known for?", "{}?", "Why go to {}?", "One word on {}, please.", "Is {} nice?", "And {}?",
            "I was in {}.", "Have you seen {}?", "My aunt lives in {}."]  # fmt: skip
    pairs = [(way.format(city), f"{city} {habit}.") for city, habit in zip(CITIES, HABITS.split(","), strict=True) for way in ways]
    return [{"prompt": prompt, "completion": completion} for prompt, completion in pairs[:ROWS]]


def preceptor(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "preceptor", *args, "--json", "--project", str(folder)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=alone)


def said(running: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = running.communicate()
    if running.returncode:
        raise RuntimeError(err)
    return dict(json.loads(out))


def prepare(folder: Path) -> None:
    """A project with the rows, frozen."""
    subprocess.run([sys.executable, "-m", "preceptor", "init", str(folder)], check=True, capture_output=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    said(preceptor(folder, "import", str(folder / "rows.jsonl")))
    said(preceptor(folder, "snapshot", "create", "--name", "v1"))


def train(folder: Path) -> subprocess.Popen[str]:
    options = [part for name, value in OPTIONS.items() for part in ("-o", f"{name}={value}")]
    return preceptor(folder, "train", "sft", "--snapshot", "v1", "--base", "smollm2", *options)


def half_written(folder: Path) -> set[tuple[str, int]]:
    """Checkpoints that aren't complete, as folders and their numbers in the file system: a start removes what a kill left."""
    try:
        found = [*folder.glob("runs/*/unfinished/checkpoint-*"), *folder.glob("runs/*/checkpoints/.*")]
        return {(str(path), path.stat().st_ino) for path in found}
    except FileNotFoundError:  # it was put in its place meanwhile
        return set()


def finish(running: subprocess.Popen[str], folder: Path, began: float) -> dict[str, Any]:
    found = said(running)
    manifest = json.loads((Path(found["path"]) / "manifest.json").read_text())
    seconds = round(time.perf_counter() - began)
    return {
        "seconds": seconds,
        "seconds of training": round(manifest["seconds"]),
        "steps": manifest["steps"],
        "weights": manifest["weights"][:16],
    }


def run(seed: int = 0) -> list[dict[str, Any]]:
    """One row for the run left alone, one for the run that was killed."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole, cut = Path(place) / "whole", Path(place) / "cut"
        prepare(whole), prepare(cut)
        began = time.perf_counter()
        alone = {"run": "left alone", **finish(train(whole), whole, began)}
        loading = alone["seconds"] - alone["seconds of training"]
        began, kills, inside = time.perf_counter(), 0, 0
        while kills < KILLS:
            before, start = half_written(cut), train(cut)
            time.sleep(rng.uniform(0.5 * loading, loading + 0.35 * alone["seconds of training"]))
            while kills % 3 == 2 and start.poll() is None and half_written(cut) <= before:
                time.sleep(0.001)
            start.kill()
            start.communicate()
            if start.returncode == 0:
                break
            kills, inside = kills + 1, inside + (not half_written(cut) <= before)
        killed = {"run": "killed", "kills": kills, "in a checkpoint": inside, **finish(train(cut), cut, began)}
    return [alone, killed | {"same weights": alone["weights"] == killed["weights"]}]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2) + "\n")
