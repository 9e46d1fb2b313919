"""A run's rows as small tasks, before anything is learnt of them: as text to write, or as texts to classify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.models.loading import check_encoder, load_tokenizer
from preceptor.recipes.classifying import Classifying
from preceptor.recipes.completing import Completing, to_completions
from preceptor.recipes.examples import longest_row, read_rows, to_examples
from preceptor.recipes.folder import remembered
from preceptor.recipes.meta.adapting import Pace
from preceptor.recipes.meta.held_out import HeldOut
from preceptor.recipes.meta.tasks import Named, SmallTask, comparable, measurable, named_tasks, small_tasks
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.precision import choose_dtype
from preceptor.recipes.recipe import Row, Run, Split
from preceptor.recipes.sweep import choose_rate
from preceptor.recipes.weighing import by_answer

RATES = (3e-4, 1e-3, 3e-3)  # of the inner steps, which are few and must get somewhere
TRIED = 6  # training tasks on which they are tried
SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class Ready:
    """A run's rows as tokens and tasks. held_out: those of the validation split that can be measured; unmeasured: the others' number.

    alike: rows of the former that aren't measured on, since they ask (nearly) the same as one that is adapted with.
    left_out: rows that belong to no task to learn from, by split and reason.
    """

    task: Task
    tokenizer: Any
    train: Sequence[SmallTask]
    held_out: HeldOut
    rows: Mapping[Split, Named]
    unmeasured: int
    alike: int

    def counts(self) -> dict[str, Any]:
        """Tasks on each side, and what isn't among them."""
        left_out = {split: dict(named.left_out) for split, named in self.rows.items() if named.left_out}
        return {
            "train": len(self.train),
            "validation": len(self.held_out.tasks),
            "unmeasured": self.unmeasured,
            "alike": self.alike,
            "shots": self.held_out.shots,
            "left_out": left_out,
        }


def writes(base: Path) -> bool:
    """Whether the base is a model that writes; UserError when it is neither that nor an encoder."""
    with suppress(UserError):
        check_causal(base)
        return True
    check_encoder(base, "reptile")
    return False


def tasks_of(run: Run, options: Any) -> dict[Split, Named]:
    """Rows by task, see `named_tasks`; UserError too when `shots` leaves nothing to measure on."""
    found = named_tasks(run, {split: read_rows(run, split, answers=not writes(run.base)) for split in SPLITS}, options.task)
    measurable([*found["validation"].rows.values()], options.shots)
    return found


def ready(run: Run, options: Any, rows: Mapping[Split, Named]) -> Ready:
    """Both splits as tokens and tasks. A classifier's texts are cut at `max_tokens`; a longer row that is to be written is left out."""
    if writes(run.base):
        tokenizer = start_tokenizer(run.base)
        limit = longest_row(run, tokenizer, options)
        objective: Any = Completing(run.base, tokenizer, options.adapter, options.rank, recipe="reptile")
        made = [
            to_completions(by_answer(rows[split].every, "soft"), tokenizer, max_tokens=limit, split=split) for split in SPLITS
        ]  # fmt: skip
    else:
        tokenizer = load_tokenizer(run.base)
        tokenizer.model_max_length = limit = longest_row(run, tokenizer, options)
        answers = run.snapshot.answers
        objective = Classifying(run.base, answers, tokenizer, options.adapter, run.snapshot.target_kind, recipe="reptile")
        made = [to_examples(rows[split].every, answers, tokenizer, max_tokens=limit, hard=False) for split in SPLITS]
    task = Task(run, limit, objective, *made)
    train, others = (small_tasks(rows[split], examples, run.seed) for split, examples in zip(SPLITS, made, strict=True))
    measured = comparable(others, options.shots)
    by_id = {row.id: row for row in rows["validation"].every}
    held_out = HeldOut(task, measured, by_id, options.shots, run.seed)
    alike = sum(len(small) - options.shots - len(small.beyond(options.shots)) for small in measured)
    return Ready(task, tokenizer, train, held_out, rows, len(rows["validation"].rows) - len(measured), alike)


def settled(ready: Ready, options: Any) -> tuple[Pace, dict[str, Any]]:
    """Number format ("auto") and inner rate (None), measured on training tasks where they are open, and kept in the run's folder."""
    task, dtype, rate, measured = ready.task, options.dtype, options.learning_rate, dict[str, Any]()
    if dtype == "auto":
        plan = Plan(1, 1, options.batch_size, weight_decay=0.0, patience=1, evaluations=0, seed=task.run.seed)
        timed = remembered(task.run.folder / "dtype.json", partial(choose_dtype, task, plan))
        dtype, measured["dtype_seconds"] = timed["chosen"], timed["seconds"]
    pace = Pace(options.inner_steps, options.batch_size, rate or 0.0, bfloat16=dtype == "bfloat16")
    if rate is None:
        tried = remembered(task.run.folder / "rates.json", partial(_try_rates, ready, pace))
        rate, measured["sweep"] = tried["chosen"], tried["rates"]
    return replace(pace, rate=rate), {**measured, "settled_rate": rate}


def _try_rates(ready: Ready, pace: Pace) -> dict[str, Any]:
    """The smallest rate that can't be told from the best: of adapting the base to a few training tasks, measured on their other rows."""
    shots = min(ready.held_out.shots, max(map(len, ready.train)) - 1)
    tasks = comparable(ready.train, shots)[:TRIED]
    rows: dict[str, Row] = {row.id: row for row in ready.rows["train"].every}
    trial = HeldOut(replace(ready.task, validation=ready.task.train), tasks, rows, shots, ready.task.run.seed)
    model, losses = ready.task.new_model(), dict[float, FloatArray]()
    for rate in RATES:
        losses[rate] = np.array([each["after"]["loss"] for each in trial.look(model, replace(pace, rate=rate))])
    chosen, table = choose_rate(losses, [small.name for small in tasks])
    return {"chosen": chosen, "rates": table}
