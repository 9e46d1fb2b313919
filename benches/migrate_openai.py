"""`preceptor migrate openai` from a stand-in of the hosted service, with real rows of banking77 over a slow and flaky network.

The command is killed (SIGKILL) while it asks the hosted model and while it trains, and started again until it is through. Told are
what was fetched and paid and how often (once is right), old against new with paired intervals, and how long it took. The hosted model
of the stand-in answers so many of a hundred questions as the rows do, and one of the other intents otherwise.
Run: python benches/migrate_openai.py [ROWS A LABEL] [HELD OUT A LABEL] [RIGHT OF A HUNDRED]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.openai_api import LABELS, note, rows, training_file

from preceptor import Project
from preceptor.testing.fake_servers import NETWORK_FAULTS, FakeOpenAIServer

OPTIONS = ("epochs=4", "learning_rate=0.0005", "batch_size=8", "dtype=float32", "patience=100", "evals_per_epoch=1")
FIGURES = ("exact_match", "macro_f1", "format", "refusals", "latency")


def main(each: int, held: int, right: int) -> dict[str, Any]:
    """The whole way, with two kills."""
    train, test = rows(each, held * LABELS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bank"
        Project.create(folder).close()
        network = {"latency": 0.2, "troubles": NETWORK_FAULTS, "every": 9}
        with FakeOpenAIServer.from_training_file(training_file(train), training_file(test), right=right / 100, **network) as hosted:
            begun = time.monotonic()
            command, environment = started(folder, hosted)
            kill_when(command, environment, lambda: len(hosted.billed) > held * LABELS // 3, "asking")
            asked = len(hosted.billed)
            kill_when(command, environment, lambda: list(folder.glob("runs/*/checkpoints/checkpoint-*")), "training")
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, check=True)
            (moved,) = json.loads(done.stdout)["moved"]
            return {
                "way": [{
                    "rows": len(train), "held_out": len(test), "seconds": time.monotonic() - begun, "kills": 2,
                    "answers_paid_before_the_first_kill": asked, "answers_paid": len(hosted.billed),
                    "most_times_one_answer_was_paid": max(Counter(each.mark for each in hosted.billed).values()),
                    "files_fetched": sum(count for path, count in hosted.served.items() if path.endswith("/content")),
                    "trained_on": moved["migration"]["variants"][0]["train_on"], "pairs_for_people": moved["migration"]["asked"],
                }],
                "old_against_new": [compared(moved, figure) for figure in FIGURES],
                "a_month_of_100000_requests": [
                    {"model": name, "dollars": shown(moved["migration"]["month"][name])} for name in ("hosted", "successor")
                ],
            }  # fmt: skip


def started(folder: Path, hosted: FakeOpenAIServer) -> tuple[list[str], dict[str, str]]:
    """The command, which is the same each time, and its environment."""
    command = [sys.executable, "-m", "preceptor", "migrate", "openai", "--project", str(folder), "--json", "--teacher", "--max-cost", "1"]
    command += ["--train-on", "rows", *(word for option in OPTIONS for word in ("-o", option))]
    keys = {"OPENAI_API_KEY": hosted.key, "OPENAI_BASE_URL": hosted.base_url, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return command, {**os.environ, **keys}


def kill_when(command: list[str], environment: dict[str, str], reached: Callable[[], Any], what: str) -> None:
    """Start the command, and kill it as soon as it has come so far."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    while not reached():
        if process.poll() is not None:
            sys.exit(f"it ended before the kill while {what}")
        time.sleep(0.02)
    process.kill()
    process.wait()
    note(f"killed while {what}")
    time.sleep(1)  # what was under way ends at the service


def compared(moved: dict[str, Any], figure: str) -> dict[str, Any]:
    """A figure of both models, and their difference on the same questions."""
    models, difference = moved["models"], moved["comparison"].get(f"tuned_minus_hosted_{figure}")
    found = {"figure": figure.replace("_", " "), "successor": shown(models["tuned"][figure]), "hosted": shown(models["hosted"][figure])}
    return {**found, "difference": shown(difference)} if difference else found


def shown(estimate: dict[str, Any]) -> dict[str, float]:
    """An estimate's value and ends; one that the data can't bound is not a number here."""
    return {name: float("nan") if estimate[name] is None else estimate[name] for name in ("value", "low", "high")}


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]] or [12, 10, 92]
    sys.stdout.write(json.dumps(main(*given), indent=2) + "\n")
