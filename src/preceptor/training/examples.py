"""Turn a snapshot's rows into tokenized training examples and length-sorted batches, and report what is excluded or truncated.

Rows are checked before anything is trained. Batches hold rows of similar length, which saves padding. A posterior over texts becomes
several rows, one an answer, weighted by its probability. `measure_row_tokens` reports for a base which texts would be truncated, which
answers would be lost, and which rows teach nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

import numpy as np

from preceptor.errors import UserError
from preceptor.models.batching import encode_texts
from preceptor.models.chat_template import (
    RENDER_ERROR_REASONS,
    RenderedConversation,
    RenderError,
    build_conversation,
    render_chat_text,
    render_conversation,
)
from preceptor.models.loading import get_context_length
from preceptor.training.losses import TeacherTopK
from preceptor.training.recipe import SplitName, TrainingRow, TrainingRun
from preceptor.types import FloatArray, IntArray, render_content

MAX_LISTED_ROWS = 20  # rows that are listed by their ids


def format_exclusion_reasons(counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    """Format the counts by reason as text.

    words: what each reason means; each kind of row has its own reasons.
    """
    return "; ".join(f"{count:,} × {words[reason]}" for reason, count in sorted(counts.items()))


def list_excluded_rows(left_out: Iterable[tuple[str, str, str]], words: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the first `MAX_LISTED_ROWS` of the excluded rows, each with split, id, reason and what the reason means.

    left_out: (split, id, reason) of each row. words: what each reason means.
    """
    return [
        {"split": split, "id": id_, "reason": reason, "summary": words[reason]} for split, id_, reason in islice(left_out, MAX_LISTED_ROWS)
    ]


# Sorting within this many batches keeps nearly all of the saved padding and leaves the batches' make-up random.
_POOL_BATCHES = 32


