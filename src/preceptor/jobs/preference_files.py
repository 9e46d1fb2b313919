"""Read preference files in the form of OpenAI's DPO fine-tuning: check them line by line, and import them as comparisons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.annotation.implicit_questions import PREFERENCE, import_labelled, read_implicit_answers
from preceptor.annotation.row_parser import make_content_id
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.jobs.training_files import count_valid_examples, parse_chat_object, parse_messages
from preceptor.storage.snapshot_rows import SnapshotRow, build_pair_rows
from preceptor.types import Annotator, Item, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


OUTPUT_FIELDS = ("preferred_output", "non_preferred_output")
_ANSWER_FORM = '[{"role": "assistant", "content": "…"}]'
_LINE_FORM = (
    f'{{"input": {{"messages": [{{"role": "user", "content": "…"}}]}}, '
    f'"{OUTPUT_FIELDS[0]}": {_ANSWER_FORM}, "{OUTPUT_FIELDS[1]}": {_ANSWER_FORM}}}'
)


class PreferenceExample(NamedTuple):
    """A prompt (messages) and two answers to it, the preferred and the rejected one."""

    messages: list[dict[str, Any]]
    preferred: str
    rejected: str


def check_file(path: Path, name: str) -> int:
    """Count the examples of a preference file, row by row. Raises MalformedTrainingFile with its first errors, each with line and field."""
    return count_valid_examples(path, name, parse_preference, _LINE_FORM)


def parse_preference(row: Mapping[str, Any]) -> PreferenceExample:
    """Parse a row into its prompt and answers. Raises UserError that names the field of the first error."""
    for name in row:
        if name not in ("input", *OUTPUT_FIELDS):
            raise UserError("there is no such field", "leave it out", where=name)
    asked = row.get("input")
    if not isinstance(asked, Mapping):
        raise UserError("must be an object with messages", where="input")
    try:
        turns = parse_chat_object(asked)
    except UserError as fault:
        raise UserError(fault.message, fault.hint, where=f"input.{fault.where}") from None
    if turns[-1]["role"] != "user":
        raise UserError("must be what the user asks last", "answers stand in the outputs", where=f"input.messages[{len(turns) - 1}].role")
    preferred, other = (_parse_answer(row.get(side), side) for side in OUTPUT_FIELDS)
    if preferred.strip() == other.strip():
        raise UserError(f"is the same as {OUTPUT_FIELDS[0]}, so that there is nothing to prefer", where=OUTPUT_FIELDS[1])
    return PreferenceExample(turns, preferred, other)


def import_examples(project: Project, path: Path, name: str) -> dict[str, Item]:
    """Import the examples of a checked file as comparisons, the preferences as judgments of the file; return the items by id.

    The same two answers to the same prompt are one item, whichever of them is preferred; importing the same file again changes nothing.
    """
    return import_labelled(project, PREFERENCE, Annotator(f"import:{name}", kind="import"), _labelled_items(path))


def build_rows(
    project: Project, taken: Mapping[str, Item], name: str, fractions: Mapping[str, float]
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Build the snapshot rows of the file's examples, with their splits, and the manifest fields that describe how they came about.

    Where lines of the file contradict each other about a pair of answers, each answer gets its share of the votes as its probability.
    """
    targets, lineage = {}, {}
    for item, told in read_implicit_answers(project, PREFERENCE, taken.keys()).items():
        own = [(str(said["winner"]), number) for who, said, number in told if who == f"import:{name}"]
        votes = Counter(winner for winner, _ in own)
        targets[item] = {winner: count / votes.total() for winner, count in sorted(votes.items())}
        lineage[item] = [number for _, number in own]
    return build_pair_rows(list(taken.values()), targets, lineage, fractions=fractions)


def _labelled_items(path: Path) -> Iterator[tuple[Item, dict[str, Any], str]]:
    """Yield each example as an item with its judgment.

    The order of the two answers follows a hash of their texts, so that position doesn't reveal the preference.
    """
    for turns, preferred, other in map(parse_preference, read(path, "jsonl")):
        responses = sorted((preferred, other), key=lambda answer: json_digest([turns, answer]))
        content = {"messages": turns, "responses": responses}
        item, winner = Item(make_content_id(content), content, make_content_id({"messages": turns})), responses.index(preferred)
        yield item, {"winner": winner, "order": None, "reasons": ""}, json.dumps([item.id, winner])


def _parse_answer(output: Any, side: str) -> str:
    turns = parse_messages(output, side)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise UserError("must be one message of the assistant", f"as in {_ANSWER_FORM}", where=side)
    if "weight" in turns[0]:
        raise UserError("both answers of a pair count", "leave it out", where=f"{side}[0].weight")
    return str(turns[0]["content"])
