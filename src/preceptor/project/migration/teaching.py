"""The hosted model's answers while it lives: paid for once, kept at once, and brought in as judgments of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Item
from preceptor.project.jobs.training_files import take_in
from preceptor.project.migration.gathering import Gathered, write_lines
from preceptor.project.migration.sources import Source
from preceptor.providers import Answer, HostedProvider
from preceptor.providers.prices import text_tokens
from preceptor.recipes import Progress
from preceptor.snapshots import Row

if TYPE_CHECKING:
    from preceptor.project.project import Project

MOST_TOKENS = 2048  # of an answer
FEWEST_TOKENS = 16


@dataclass(frozen=True)
class Taught:
    """What the hosted model answered, by row id; and its answers to training questions as items that end with them."""

    answers: dict[str, Answer]
    items: dict[str, Item]
    empty: int
    paid: float
    again: int


def longest(rows: Sequence[Row]) -> int:
    """How many tokens an answer may have: twice the longest reference."""
    return most_tokens(max(text_tokens(row.answer) for row in rows))


def most_tokens(longest: int) -> int:
    """The same from the longest reference's tokens."""
    return max(FEWEST_TOKENS, min(MOST_TOKENS, 2 * longest))


def asked_rows(gathered: Gathered, *, training: bool) -> list[Row]:
    """The rows whose questions the hosted model is asked: those held out, and with `training` all."""
    return [row for row in gathered.rows if training or row.split != "train"]


def how(gathered: Gathered) -> dict[str, Any]:
    """The settings of its answers: the most probable ones."""
    return {"max_tokens": longest(gathered.rows), "temperature": 0.0, "seed": 0}


def turns(row: Row) -> list[dict[str, str]]:
    """A row's question as it is sent."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in row.content["messages"]]


def teach(
    project: Project, source: Source, provider: HostedProvider, gathered: Gathered, *, training: bool, tell: Callable[[Progress], None]
) -> Taught:
    """Ask the hosted model; nothing is sent where the budget doesn't suffice for all of it."""
    rows = asked_rows(gathered, training=training)

    def heard(done: int, total: int) -> None:
        tell(Progress(f"asking {source.hosted}", done, total))

    given = provider.answers([turns(row) for row in rows], how(gathered), progress=heard)
    answers = {row.id: answer for row, answer in zip(rows, given, strict=True)}
    written = [row for row in rows if answers[row.id].text.strip() and not answers[row.id].refused]
    items: dict[str, Item] = {}
    for side in ("held", "train"):
        lines = [_line(row, answers[row.id].text) for row in written if (row.split == "train") == (side == "train")]
        if lines:
            path = source.folder / f"answers-{side}.jsonl"
            write_lines(path, lines)
            taken = take_in(project, path, source.hosted, kind="model")
            items = taken if side == "train" else items
    return Taught(answers, items, len(rows) - len(written), provider.budget.spent, provider.again)


def _line(row: Row, text: str) -> dict[str, Any]:
    """A row with the hosted model's answer; earlier answers are learnt as they were."""
    before = [{name: value for name, value in turn.items() if (name, value) != ("weight", 1)} for turn in row.content["messages"]]
    return {"messages": [*before, {"role": "assistant", "content": text}]}
