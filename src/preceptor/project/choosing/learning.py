"""How good each way to learn is after so many rows: one training and one measurement for each point of a learning curve.

A point that was measured stays on disk; the model that was made for it doesn't.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray, IntArray
from preceptor.recipes import Row, Run, TrainingData, recipes
from preceptor.statistics import log_loss_rows


@dataclass(frozen=True)
class Method:
    """A way to learn: a recipe with its options, and the base it starts from.

    words: what it is called in sentences. key: what tells it from earlier versions of itself, where points are kept. Its learning
    rate is fixed, so that no point of a curve pays for a sweep.
    """

    name: str
    words: str
    recipe: str
    base: Path
    base_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def at(self, size: int) -> dict[str, Any]:
        """The options for so many rows; examples that are shown can't be more than those."""
        shots = {"shots": min(int(self.options["shots"]), size)} if "shots" in self.options else {}
        return {**self.options, **shots, "rows": size}


@dataclass(frozen=True)
class Held:
    """Rows to measure on, and the code of each one's true answer, (n,)."""

    rows: Sequence[Row]
    truth: IntArray

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.rows]


@dataclass(frozen=True)
class Outcome:
    """One point: right (n,) 0 or 1 for each held-out row, its log loss in nats (n,), seconds of training and of all answers."""

    method: str
    size: int
    seed: int
    right: FloatArray
    loss: FloatArray
    seconds: float
    answering: float

    @property
    def error(self) -> float:
        """The share of wrong answers."""
        return float(1 - self.right.mean())


@dataclass(frozen=True)
class Bench:
    """Where points are measured: a folder of its own for what is kept, the rows, and how other models are found."""

    place: Path
    snapshot: TrainingData
    held: Held
    folder_of: Callable[[str], Path]

    def outcome(self, method: Method, size: int, seed: int) -> Outcome:
        """A point of a method's curve: measured now, or as an earlier start left it."""
        from preceptor.recipes.folder import remembered

        kept = remembered(self._file(method, size, seed), partial(self._measured, method, size, seed))
        right, loss = (np.array(kept[name], dtype=np.float64) for name in ("right", "loss"))
        return Outcome(method.name, size, seed, right, loss, kept["seconds"], kept["answering"])

    def known(self, method: Method, size: int, seed: int) -> bool:
        """Whether a point was measured before."""
        return self._file(method, size, seed).exists()

    def _file(self, method: Method, size: int, seed: int) -> Path:
        return self.place / f"{self._named(method, size, seed)}.json"

    def _named(self, method: Method, size: int, seed: int) -> str:
        return "-".join([method.name, *([method.key] if method.key else []), str(size), str(seed)])

    def _measured(self, method: Method, size: int, seed: int) -> dict[str, Any]:
        folder = self.place / self._named(method, size, seed)
        recipe = recipes.get(method.recipe)
        run = Run(folder, method.base, self.snapshot, seed, method.base_name, folder_of=self.folder_of)
        started = time.perf_counter()
        model = recipe(run, recipe.Options.parse(method.at(size), of=f"recipe {method.recipe!r}"))
        trained = time.perf_counter()
        said = self._answers(method, model)
        answered = time.perf_counter()
        shutil.rmtree(folder, ignore_errors=True)
        return {
            "right": (said.argmax(axis=1) == self.held.truth).astype(int).tolist(),
            "loss": log_loss_rows(said, self.held.truth).round(6).tolist(),
            "seconds": trained - started,
            "answering": answered - trained,
        }

    def _answers(self, method: Method, model: Model) -> FloatArray:
        texts = [row.text for row in self.held.rows]
        if method.recipe == "few_shot":
            from preceptor.providers.demonstrating import FewShot
            from preceptor.providers.local import LocalProvider

            return FewShot.load(model.path, LocalProvider(method.base), self.folder_of(model.manifest["options"]["encoder"])).predict(texts)
        from preceptor.models import class_probabilities

        return class_probabilities(model.path, texts)
