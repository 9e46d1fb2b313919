"""Rows as small tasks: whose rows belong together, which of them can be learnt from, and that none of them stands on two sides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TypeVar

from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.recipes.examples import Examples, nested, top_answer
from preceptor.recipes.recipe import Row, Run, Split
from preceptor.snapshots.checks import clusters_of
from preceptor.snapshots.completions import asked

Some = TypeVar("Some", bound=Sized)
FEWEST, ENOUGH = 5, 20  # tasks to learn from: below the one it is refused, below the other it is said
REASONS = {
    "no task": "its content has no field that names its task",
    "alone": "the only row of its task: there is nothing to adapt with that leaves something to measure",
}


@dataclass(frozen=True)
class SmallTask:
    """One task. rows: numbers of each row's examples (one an answer), in an order whose beginnings are samples that show each answer.

    alike: the same number for rows that ask (nearly) the same. answers: what its rows say, where it is a choice (see `choices_of`),
    else nothing.
    """

    name: str
    rows: tuple[tuple[int, ...], ...]
    ids: tuple[str, ...]
    alike: tuple[int, ...]
    answers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def beyond(self, shots: int) -> list[int]:
        """Places of the rows that tell what the first `shots` taught: those after them that ask nothing (nearly) the same."""
        known = {*self.alike[:shots]}
        return [row for row in range(shots, len(self)) if self.alike[row] not in known]


@dataclass(frozen=True)
class Named:
    """A split's rows by task, and how many were left out, by reason."""

    rows: Mapping[str, Sequence[Row]]
    left_out: Mapping[str, int]

    @property
    def every(self) -> list[Row]:
        """All rows that belong to a task."""
        return [row for rows in self.rows.values() for row in rows]


def named_tasks(run: Run, rows: Mapping[Split, Sequence[Row]], field: str | None) -> dict[Split, Named]:
    """Each split's rows by the task that `field` of their content names, or by their group.

    UserError for a field that no row has, for tasks of one row all of them, for fewer than `FEWEST` tasks to learn from, and for
    a task whose rows stand on two sides: adapting to it would be no news.
    """
    found = {split: _named(split, read, field) for split, read in rows.items()}
    test = _named("test", list(run.snapshot.rows("test")), field, check=False)
    _check_apart([*found.items(), ("test", test)], field)
    if len(found["train"].rows) < FEWEST:
        raise UserError(
            f"there are {len(found['train'].rows)} tasks of two rows or more to learn from; reptile needs {FEWEST}",
            f"about {ENOUGH} is where it begins to pay; with fewer, train sft on all rows at once",
        )
    return found


def _named(split: str, rows: Sequence[Row], field: str | None, *, check: bool = True) -> Named:
    by_task, unnamed = defaultdict[str, list[Row]](list), 0
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
    return Named(kept, {reason: count for reason, count in left_out.items() if count})


def _check_apart(sides: Sequence[tuple[str, Named]], field: str | None) -> None:
    where: dict[str, str] = {}
    for split, named in sides:
        for name in named.rows:
            if where.setdefault(name, split) != split:
                raise UserError(
                    f"rows of the task {name!r} stand in the {where[name]} split and in the {split} split, so that it isn't held out",
                    f"give the items of one {field or 'task'} one group: a group stays on one side",
                )


def small_tasks(named: Named, examples: Examples, seed: int) -> list[SmallTask]:
    """The tasks over the rows that could be made into examples; one that has fewer than two left is none."""
    numbers = defaultdict[str, list[int]](list)
    for number, id_ in enumerate(examples.ids):
        numbers[id_].append(number)
    fit = {name: [row for row in nested(rows, seed) if row.id in numbers] for name, rows in sorted(named.rows.items())}
    every = [row for rows in fit.values() for row in rows]
    clusters, _ = clusters_of([text_of(asked(row.content)) for row in every])  # of all at once: a template is one of many rows
    alike = {row.id: cluster for row, cluster in zip(every, clusters, strict=True)}
    return [
        SmallTask(name, tuple(tuple(numbers[id_]) for id_ in ids), ids, tuple(alike[id_] for id_ in ids), choices_of(rows))
        for name, rows in fit.items()
        if len(ids := tuple(row.id for row in rows)) > 1
    ]


def choices_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The different answers of a task's rows, sorted, where it is a choice: two or more, at least one of which comes again."""
    said = Counter(top_answer(row) for row in rows)
    return tuple(sorted(said)) if 1 < len(said) < len(rows) else ()


def measurable(tasks: Sequence[Some], shots: int) -> list[Some]:
    """Of held-out tasks (anything that has as many parts as a task has rows) those with rows beyond the `shots` to adapt with.

    UserError when none has.
    """
    found = [task for task in tasks if len(task) > shots]
    if not found:
        most = max((len(task) for task in tasks), default=0)
        raise UserError(
            f"shots={shots} takes all rows of each held-out task, the largest of which has {most}: none is left to measure on",
            f"shots={most - 1}" if most > 1 else "give the validation split tasks of several rows",
        )
    return found


def comparable(tasks: Sequence[SmallTask], shots: int) -> list[SmallTask]:
    """`measurable` tasks of which a row asks something else than all that the task is adapted with. UserError when none has."""
    found = [task for task in measurable(tasks, shots) if task.beyond(shots)]
    if not found:
        raise UserError(
            f"each row beyond the {shots} that a task is adapted with asks (nearly) the same as one of those: none is left to measure on",
            "give tasks of rows that differ, or less shots",
        )
    return found
