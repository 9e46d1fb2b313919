"""What an initialisation is worth: each held-out task is learnt from its first few rows and measured on its others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.models.adapters import inner
from preceptor.models.classification import predict_logits
from preceptor.models.scoring import continuation_log_probabilities
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
    """Held-out tasks, each adapted to with its first `shots` rows, and measured on `most` of its others at most.

    rows: those of the validation split, by id.
    """

    task: Task
    tasks: Sequence[SmallTask]
    rows: Mapping[str, Row]
    shots: int
    seed: int
    most: int = MEASURED
    _cut: dict[str, dict[str, list[Rendered]]] = field(default_factory=dict, repr=False)

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

    def measured(self, small: SmallTask) -> list[int]:
        """Places of the rows that are measured on: none that is adapted with, or (nearly) the same as one that is."""
        return small.beyond(self.shots)[: self.most]

    def right(self, model: Any, small: SmallTask) -> FloatArray:
        """1 for each measured row whose most probable answer the model prefers to the task's others, else 0.

        A row that can't be read with one of the answers isn't among them.
        """
        score = self._by_writing if isinstance(self.task.objective, Completing) else self._by_class
        rows = [small.ids[row] for row in self.measured(small)]
        read, scores = score(model, small, rows)
        wanted = [small.answers.index(top_answer(self.rows[id_])) for id_ in read]
        return np.asarray(scores.argmax(axis=1) == wanted, dtype=np.float64) if read else np.zeros(0)

    def _by_writing(self, model: Any, small: SmallTask, rows: Sequence[str]) -> tuple[list[str], FloatArray]:
        """Rows and what each of the task's answers, with its end, has for log-probability after the prompt, (rows, answers)."""
        if small.name not in self._cut:
            self._cut[small.name] = {id_: found for id_ in rows if (found := self._with_answers(self.rows[id_], small.answers))}
        alike = defaultdict[tuple[tuple[int, ...], ...], list[str]](list)  # rows whose answers are cut into the same tokens
        for id_, found in self._cut[small.name].items():
            alike[tuple(tuple(each.tokens[each.prompt :]) for each in found)].append(id_)
        read, scores, training = list[str](), list[FloatArray](), model.training
        model.eval()
        for answers, ids in alike.items():
            prompts = [self._cut[small.name][id_][0] for id_ in ids]
            scores.append(continuation_log_probabilities(inner(model), [each.tokens[: each.prompt] for each in prompts], answers))
            read += ids
        model.train(training)
        return read, np.concatenate(scores) if scores else np.zeros((0, len(small.answers)))

    def _with_answers(self, row: Row, answers: Sequence[str]) -> list[Rendered]:
        tokenizer = self.task.objective.tokenizer  # type: ignore[attr-defined]
        try:
            return [render(tokenizer, turns_of(row.content, answer), self.task.max_tokens) for answer in answers]
        except Unfit:
            return []

    def _by_class(self, model: Any, small: SmallTask, rows: Sequence[str]) -> tuple[list[str], FloatArray]:
        """The rows and what a classifier's head says of the task's answers, (rows, answers)."""
        tokens = self.task.validation.take([small.rows[row][0] for row in self.measured(small)]).tokens
        answers = self.task.run.snapshot.answers
        logits = predict_logits(model, tokens, self.task.objective.pad_id)  # type: ignore[attr-defined]
        return list(rows), logits[:, [answers.index(answer) for answer in small.answers]]