class LengthBatches:
    """Batches of row numbers, each row once an epoch, rows of similar length together.

    Rows are shuffled, sorted by length within pools of `_POOL_BATCHES` batches, cut into batches, and the batches shuffled. The order
    depends on seed and epoch alone, so a resumed run sees what it would have seen.

    A batch is `batch_size` rows, or with `tokens` as many as fit that many tokens, padding included; a longer row is a batch of its own.
    Then every epoch has the same batches in another order, since the Trainer must know how many there are.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, tokens: int | None = None) -> None:
        self.lengths, self.batch_size, self.seed, self.tokens, self.epoch = np.asarray(lengths), batch_size, seed, tokens, 0
        self.fixed = None if tokens is None else self._cut(np.random.default_rng(seed))

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) if self.fixed is None else len(self.fixed)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the batches have; the Trainer calls this before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        batches = self.fixed or self._cut(random)
        for number in random.permutation(len(batches)):
            yield batches[number]

    def first_rows(self, epoch: int, count: int) -> Iterator[int]:
        """Yield the rows of the first `count` batches of an epoch."""
        twin = copy(self)
        twin.set_epoch(epoch)
        return chain.from_iterable(islice(twin, count))

    def _cut(self, random: np.random.Generator) -> list[list[int]]:
        order = random.permutation(len(self.lengths))
        rows = self.batch_size if self.tokens is None else max(1, round(self.tokens / max(1.0, float(self.lengths.mean()))))
        pools = [order[start : start + rows * _POOL_BATCHES] for start in range(0, len(order), rows * _POOL_BATCHES)]
        ranked = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        starts = self._starts(ranked)
        return [ranked[start:stop].tolist() for start, stop in zip(starts, [*starts[1:], len(ranked)], strict=True)]

    def _starts(self, ranked: IntArray) -> list[int]:
        """Return where each batch begins in the ranked rows."""
        if self.tokens is None:
            return list(range(0, len(ranked), self.batch_size))
        starts, longest = [0], 0
        for at, length in enumerate(self.lengths[ranked].tolist()):
            longest = max(longest, length)
            if at > starts[-1] and longest * (at + 1 - starts[-1]) > self.tokens:
                starts.append(at)
                longest = length
        return starts


@dataclass(frozen=True)
class TrainingExamples:
    """Rows ready to train on.

    tokens: ids of each row. targets: what is learnt, one a row: a distribution over answers (n, answers), or a mask of the supervised
    tokens. weights: how much each row counts, (n,). supervised_counts: number of targets in each row, its supervised tokens or 1, (n,).
    ids, groups: of each row. excluded: number of rows that were left out, by reason. teacher_topk: a teacher's predictions of each row, for
    rows that learn from one.
    """

    tokens: Sequence[Sequence[int]]
    targets: Any
    weights: FloatArray
    supervised_counts: IntArray
    ids: Sequence[str]
    groups: Sequence[str]
    excluded: Mapping[str, int] = field(default_factory=dict)
    teacher_topk: Sequence[TeacherTopK | None] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> int:
        return row  # a batch is collated from row numbers at once, see `TrainingObjective.batch`

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(ids) for ids in self.tokens]

    @property
    def loss_weights(self) -> FloatArray:
        """How much each row counts in the mean loss, (n,)."""
        return self.weights * self.supervised_counts

    def select(self, rows: Sequence[int]) -> TrainingExamples:
        """Return these rows only, in this order."""
        picked = np.asarray(rows, dtype=np.int64)
        return TrainingExamples(
            [self.tokens[row] for row in rows],
            self.targets[picked] if isinstance(self.targets, np.ndarray) else [self.targets[row] for row in rows],
            self.weights[picked],
            self.supervised_counts[picked],
            [self.ids[row] for row in rows],
            [self.groups[row] for row in rows],
            self.excluded,
            [self.teacher_topk[row] for row in rows] if self.teacher_topk else (),
        )

    def concatenate(self, more: TrainingExamples) -> TrainingExamples:
        """Return these rows followed by those of `more`, whose targets must be of the same kind."""
        lessons = [*(self.teacher_topk or [None] * len(self)), *(more.teacher_topk or [None] * len(more))]
        return TrainingExamples(
            [*self.tokens, *more.tokens],
            np.concatenate([self.targets, more.targets]) if isinstance(self.targets, np.ndarray) else [*self.targets, *more.targets],
            np.concatenate([self.weights, more.weights]),
            np.concatenate([self.supervised_counts, more.supervised_counts]),
            [*self.ids, *more.ids],
            [*self.groups, *more.groups],
            self.excluded,
            lessons if any(lessons) else (),
        )

    def sample(self, most: int, seed: int) -> TrainingExamples:
        """Return at most `most` rows, sampled by seed."""
        return self.select(np.random.default_rng(seed).permutation(len(self))[:most].tolist())


def resolve_max_tokens(run: TrainingRun, tokenizer: Any, options: Any) -> int:
    """Return the most tokens that a row may have: `max_tokens`, or the base's context length where the default is more.

    Raises UserError where `max_tokens` is set to more than the base reads.
    """
    reads = get_context_length(run.base, tokenizer)
    if options.max_tokens > reads and "max_tokens" in options.model_fields_set:
        base = run.base_name or run.base.name
        raise UserError(f"max_tokens={options.max_tokens} is more than {base} reads at once", f"at most {reads:,}, or another base")
    return int(min(options.max_tokens, reads))


def read_rows(
    run: TrainingRun, split: SplitName, *, rows: int | None = None, answers: bool = True, several: bool = False
) -> list[TrainingRow]:
    """Return the split's rows, or the first `rows` of their nested order.

    Raises UserError when there are none; with `answers`, when the targets are texts or one of the snapshot's answers is missing in
    training; and where several labels apply at once, unless the recipe can learn `several`.
    """
    read, many = list(run.snapshot.rows(split)), run.snapshot.target_kind == "multilabel"
    if many and not several:
        raise UserError("several labels may apply to a row of this snapshot, which this recipe can't learn", "preceptor train classify")
    if answers and not run.snapshot.answers:
        raise UserError("the targets of this snapshot are texts, and there are no answers to choose among", "preceptor train sft")
    if not read:
        raise UserError(f"the snapshot's {split} split is empty", "add rows of more groups, for a group stays on one side")
    taken = read if rows is None else order_nested(read, run.seed, spread=answers, several=many)[:rows]
    if answers and split == "train":
        _check_answer_coverage(read, run.snapshot.answers, several=many)
        if not many and rows is not None and rows < len(run.snapshot.answers):
            raise UserError(
                f"max_train_rows={rows} can't show each of {len(run.snapshot.answers)} answers",
                f"max_train_rows={len(run.snapshot.answers)} at least",
            )
    return taken


def _check_answer_coverage(rows: Sequence[TrainingRow], answers: Sequence[str], *, several: bool) -> None:
    missing = sorted(set(answers) - {answer for row in rows for answer in supervised_answers(row, several=several)})
    if missing:
        names = ", ".join(repr(answer) for answer in missing)
        raise UserError(
            f"no training row has {names} as its answer", "collect judgments that give it, or merge it: preceptor question edit"
        )


def order_nested(rows: Sequence[TrainingRow], seed: int, *, spread: bool = True, several: bool = False) -> list[TrainingRow]:
    """Return the rows in an order whose prefixes are samples of every size, each containing the smaller ones.

    The order is by a hash of seed and row id, and with `spread` the first row of each answer is moved to the front, so that no prefix of at
    least as many rows as answers lacks one. Rows are sampled singly, not by group: a prefix spreads over the groups as the whole does, and
    a learning curve shows what more rows of this kind bring.
    """
    ordered = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row.id}".encode()).digest())
    if not spread:
        return ordered
    first: dict[str, TrainingRow] = {}
    for row in ordered:
        for answer in supervised_answers(row, several=several):
            first.setdefault(answer, row)
    ahead = {row.id for row in first.values()}
    return sorted(ordered, key=lambda row: row.id not in ahead)


def supervised_answers(row: TrainingRow, *, several: bool) -> list[str]:
    """Return the row's most probable answer, or with `several` the labels that are more likely than not to apply."""
    return [label for label, chance in row.target.items() if chance > 0.5] if several else [top_answer(row)]


