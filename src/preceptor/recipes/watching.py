"""Watching a run: what it tells while it trains, and the log that it leaves."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState

from preceptor.formats.atomic import atomic_write
from preceptor.recipes.examples import Examples
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Progress
from preceptor.recipes.stopping import out_of_patience

LOG, TENSORBOARD = "metrics.jsonl", "tensorboard"
_TOLD = {"loss": "training_loss", "eval_loss": "validation_loss", "eval_accuracy": "validation_accuracy"}


class MetricsLog:
    """A JSON object a line, each flushed when it is written: a step's loss, or what an evaluation saw."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.path, self.stage = folder / LOG, stage

    def begin(self, step: int) -> None:
        """Drop the lines of this stage after `step`, which a run that was killed wrote and now repeats; and half a line at the end."""
        kept = [line for line in _lines(self.path) if line["stage"] != self.stage or line["step"] <= step]
        with atomic_write(self.path, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)

    def write(self, step: int, figures: Mapping[str, Any]) -> None:
        """Add a line. It is told to the system at once, and to the disk with the next checkpoint."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": self.stage, "step": step, "time": round(time.time(), 3), **figures}) + "\n")


def _lines(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def keep_logs(run: Path, model: Path) -> None:
    """Copy what a run logged in its own folder into its model's."""
    if (run / LOG).exists():  # a head that is fitted takes no steps
        shutil.copy(run / LOG, model)
    if (run / TENSORBOARD).is_dir():
        shutil.copytree(run / TENSORBOARD, model / TENSORBOARD)


class Watch(TrainerCallback):  # type: ignore[misc]
    """Tells how far training is, times its steps, logs them, and ends it when `patience` evaluations in a row brought nothing clear."""

    def __init__(self, task: Task, plan: Plan, stage: str, ahead: int = 0) -> None:
        self.task, self.plan, self.stage = task, plan, stage
        self.log = MetricsLog(task.run.folder, stage)
        self.figures: dict[str, float] = {"steps_ahead": float(ahead)} if ahead else {}  # steps that the run takes after this stage
        self.texts = self.tokens = self.learnt = self.steps = 0
        self.seconds, self._started, self._born = 0.0, 0.0, time.perf_counter()
        self._told = 0  # of what was learnt, since the last evaluation
        self._lasted = 0.0  # seconds up to the last evaluation, those before an interruption included

    def count(self, taken: Examples, rows: list[int], loss: float, room: int | None) -> None:
        """Note that a step is taken on these rows, with this loss (scaled as in `compute_loss`), at most `room` tokens at once."""
        self.texts, self.learnt = self.texts + len(rows), self.learnt + int(taken.learnt[rows].sum())
        self.tokens += sum(len(taken.tokens[row]) for row in rows)
        self._step = {"batch_loss": loss, "rows": len(rows)}
        self.figures |= {} if room is None else {"tokens_at_once": float(room)}

    def so_far(self, state: TrainerState) -> dict[str, float]:
        """Seconds of training and validation, and how much was learnt from, those before an interruption included."""
        before = _before(state)
        self._born, seconds = time.perf_counter(), time.perf_counter() - self._born
        self._told, learnt = self.learnt, self.learnt - self._told
        self._lasted = before["seconds"] + seconds
        return {"seconds": self._lasted, "supervised_tokens": before["supervised_tokens"] + learnt}

    def speed(self) -> dict[str, float]:
        """Texts, tokens without padding, and learnt tokens a second of training."""
        counted = {"texts": self.texts, "tokens": self.tokens, "supervised_tokens": self.learnt}
        return {f"{name}_per_second": count / self.seconds for name, count in counted.items()} if self.seconds else {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._lasted = _before(state)["seconds"]
        self._begun, self._first = time.perf_counter(), state.global_step
        self.log.begin(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now, step = time.perf_counter(), state.global_step
        self.seconds, self.steps = self.seconds + now - self._started, self.steps + 1
        left = (now - self._begun) / (step - self._first) * (state.max_steps - step)
        self.figures |= {**self.speed(), "seconds": self._lasted + now - self._born, "seconds_left": left}
        self.log.write(step, {**self._step, "seconds": round(self.figures["seconds"], 3)})
        self.task.run.progress(Progress(self.stage, step, state.max_steps, dict(self.figures)))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        self.figures |= {_TOLD[name]: float(value) for name, value in (logs or {}).items() if name in _TOLD}
        self.log.write(state.global_step, logs or {})

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if out_of_patience(state.log_history, self.plan.patience):
            control.should_training_stop = True


def _before(state: TrainerState) -> dict[str, float]:
    """What the history says of the time before its last evaluation."""
    return next((entry for entry in reversed(state.log_history) if "seconds" in entry), {"seconds": 0.0, "supervised_tokens": 0})
