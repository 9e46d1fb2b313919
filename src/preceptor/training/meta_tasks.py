"""Group rows into small tasks, adapt a model to a task in a few steps, and measure it on held-out tasks.

No task may have rows in two splits. A held-out task is adapted to with its first few rows and measured on its others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from preceptor.errors import UserError
from preceptor.generation.option_scoring import continuation_log_probabilities
from preceptor.models.adapters import unwrap_model
from preceptor.models.chat_template import RenderedConversation, RenderError, build_conversation, render_conversation
from preceptor.models.classifier import predict_logits
from preceptor.quality.leakage import cluster_duplicates
from preceptor.training.callbacks import check_finite
from preceptor.training.examples import TrainingExamples, order_nested, top_answer
from preceptor.training.objective import TrainingObjective, TrainingTask
from preceptor.training.recipe import SplitName, TrainingRow, TrainingRun
from preceptor.training.sft import SFTObjective
from preceptor.types import FloatArray, render_content, strip_answer

AnySizedTask = TypeVar("AnySizedTask", bound=Sized)
MIN_TASKS, RECOMMENDED_TASKS = 5, 20  # tasks to learn from: fewer than the one are refused, fewer than the other reported
TASK_EXCLUSION_REASONS = {
    "no task": "its content has no field that names its task",
    "alone": "the only row of its task: there is nothing to adapt with that leaves something to measure",
}


@dataclass(frozen=True)
class MetaTask:
    """One small task.

    rows: numbers of each row's examples (one an answer), in an order whose prefixes are samples that show each answer. ids: of the rows.
    duplicate_clusters: the same number for rows that ask (nearly) the same. answers: the different answers of its rows, where it is a
    choice (see `task_choices`), else empty.
    """

    name: str
    rows: tuple[tuple[int, ...], ...]
    ids: tuple[str, ...]
    duplicate_clusters: tuple[int, ...]
    answers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def measurable_rows(self, shots: int) -> list[int]:
        """Return the places of the rows that show what the first `shots` taught: later ones that ask nothing (nearly) the same."""
        known = {*self.duplicate_clusters[:shots]}
        return [row for row in range(shots, len(self)) if self.duplicate_clusters[row] not in known]


@dataclass(frozen=True)
class RowsByTask:
    """A split's rows by task, and how many were left out, by reason."""

    rows: Mapping[str, Sequence[TrainingRow]]
    excluded: Mapping[str, int]

    @property
    def all_rows(self) -> list[TrainingRow]:
        """All rows that belong to a task."""
        return [row for rows in self.rows.values() for row in rows]


def group_rows_by_task(run: TrainingRun, rows: Mapping[SplitName, Sequence[TrainingRow]], field: str | None) -> dict[SplitName, RowsByTask]:
    """Return each split's rows by the task that `field` of their content names, or by their group.

    Raises UserError for a field that no row has, where all tasks have one row, for fewer than `MIN_TASKS` tasks to learn from, and for a
    task with rows in two splits, which wouldn't be held out.
    """
    found = {split: _group_split(split, read, field) for split, read in rows.items()}
    test = _group_split("test", list(run.snapshot.rows("test")), field, check=False)
    _check_disjoint([*found.items(), ("test", test)], field)
    if len(found["train"].rows) < MIN_TASKS:
        raise UserError(
            f"there are {len(found['train'].rows)} tasks of two rows or more to learn from; reptile needs {MIN_TASKS}",
            f"about {RECOMMENDED_TASKS} is where it begins to pay; with fewer, train sft on all rows at once",
        )
    return found