def top_answer(row: TrainingRow) -> str:
    """Return the row's most probable answer; a tie goes to the earlier one."""
    return max(row.target, key=lambda answer: row.target[answer])


def build_label_examples(
    rows: Sequence[TrainingRow], answers: Sequence[str], tokenizer: Any, *, max_tokens: int, hard: bool, several: bool = False
) -> TrainingExamples:
    """Tokenize rows once and lay out their targets in the order of `answers`.

    hard: keep only what `supervised_answers` returns of each row.
    """
    targets = np.array([[row.target.get(answer, 0.0) for answer in answers] for row in rows])
    if hard:
        targets = (targets > 0.5).astype(np.float64) if several else np.eye(len(answers))[targets.argmax(axis=1)]
    return TrainingExamples(
        tokens=encode_texts(tokenizer, [row.text for row in rows], max_tokens),
        targets=targets,
        weights=np.array([row.weight for row in rows], dtype=np.float64),
        supervised_counts=np.ones(len(rows), dtype=np.int64),
        ids=[row.id for row in rows],
        groups=[row.group for row in rows],
    )


def build_masked_examples(
    ids: Iterable[str],
    groups: Iterable[str],
    rendered: Iterable[RenderedConversation],
    weights: Sequence[float],
    left_out: Mapping[str, int] | None = None,
) -> TrainingExamples:
    """Return conversations as rows with a mask of their supervised tokens.

    left_out: number of rows that were excluded, by reason.
    """
    cut = list(rendered)
    masks = [np.array(each.supervised, dtype=bool) for each in cut]
    return TrainingExamples(
        tokens=[each.tokens for each in cut],
        targets=masks,
        weights=np.array(weights, dtype=np.float64),
        supervised_counts=np.array([mask[1:].sum() for mask in masks], dtype=np.int64),
        ids=list(ids),
        groups=list(groups),
        excluded=left_out or {},
    )


TargetMode = Literal["soft", "certain", "hard"]
MIN_ANSWER_PROBABILITY = 0.02  # less probable answers are dropped: each is a row more to read, with hardly a gradient
CERTAINTY_FLOOR = 0.5  # an answer no more certain than this weighs nothing under "certain"


@dataclass(frozen=True, slots=True)
class SingleAnswerRow:
    """A row with one of its answers, and the weight of that."""

    id: str
    content: Mapping[str, Any]
    target: Mapping[str, float]
    weight: float
    group: str

    @property
    def text(self) -> str:
        return render_content(self.content)


def expand_answers(rows: Sequence[TrainingRow], targets: TargetMode) -> list[SingleAnswerRow]:
    """Return the rows with one answer each, in their order; the answers of one row, most probable first, have its id and group.

    soft: every answer of at least `MIN_ANSWER_PROBABILITY`, weighted by its probability, so that a row's loss is the cross-entropy of whole
    answers and no lower than the posterior's entropy. certain: the most probable one, weighted by clip((c − c0)/(1 − c0), 0, 1) with its
    probability c and c0 = `CERTAINTY_FLOOR`; rows of weight 0 stay in the list, to be counted. hard: the most probable one, at the row's
    own weight. A text that somebody wrote has probability 1 and is the same in all three.
    """
    return [
        SingleAnswerRow(row.id, row.content, {answer: 1.0}, row.weight * share, row.group)
        for row in rows
        for answer, share in _answer_weights(row, targets)
    ]


