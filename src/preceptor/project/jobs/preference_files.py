"""Preference files as OpenAI's fine-tuning by dpo takes them: checked line by line, and brought into the project as comparisons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.domain import Annotator, Item, digest_of
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.project.contents import content_id
from preceptor.project.jobs.training_files import checked, turns_in, turns_of
from preceptor.project.told import PREFERENCE, take_told, told_of
from preceptor.snapshots import Row
from preceptor.snapshots.preferences import pair_rows

if TYPE_CHECKING:
    from preceptor.project.project import Project

SIDES = ("preferred_output", "non_preferred_output")
_ANSWER = '[{"role": "assistant", "content": "…"}]'
_FORM = f'{{"input": {{"messages": [{{"role": "user", "content": "…"}}]}}, "{SIDES[0]}": {_ANSWER}, "{SIDES[1]}": {_ANSWER}}}'


class Preference(NamedTuple):
    """What is asked, turn by turn, and two answers."""

    turns: list[dict[str, Any]]
    preferred: str
    other: str


def check_file(path: Path, name: str) -> int:
    """How many examples a file holds; Malformed with its first faults, each with line and field. Reads it row by row."""
    return checked(path, name, preference, _FORM)


def preference(row: Mapping[str, Any]) -> Preference:
    """A row's prompt and answers; UserError with the field of its first fault."""
    for name in row:
        if name not in ("input", *SIDES):
            raise UserError("there is no such field", "leave it out", where=name)
    asked = row.get("input")
    if not isinstance(asked, Mapping):
        raise UserError("must be an object with messages", where="input")
    try:
        turns = turns_in(asked)
    except UserError as fault:
        raise UserError(fault.message, fault.hint, where=f"input.{fault.where}") from None
    if turns[-1]["role"] != "user":
        raise UserError("must be what the user asks last", "answers stand in the outputs", where=f"input.messages[{len(turns) - 1}].role")
    preferred, other = (_answer(row.get(side), side) for side in SIDES)
    if preferred.strip() == other.strip():
        raise UserError(f"is the same as {SIDES[0]}, so that there is nothing to prefer", where=SIDES[1])
    return Preference(turns, preferred, other)


def take_in(project: Project, path: Path, name: str) -> dict[str, Item]:
    """Bring a checked file's examples into the project: comparisons, and what is preferred as judgments of the file; items by id.

    The same two answers to the same prompt are one item, whichever of them is preferred, and the same file again changes nothing.
    """
    return take_told(project, PREFERENCE, Annotator(f"import:{name}", kind="import"), _told(path))


def rows_of(project: Project, taken: Mapping[str, Item], name: str, fractions: Mapping[str, float]) -> tuple[list[Row], dict[str, Any]]:
    """The examples of the file of that name as rows on their sides, and what a manifest says of how they came about.

    Where its lines contradict each other about two answers, each has half of the probability.
    """
    targets, lineage = {}, {}
    for item, told in told_of(project, PREFERENCE, taken.keys()).items():
        own = [(str(said["winner"]), number) for who, said, number in told if who == f"import:{name}"]
        votes = Counter(winner for winner, _ in own)
        targets[item] = {winner: count / votes.total() for winner, count in sorted(votes.items())}
        lineage[item] = [number for _, number in own]
    return pair_rows(list(taken.values()), targets, lineage, fractions=fractions)


def _told(path: Path) -> Iterator[tuple[Item, dict[str, Any], str]]:
    """Which answer comes first is drawn by their text, so that the place says nothing of which is better."""
    for turns, preferred, other in map(preference, read(path, "jsonl")):
        responses = sorted((preferred, other), key=lambda answer: digest_of([turns, answer]))
        content = {"messages": turns, "responses": responses}
        item, winner = Item(content_id(content), content, content_id({"messages": turns})), responses.index(preferred)
        yield item, {"winner": winner, "order": None, "reasons": ""}, json.dumps([item.id, winner])


def _answer(output: Any, side: str) -> str:
    turns = turns_of(output, side)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise UserError("must be one message of the assistant", f"as in {_ANSWER}", where=side)
    if "weight" in turns[0]:
        raise UserError("both answers of a pair count", "leave it out", where=f"{side}[0].weight")
    return str(turns[0]["content"])