def _group_split(split: str, rows: Sequence[TrainingRow], field: str | None, *, check: bool = True) -> RowsByTask:
    by_task, unnamed = defaultdict[str, list[TrainingRow]](list), 0
    for row in rows:
        name = row.group if field is None else row.content.get(field)
        if name in (None, ""):
            unnamed += 1
        else:
            by_task[str(name)].append(row)
    kept = {name: found for name, found in by_task.items() if len(found) > 1}
    if check and not by_task:
        known = sorted({name for row in rows for name in row.content})
        raise UserError(f"no row of the {split} split has the field {field!r} in its content", f"fields: {', '.join(known)}")
    if check and not kept:
        raise UserError(
            f"each of the {len(by_task)} tasks of the {split} split has one row, and a task needs two at least",
            "name the field that says whose rows they are: task=client; or group the items by task",
        )
    left_out = {"no task": unnamed, "alone": len(by_task) - len(kept)}
    return RowsByTask(kept, {reason: count for reason, count in left_out.items() if count})


def _check_disjoint(sides: Sequence[tuple[str, RowsByTask]], field: str | None) -> None:
    where: dict[str, str] = {}
    for split, named in sides:
        for name in named.rows:
            if where.setdefault(name, split) != split:
                raise UserError(
                    f"rows of the task {name!r} stand in the {where[name]} split and in the {split} split, so that it isn't held out",
                    f"give the items of one {field or 'task'} one group: a group stays on one side",
                )


def build_meta_tasks(named: RowsByTask, examples: TrainingExamples, seed: int) -> list[MetaTask]:
    """Return the tasks over the rows that could be made into examples; one with fewer than two rows left is dropped."""
    numbers = defaultdict[str, list[int]](list)
    for number, id_ in enumerate(examples.ids):
        numbers[id_].append(number)
    fit = {name: [row for row in order_nested(rows, seed) if row.id in numbers] for name, rows in sorted(named.rows.items())}
    every = [row for rows in fit.values() for row in rows]
    clusters, _ = cluster_duplicates(
        [render_content(strip_answer(row.content)) for row in every]
    )  # of all at once: what many rows share is a template
    alike = {row.id: cluster for row, cluster in zip(every, clusters, strict=True)}
    return [
        MetaTask(name, tuple(tuple(numbers[id_]) for id_ in ids), ids, tuple(alike[id_] for id_ in ids), task_choices(rows))
        for name, rows in fit.items()
        if len(ids := tuple(row.id for row in rows)) > 1
    ]


def task_choices(rows: Sequence[TrainingRow]) -> tuple[str, ...]:
    """Return the different answers of a task's rows, sorted, where it is a choice: two or more, at least one of which is repeated."""
    said = Counter(top_answer(row) for row in rows)
    return tuple(sorted(said)) if 1 < len(said) < len(rows) else ()


def filter_measurable(tasks: Sequence[AnySizedTask], shots: int) -> list[AnySizedTask]:
    """Return the held-out tasks (anything whose length is its number of rows) that have rows beyond the `shots` to adapt with.

    Raises UserError when none has.
    """
    found = [task for task in tasks if len(task) > shots]
    if not found:
        most = max((len(task) for task in tasks), default=0)
        raise UserError(
            f"shots={shots} takes all rows of each held-out task, the largest of which has {most}: none is left to measure on",
            f"shots={most - 1}" if most > 1 else "give the validation split tasks of several rows",
        )
    return found


def filter_comparable(tasks: Sequence[MetaTask], shots: int) -> list[MetaTask]:
    """Return the `filter_measurable` tasks with a row that differs from all that the task is adapted with.

    Raises UserError when none has.
    """
    found = [task for task in filter_measurable(tasks, shots) if task.measurable_rows(shots)]
    if not found:
        raise UserError(
            f"each row beyond the {shots} that a task is adapted with asks (nearly) the same as one of those: none is left to measure on",
            "give tasks of rows that differ, or less shots",
        )
    return found


ADAM_BETAS = (0.0, 0.999)  # no momentum: a task's steps follow its own gradients alone (Nichol et al. 2018, section 6)

NamedWeights = dict[str, Any]  # the trained parts of a model, by name


@dataclass(frozen=True)
class InnerLoop:
    """How a task is learnt: number of steps, rows a step, learning rate, and whether in bfloat16."""

    steps: int
    rows: int
    rate: float
    bfloat16: bool = False