def _answer_weights(row: TrainingRow, targets: TargetMode) -> Iterator[tuple[str, float]]:
    top = top_answer(row)
    if targets == "soft":
        ranked = sorted(row.target.items(), key=lambda pair: (pair[0] != top, -pair[1]))
        yield from ((answer, chance) for answer, chance in ranked if chance >= MIN_ANSWER_PROBABILITY)
    elif targets == "certain":
        yield top, min(max((row.target[top] - CERTAINTY_FLOOR) / (1 - CERTAINTY_FLOOR), 0.0), 1.0)
    else:
        yield top, 1.0


_NO_LIMIT = 10**6  # tokens: no text is truncated here
_QUOTED_CHARACTERS = 80  # characters that are quoted of the part that isn't read


@dataclass(frozen=True, slots=True)
class RowTokenization:
    """How one row is tokenized for one base.

    tokens: number in the whole row. limit: how many are read. supervised_tokens: how many are learnt, 1 for a class. problem: "" where
    there is none; "cut" where a classifier reads only the beginning; "prompt too long" where not even the prompt fits; else a key of
    `RENDER_ERROR_REASONS`: the row would be left out. explanation: the problem in words. truncated: the text that isn't read.
    """

    id: str
    split: str
    tokens: int
    limit: int
    supervised_tokens: int
    problem: str = ""
    explanation: str = ""
    truncated: str = ""


def measure_row_tokens(
    splits: Mapping[str, Sequence[TrainingRow]], tokenizer: Any, max_tokens: int, *, writes: bool
) -> list[RowTokenization]:
    """Return the tokenization of each row of each split, in order.

    writes: rows are prompts with their most probable completion, else texts with an answer. The tokenizer is the one that training uses
    (`prepare_tokenizer` for a generative model, `load_tokenizer` for a classifier).
    """
    of_split = _measure_completions if writes else _measure_texts
    return [fact for split, rows in splits.items() for fact in of_split(split, rows, tokenizer, max_tokens)]


def _measure_texts(split: str, rows: Sequence[TrainingRow], tokenizer: Any, limit: int) -> Iterator[RowTokenization]:
    for row, ids in zip(rows, encode_texts(tokenizer, [row.text for row in rows], _NO_LIMIT), strict=True):
        if row.weight <= 0:
            yield RowTokenization(row.id, split, len(ids), limit, 0, "weight", RENDER_ERROR_REASONS["weight"])
        elif not row.text.strip():
            yield RowTokenization(
                row.id, split, len(ids), limit, 1, "empty", "the text is empty: there is nothing to learn its answer from"
            )
        elif len(ids) > limit:
            lost = _truncated_part(tokenizer, row.text, limit)
            words = f"{limit:,} of {len(ids):,} tokens are read; the rest isn't, from {lost[:_QUOTED_CHARACTERS]!r} on"
            yield RowTokenization(row.id, split, len(ids), limit, 1, "cut", words, lost)
        else:
            yield RowTokenization(row.id, split, len(ids), limit, 1)


def _measure_completions(split: str, rows: Sequence[TrainingRow], tokenizer: Any, limit: int) -> Iterator[RowTokenization]:
    for row in rows:
        turns = build_conversation(row.content, top_answer(row))
        try:
            if row.weight <= 0:
                raise RenderError("weight")
            found = render_conversation(tokenizer, turns, _NO_LIMIT)
        except RenderError as refused:
            yield RowTokenization(row.id, split, 0, limit, 0, refused.reason, RENDER_ERROR_REASONS[refused.reason])
            continue
        learnt = sum(found.supervised)
        if len(found.tokens) <= limit:
            yield RowTokenization(row.id, split, len(found.tokens), limit, learnt)
        elif found.prompt_length >= limit:
            lost = _truncated_part(tokenizer, render_chat_text(tokenizer, turns[:-1], answering=True), limit, special=False)
            words = (
                f"the prompt alone has {found.prompt_length:,} tokens, of which "
                f"{limit:,} would be read: nothing of the answer would be learnt"
            )
            yield RowTokenization(row.id, split, len(found.tokens), limit, 0, "prompt too long", words, lost)
        else:
            words = (
                f"prompt ({found.prompt_length:,}) and completion "
                f"({len(found.tokens) - found.prompt_length:,}) have more than {limit:,} tokens:"
            )
            words += " the answer would be cut, its end never learnt"
            lost = tokenizer.decode(found.tokens[limit:])
            yield RowTokenization(row.id, split, len(found.tokens), limit, learnt, "too long", words, lost)


def _truncated_part(tokenizer: Any, text: str, limit: int, *, special: bool = True) -> str:
    """Return the text that isn't among the first `limit` tokens; empty where the tokenizer has no offsets."""
    if not tokenizer.is_fast:
        return ""
    cut = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True, add_special_tokens=special)
    return text[max((end for _, end in cut["offset_mapping"]), default=0) :]
