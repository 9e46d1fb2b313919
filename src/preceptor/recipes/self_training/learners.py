"""How each model of a run is learnt: all of it is tuned, or a head alone on what the base says as it is.

Both say the same things of a training: log-probabilities `validation` (rows, answers) and `texts` (texts, answers), and of each
validation row what it adds to the loss (`losses`, nats) and whether the first choice is `right` (0 or 1).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from scipy.special import log_softmax

from preceptor.domain.general import General
from preceptor.domain.results import FloatArray
from preceptor.formats.atomic import atomic_write
from preceptor.models.classification import predict_tokens
from preceptor.models.embedding import token_means
from preceptor.models.tokens import TokenIds
from preceptor.recipes.examples import Examples
from preceptor.recipes.logistic import Head, Sample, choose_head
from preceptor.recipes.objective import Validated
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.probing import as_fitted, with_head
from preceptor.recipes.recipe import Progress
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.trainer import fit

SAID = "said.npz"  # in a training's folder


class Learner(Protocol):
    """A way to learn a task's rows."""

    def look(self, task: Task, texts: Examples) -> dict[str, FloatArray]:
        """Learn (or take up what a process that ended had learnt), and say what the model says; what else is needed to end is kept."""

    def end(self, task: Task) -> tuple[Any, dict[str, Any]]:
        """The learnt model as `finish` takes it, and what else its manifest says."""


@dataclass(frozen=True)
class Tuned:
    """By steps on the weights, or on an adapter beside them, as `classify` does."""

    plan: Plan
    tokenizer: Any
    retention: WithoutTexts
    general: Callable[[], General]

    def look(self, task: Task, texts: Examples) -> dict[str, FloatArray]:
        model = fit(task, self.plan, self.tokenizer).model
        task.run.progress(Progress("reading the texts", 0, 1))
        seen = task.objective.validate(model, task.validation)
        read: Callable[[Sequence[TokenIds]], FloatArray] = partial(predict_tokens, model, pad_id=task.objective.pad_id)  # type: ignore[attr-defined]
        said = _said(seen, read(task.validation.tokens), read(texts.tokens), task.validation)
        del model, read
        gc.collect()  # the next training's weights come into memory
        return said

    def end(self, task: Task) -> tuple[Any, dict[str, Any]]:
        return retain(task, self.plan, self.retention, self.tokenizer, self.general)


@dataclass(frozen=True)
class Probed:
    """By a logistic head on the base's mean token vectors, see `choose_head`: each text is read once, for all rounds.

    everything: all rows that will be learnt, validated or asked about, each known by its id.
    """

    plan: Plan
    folder: Path
    task: Task
    everything: Sequence[Examples]

    def look(self, task: Task, texts: Examples) -> dict[str, FloatArray]:
        validation = self._sample(task.validation)
        head = choose_head(self._sample(task.train), validation)
        said, of_texts = (log_softmax(self._vectors_of(rows) @ head.weight.T + head.bias, axis=1) for rows in (task.validation, texts))
        seen = Validated(head.losses(validation), task.validation.weights)
        kept = {"weight": head.weight, "bias": head.bias, "penalty": np.array(head.penalty), "loss": np.array(head.loss)}
        return {**_said(seen, said, of_texts, task.validation), **kept}

    def end(self, task: Task) -> tuple[Any, dict[str, Any]]:
        started, kept = time.perf_counter(), read_arrays(task.run.folder / SAID)
        head = Head(kept["weight"], kept["bias"], float(kept["penalty"]), float(kept["loss"]))
        model = with_head(task.new_model().eval(), head)
        done = as_fitted(task, self.plan, model, head, since=started, checkpoints=task.run.folder / "checkpoints")
        return done, {"probe": {"penalty": head.penalty}}

    def _sample(self, rows: Examples) -> Sample:
        return Sample(self._vectors_of(rows), rows.targets, rows.weights)

    def _vectors_of(self, rows: Examples) -> FloatArray:
        place, vectors = self._vectors
        return vectors[[place[id_] for id_ in rows.ids]]

    @cached_property
    def _vectors(self) -> tuple[dict[str, int], FloatArray]:
        """Mean token vectors of all rows, read by the base once a run, and the place of each id among them."""
        self.task.run.progress(Progress("reading texts", 0, 1))
        pad_id = self.task.objective.pad_id  # type: ignore[attr-defined]

        def read() -> dict[str, FloatArray]:
            tokens = [ids for rows in self.everything for ids in rows.tokens]
            return {"vectors": token_means(self.task.new_model().eval().body, tokens, pad_id)}

        ids = [id_ for rows in self.everything for id_ in rows.ids]
        return {id_: number for number, id_ in enumerate(ids)}, kept_arrays(self.folder / "vectors.npz", read)["vectors"]


def _said(seen: Validated, validation: FloatArray, texts: FloatArray, rows: Examples) -> dict[str, FloatArray]:
    right = (validation.argmax(axis=1) == rows.targets.argmax(axis=1)).astype(np.float64)
    return {"validation": validation, "texts": texts, "losses": seen.shares, "right": right}


def kept_arrays(path: Path, compute: Callable[[], Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """The arrays that an earlier start left in `path`, or `compute()`, kept there for the next."""
    if not path.exists():
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, **found)  # type: ignore[arg-type]
    return read_arrays(path)


def read_arrays(path: Path) -> dict[str, FloatArray]:
    """All arrays of a file."""
    with np.load(path) as found:
        return {name: found[name] for name in found.files}