def trainable_weights(model: Any) -> NamedWeights:
    """Return the trained parameters by name, themselves and no copies."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def copy_weights(weights: NamedWeights) -> NamedWeights:
    """Return copies of the weights, detached from the model."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


def set_weights(model: Any, values: NamedWeights) -> None:
    """Set the model's trained parameters to these values."""
    with torch.no_grad():
        for name, weight in trainable_weights(model).items():
            weight.copy_(values[name])


def adapt_to_task(
    model: Any,
    objective: TrainingObjective,
    examples: TrainingExamples,
    rows: Sequence[Sequence[int]],
    pace: InnerLoop,
    random: np.random.Generator,
) -> float:
    """Take the inner steps in place, with a fresh Adam without momentum, and return the mean of their losses in nats.

    rows: numbers of each row's examples. Batches go through the rows in one random order after another.
    """
    torch.manual_seed(int(random.integers(2**31)))  # dropout
    optimizer = torch.optim.Adam(list(trainable_weights(model).values()), lr=pace.rate, betas=ADAM_BETAS)
    training = model.training
    model.train()
    losses = []
    for batch in _inner_batches(rows, pace, random):
        loss = _mean_batch_loss(model, objective, examples, batch, bfloat16=pace.bfloat16)
        check_finite(loss.detach(), f"the loss became {{}} on the rows {', '.join(examples.ids[row] for row in batch)}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    optimizer.zero_grad()
    model.train(training)
    return float(np.mean(losses))


def _mean_batch_loss(
    model: Any, objective: TrainingObjective, examples: TrainingExamples, batch: Sequence[int], *, bfloat16: bool = False
) -> Any:
    """Return the weighted mean loss of some examples, a scalar with gradients."""
    inputs = {name: tensor.to(model.device) for name, tensor in objective.batch(examples, batch).items()}
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        return objective.loss(model, inputs) / float(examples.loss_weights[list(batch)].sum())


def _inner_batches(rows: Sequence[Sequence[int]], pace: InnerLoop, random: np.random.Generator) -> Iterator[list[int]]:
    """Yield the examples of `pace.rows` rows at a time (all of them where there are fewer), `pace.steps` times."""
    size, waiting = min(pace.rows, len(rows)), list[int]()
    for _ in range(pace.steps):
        while len(waiting) < size:
            waiting += sorted(random.permutation(len(rows)).tolist(), key=waiting.__contains__)  # so that no row comes twice in a batch
        yield [number for row in waiting[:size] for number in rows[row]]
        waiting = waiting[size:]


HeldOutResults = Sequence[Mapping[str, Any]]  # of each held-out task: its name, and its `TaskScore` before and after adapting to it

MAX_MEASURED_ROWS = 64  # most rows of a task that it is measured on


@dataclass(frozen=True)
class TaskScore:
    """A model's result on the measured rows of a task.

    loss: mean in nats (a supervised token, or a row of a classifier). accuracy: share of right answers where the task is a choice.
    """

    loss: float
    accuracy: float | None

    def to_dict(self) -> dict[str, float]:
        """Return the score as a JSON object."""
        return {"loss": self.loss} | ({} if self.accuracy is None else {"accuracy": self.accuracy})


@dataclass
class HeldOutTasks:
    """Held-out tasks, each adapted to with its first `shots` rows, and measured on at most `max_rows` of its others.

    task: the run's task, whose validation examples are used. rows: those of the validation split, by id.
    """

    task: TrainingTask
    tasks: Sequence[MetaTask]
    rows: Mapping[str, TrainingRow]
    shots: int
    seed: int
    max_rows: int = MAX_MEASURED_ROWS
    _rendered_answers: dict[str, dict[str, list[RenderedConversation]]] = field(default_factory=dict, repr=False)

    def evaluate(self, model: Any, pace: InnerLoop) -> HeldOutResults:
        """Measure each task before and after adapting to it from the model's current weights, which are restored afterwards."""
        start, found = copy_weights(trainable_weights(model)), list[dict[str, Any]]()
        for number, small in enumerate(self.tasks):
            before = self.score_task(model, small)
            adapt_to_task(
                model, self.task.objective, self.task.validation, small.rows[: self.shots], pace, np.random.default_rng([self.seed, number])
            )
            found.append({"task": small.name, "before": before.to_dict(), "after": self.score_task(model, small).to_dict()})
            set_weights(model, start)
        return found

    def score_task(self, model: Any, small: MetaTask) -> TaskScore:
        """Return the score of the model as it is on the task's measured rows."""
        numbers = [number for row in self.measured_rows(small) for number in small.rows[row]]
        loss = self.task.objective.validate(model, self.task.validation.select(numbers)).loss
        right = self.correct_answers(model, small) if small.answers else np.zeros(0)
        return TaskScore(loss, float(right.mean()) if len(right) else None)

    def measured_rows(self, small: MetaTask) -> list[int]:
        """Return the places of the rows that are measured on: none that is adapted with, or (nearly) the same as one that is."""
        return small.measurable_rows(self.shots)[: self.max_rows]

    def correct_answers(self, model: Any, small: MetaTask) -> FloatArray:
        """Return 1 for each measured row whose most probable answer the model prefers to the task's others, else 0.

        A row that can't be read with one of the answers is left out.
        """
        score = self._by_writing if isinstance(self.task.objective, SFTObjective) else self._by_class
        rows = [small.ids[row] for row in self.measured_rows(small)]
        read, scores = score(model, small, rows)
        wanted = [small.answers.index(top_answer(self.rows[id_])) for id_ in read]
        return np.asarray(scores.argmax(axis=1) == wanted, dtype=np.float64) if read else np.zeros(0)

    def _by_writing(self, model: Any, small: MetaTask, rows: Sequence[str]) -> tuple[list[str], FloatArray]:
        """Return the rows, and the log-probability of each of the task's answers, with its end, after the prompt, (rows, answers)."""
        if small.name not in self._rendered_answers:
            self._rendered_answers[small.name] = {
                id_: found for id_ in rows if (found := self._with_answers(self.rows[id_], small.answers))
            }
        alike = defaultdict[tuple[tuple[int, ...], ...], list[str]](list)  # rows whose answers have the same tokens
        for id_, found in self._rendered_answers[small.name].items():
            alike[tuple(tuple(each.tokens[each.prompt_length :]) for each in found)].append(id_)
        read, scores, training = list[str](), list[FloatArray](), model.training
        model.eval()
        for answers, ids in alike.items():
            prompts = [self._rendered_answers[small.name][id_][0] for id_ in ids]
            scores.append(
                continuation_log_probabilities(unwrap_model(model), [each.tokens[: each.prompt_length] for each in prompts], answers)
            )
            read += ids
        model.train(training)
        return read, np.concatenate(scores) if scores else np.zeros((0, len(small.answers)))

    def _with_answers(self, row: TrainingRow, answers: Sequence[str]) -> list[RenderedConversation]:
        tokenizer = self.task.objective.tokenizer  # type: ignore[attr-defined]
        try:
            return [render_conversation(tokenizer, build_conversation(row.content, answer), self.task.max_tokens) for answer in answers]
        except RenderError:
            return []

    def _by_class(self, model: Any, small: MetaTask, rows: Sequence[str]) -> tuple[list[str], FloatArray]:
        """Return the rows, and the logits of a classifier's head for the task's answers, (rows, answers)."""
        tokens = self.task.validation.select([small.rows[row][0] for row in self.measured_rows(small)]).tokens
        answers = self.task.run.snapshot.answers
        logits = predict_logits(model, tokens, self.task.objective.pad_id)  # type: ignore[attr-defined]
        return list(rows), logits[:, [answers.index(answer) for answer in small.answers]]
