"""A snapshot's rows as token ids and what is to be learnt of them, checked before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.models.loading import reading_limit
from preceptor.models.template import Rendered
from preceptor.models.tokens import encode
from preceptor.recipes.recipe import Row, Run, Split
from preceptor.recipes.teaching import Lesson


@dataclass(frozen=True)
class Examples:
    """Rows ready to train on.

    tokens: ids of each row. targets: what is learnt, one a row: a distribution over answers (n, answers), or a mask of the
    tokens that are learnt. weights: how much each row counts, (n,). learnt: how many things are learnt of it, (n,).
    left_out: how many rows were refused, by reason. lessons: what a teacher says of each row, for rows that follow one.
    """

    tokens: Sequence[Sequence[int]]
    targets: Any
    weights: FloatArray
    learnt: IntArray
    ids: Sequence[str]
    groups: Sequence[str]
    left_out: Mapping[str, int] = field(default_factory=dict)
    lessons: Sequence[Lesson | None] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> int:
        return row  # a batch is put together from row numbers at once, see `Objective.batch`

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(ids) for ids in self.tokens]

    @property
    def mass(self) -> FloatArray:
        """How much each row counts in the mean loss, (n,)."""
        return self.weights * self.learnt

    def take(self, rows: Sequence[int]) -> Examples:
        """These rows only, in this order."""
        picked = np.asarray(rows, dtype=np.int64)
        return Examples(
            [self.tokens[row] for row in rows],
            self.targets[picked] if isinstance(self.targets, np.ndarray) else [self.targets[row] for row in rows],
            self.weights[picked],
            self.learnt[picked],
            [self.ids[row] for row in rows],
            [self.groups[row] for row in rows],
            self.left_out,
            [self.lessons[row] for row in rows] if self.lessons else (),
        )

    def followed_by(self, more: Examples) -> Examples:
        """These rows and then those of `more`, whose targets are of the same kind."""
        lessons = [*(self.lessons or [None] * len(self)), *(more.lessons or [None] * len(more))]
        return Examples(
            [*self.tokens, *more.tokens],
            np.concatenate([self.targets, more.targets]) if isinstance(self.targets, np.ndarray) else [*self.targets, *more.targets],
            np.concatenate([self.weights, more.weights]),
            np.concatenate([self.learnt, more.learnt]),
            [*self.ids, *more.ids],
            [*self.groups, *more.groups],
            self.left_out,
            lessons if any(lessons) else (),
        )

    def sample(self, most: int, seed: int) -> Examples:
        """At most so many rows, drawn by seed."""
        return self.take(np.random.default_rng(seed).permutation(len(self))[:most].tolist())


def longest_row(run: Run, tokenizer: Any, options: Any) -> int:
    """Tokens of a row at most: `max_tokens`, which by default may be more than the model reads. UserError where it is set to more."""
    reads = reading_limit(run.base, tokenizer)
    if options.max_tokens > reads and "max_tokens" in options.model_fields_set:
        base = run.base_name or run.base.name
        raise UserError(f"max_tokens={options.max_tokens} is more than {base} reads at once", f"at most {reads:,}, or another base")
    return int(min(options.max_tokens, reads))


def read_rows(run: Run, split: Split, *, rows: int | None = None, answers: bool = True, several: bool = False) -> list[Row]:
    """The split's rows, or the first `rows` of its nested order.

    UserError when there are none; with `answers`, when the targets are texts or one of the snapshot's answers is missing in
    training; and where several labels apply at once, unless the recipe can learn `several`.
    """
    read, many = list(run.snapshot.rows(split)), run.snapshot.target_kind == "multilabel"
    if many and not several:
        raise UserError("several labels may apply to a row of this snapshot, which this recipe can't learn", "preceptor train classify")
    if answers and not run.snapshot.answers:
        raise UserError("the targets of this snapshot are texts, and there are no answers to choose among", "preceptor train sft")
    if not read:
        raise UserError(f"the snapshot's {split} split is empty", "add rows of more groups, for a group stays on one side")
    taken = read if rows is None else nested(read, run.seed, spread=answers, several=many)[:rows]
    if answers and split == "train":
        _check_answers(read, run.snapshot.answers, several=many)
        if not many and rows is not None and rows < len(run.snapshot.answers):
            raise UserError(
                f"rows={rows} can't show each of {len(run.snapshot.answers)} answers", f"rows={len(run.snapshot.answers)} at least"
            )
    return taken


def _check_answers(rows: Sequence[Row], answers: Sequence[str], *, several: bool) -> None:
    missing = sorted(set(answers) - {answer for row in rows for answer in said(row, several=several)})
    if missing:
        names = ", ".join(repr(answer) for answer in missing)
        raise UserError(
            f"no training row has {names} as its answer", "collect judgments that give it, or merge it: preceptor question edit"
        )


def nested(rows: Sequence[Row], seed: int, *, spread: bool = True, several: bool = False) -> list[Row]:
    """The rows in an order whose beginnings are samples of every size, each containing the smaller ones.

    The order is by a hash of seed and row id, and with `spread` the first row of each answer is moved to the front, so that no
    beginning of at least as many rows as answers lacks one. Rows are drawn singly, not by group: a beginning spreads over the
    groups as the whole does, and a learning curve says what more rows of this kind bring.
    """
    ordered = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row.id}".encode()).digest())
    if not spread:
        return ordered
    first: dict[str, Row] = {}
    for row in ordered:
        for answer in said(row, several=several):
            first.setdefault(answer, row)
    ahead = {row.id for row in first.values()}
    return sorted(ordered, key=lambda row: row.id not in ahead)


def said(row: Row, *, several: bool) -> list[str]:
    """The row's most probable answer, or with `several` the labels that more likely apply than not."""
    return [label for label, chance in row.target.items() if chance > 0.5] if several else [top_answer(row)]


def top_answer(row: Row) -> str:
    """The row's most probable answer; a tie goes to the earlier one."""
    return max(row.target, key=lambda answer: row.target[answer])


def to_examples(
    rows: Sequence[Row], answers: Sequence[str], tokenizer: Any, *, max_tokens: int, hard: bool, several: bool = False
) -> Examples:
    """Tokenise rows once and lay out their targets in the order of `answers`; `hard` keeps what `said` says of each only."""
    targets = np.array([[row.target.get(answer, 0.0) for answer in answers] for row in rows])
    if hard:
        targets = (targets > 0.5).astype(np.float64) if several else np.eye(len(answers))[targets.argmax(axis=1)]
    return Examples(
        tokens=encode(tokenizer, [row.text for row in rows], max_tokens),
        targets=targets,
        weights=np.array([row.weight for row in rows], dtype=np.float64),
        learnt=np.ones(len(rows), dtype=np.int64),
        ids=[row.id for row in rows],
        groups=[row.group for row in rows],
    )


def masked(
    ids: Iterable[str],
    groups: Iterable[str],
    rendered: Iterable[Rendered],
    weights: Sequence[float],
    left_out: Mapping[str, int] | None = None,
) -> Examples:
    """Conversations as rows whose learnt tokens are marked."""
    cut = list(rendered)
    masks = [np.array(each.supervised, dtype=bool) for each in cut]
    return Examples(
        tokens=[each.tokens for each in cut],
        targets=masks,
        weights=np.array(weights, dtype=np.float64),
        learnt=np.array([mask[1:].sum() for mask in masks], dtype=np.int64),
        ids=list(ids),
        groups=list(groups),
        left_out=left_out or {},
    )
