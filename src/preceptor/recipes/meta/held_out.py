"""What an initialisation is worth: each held-out task is learnt from its first few rows and measured on its others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.models.classification import predict_logits
from preceptor.models.completion import completion_log_probabilities
from preceptor.models.template import Rendered, Unfit, render, turns_of
from preceptor.recipes.completing import Completing
from preceptor.recipes.examples import top_answer
from preceptor.recipes.meta.adapting import Pace, adapt, copied, put, trained_weights
from preceptor.recipes.meta.tasks import SmallTask
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Row

Seen = Sequence[Mapping[str, Any]]  # of each held-out task: its name, and its `Stand` before and after adapting to it

MEASURED = 64  # rows of a task at most that it is measured on


@dataclass(frozen=True)
class Stand:
    """How a model does on a task's other rows: mean loss in nats (a learnt token, or a row of a classifier), and the share that it
    answers right where the task is a choice."""

    loss: float
    accuracy: float | None

    def to_dict(self) -> dict[str, float]:
        return {"loss": self.loss} | ({} if self.accuracy is None else {"accuracy": self.accuracy})


@dataclass
class HeldOut:
    """Held-out tasks, each adapted to with its first `shots` rows. rows: those of the validation split, by id."""

    task: Task
    tasks: Sequence[SmallTask]
    rows: Mapping[str, Row]
    shots: int
    seed: int
    _rendered: dict[str, dict[str, list[Rendered]]] = field(default_factory=dict, repr=False)

    def look(self, model: Any, pace: Pace) -> Seen:
        """Each task before and after adapting to it, from the weights that the model has, which it has again afterwards."""
        start, found = copied(trained_weights(model)), list[dict[str, Any]]()
        for number, small in enumerate(self.tasks):
            before = self.stand(model, small)
            adapt(
                model, self.task.objective, self.task.validation, small.rows[: self.shots], pace, np.random.default_rng([self.seed, number])
            )
            found.append({"task": small.name, "before": before.to_dict(), "after": self.stand(model, small).to_dict()})
            put(model, start)
        return found

    def stand(self, model: Any, small: SmallTask) -> Stand:
        """How the model as it is does on the task's measured rows."""
        numbers = [number for row in self.measured(small) for number in small.rows[row]]
        loss = self.task.objective.validate(model, self.task.validation.take(numbers)).loss
        right = self.right(model, small) if small.answers else np.zeros(0)
        return Stand(loss, float(right.mean()) if len(right) else None)

    def measured(self, small: SmallTask) -> range:
        """Places of the rows that are measured on: none that is adapted with."""
        return range(self.shots, min(len(small), self.shots + MEASURED))

    def right(self, model: Any, small: SmallTask) -> FloatArray:
        """1 for each measured row whose most probable answer the model prefers to the task's others, else 0."""
        rows = [self.rows[small.ids[row]] for row in self.measured(small)]
        wanted = [small.answers.index(top_answer(row)) for row in rows]
        if not isinstance(self.task.objective, Completing):
            firsts = [small.rows[row][0] for row in self.measured(small)]
            answers = self.task.run.snapshot.answers
            tokens = self.task.validation.take(firsts).tokens
            scores = predict_logits(model, tokens, self.task.objective.pad_id)[:, [answers.index(each) for each in small.answers]]  # type: ignore[attr-defined]
            return np.asarray(scores.argmax(axis=1) == wanted, dtype=np.float64)
        said = self._choices(small, rows)
        flat = [each for choices in said.values() for each in choices]
        found = completion_log_probabilities(
            model, [each.tokens for each in flat], [each.supervised for each in flat], self.task.objective.pad_id
        )
        scores = np.array([each.sum() for each in found]).reshape(len(said), len(small.answers))
        kept = [answer for row, answer in zip(rows, wanted, strict=True) if row.id in said]
        return np.asarray(scores.argmax(axis=1) == kept, dtype=np.float64)

    def _choices(self, small: SmallTask, rows: Sequence[Row]) -> dict[str, list[Rendered]]:
        """The measured rows with each of the task's answers, as tokens; a row that can't be read with one of them is left out."""
        if small.name not in self._rendered:
            self._rendered[small.name] = {row.id: found for row in rows if (found := self._with_answers(row, small.answers))}
        return self._rendered[small.name]

    def _with_answers(self, row: Row, answers: Sequence[str]) -> list[Rendered]:
        tokenizer = self.task.objective.tokenizer  # type: ignore[attr-defined]
        try:
            return [render(tokenizer, turns_of(row.content, answer), self.task.max_tokens) for answer in answers]
        except Unfit:
            return []
