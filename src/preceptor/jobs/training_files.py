"""Read chat files in the form of OpenAI's fine-tuning: check them line by line, and import them as items with their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.annotation.implicit_questions import COMPLETION, get_completion, import_labelled, read_implicit_answers
from preceptor.annotation.row_parser import make_content_id
from preceptor.errors import UserError
from preceptor.formats import FormatReader, read
from preceptor.storage.snapshot_rows import SnapshotRow, build_text_rows
from preceptor.types import Annotator, Item

if TYPE_CHECKING:
    from preceptor.project import Project


MIN_TRAINING_EXAMPLES = 10  # examples, as at OpenAI
_MAX_REPORTED_ERRORS = 5  # errors that are reported in full
_ROLE_NAMES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TOOL_FIELDS = ("tools", "functions")
_IGNORED_FIELDS = ("parallel_tool_calls",)  # without tools
_UNSUPPORTED_MESSAGE_FIELDS = ("name", "tool_calls", "function_call", "tool_call_id", "refusal", "audio", "annotations")
_LINE_FORM = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


class MalformedTrainingFile(UserError):
    """Raised for a file that can't be trained on; the message names lines and fields."""


def check_file(path: Path, name: str) -> int:
    """Count the examples of a chat file, row by row. Raises MalformedTrainingFile with its first errors, each with line and field."""
    return count_valid_examples(path, name, parse_conversation, _LINE_FORM)


def count_valid_examples(path: Path, name: str, read_row: Callable[[Mapping[str, Any]], Any], form: str) -> int:
    """Count the examples of a file in any line format, row by row.

    Raises MalformedTrainingFile with its first errors, each with line and field. read_row: raises UserError that names the field of a
    row's first error. form: an example of a line, for the message.
    """
    faults, count, examples = [], 0, 0
    for fault in _iterate_errors(_open_file(path, name), read_row):
        if fault is None:
            examples += 1
            continue
        count += 1
        if count <= _MAX_REPORTED_ERRORS:
            faults.append(fault)
    if faults:
        more = f"; and {count - _MAX_REPORTED_ERRORS:,} more lines" if count > _MAX_REPORTED_ERRORS else ""
        raise MalformedTrainingFile(f"{name} can't be trained on. {'; '.join(faults)}{more}", f"each line is {form}")
    if examples < MIN_TRAINING_EXAMPLES:
        raise MalformedTrainingFile(f"{name} has {examples} examples; fine-tuning takes at least {MIN_TRAINING_EXAMPLES}", "add more")
    return examples


def read_conversations(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the conversations of a checked file, each up to its last answer that is trained on.

    Messages after it have no effect on training.
    """
    for row in read(path, "jsonl"):
        yield parse_conversation(row)


def parse_conversation(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parse a row into messages with role and content (and weight 0 for an answer that isn't trained on).

    Raises UserError that names the field of the first error.
    """
    turns = parse_chat_object(row)
    learnt = [at for at, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("weight") != 0]
    if not learnt:
        raise UserError("holds no message of the assistant that could be learnt", "the last one usually is the answer", where="messages")
    if learnt[0] == 0:
        raise UserError("begins with the answer", "put what is asked before it", where="messages[0].role")
    return turns[: learnt[-1] + 1]


def parse_chat_object(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parse the messages of an object that may hold nothing else, except for empty tool fields."""
    for name in row:
        if name in _TOOL_FIELDS and row[name]:
            raise UserError("the models here call no tools", "leave tools out", where=name)
        if name not in ("messages", *_TOOL_FIELDS, *_IGNORED_FIELDS):
            raise UserError("there is no such field", "leave it out", where=name)
    return parse_messages(row.get("messages"), "messages")


def parse_messages(messages: Any, place: str) -> list[dict[str, Any]]:
    """Parse a list of messages into dictionaries of role and content. place: the field, for error messages."""
    if not isinstance(messages, list) or not messages:
        raise UserError("must be a list of messages", where=place)
    return [_parse_message(message, f"{place}[{number}]") for number, message in enumerate(messages)]


def import_examples(project: Project, path: Path, name: str, *, kind: str = "import") -> dict[str, Item]:
    """Import the examples of a checked file as items, and their answers as judgments of the file; return the items by id.

    kind: `model` where a model wrote the answers, which are then its judgments. Rows are written a thousand at a time, so that people who
    work meanwhile don't wait; importing the same file again changes nothing. Nobody is asked about these items, and equal examples are one
    item.
    """
    found = ((item, {"text": target_answer(item), "from": None}, item.id) for item in map(_conversation_item, read_conversations(path)))
    return import_labelled(project, COMPLETION, Annotator(f"{kind}:{name}", kind=kind), found)


def build_rows(
    project: Project, taken: Mapping[str, Item], name: str, fractions: Mapping[str, float]
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Build the snapshot rows of the file's examples, with their splits, and the manifest fields that describe how they came about."""
    texts = {id_: target_answer(item) for id_, item in taken.items()}
    return build_text_rows(
        taken.values(), texts, find_completion_judgments(project, taken.keys()), fractions=fractions, seed=None, all_turns=True
    )


def find_completion_judgments(project: Project, wanted: Collection[str]) -> dict[str, list[int]]:
    """Return the numbers of the judgments that hold the answers of these items, by item id."""
    return {item: [number for _, _, number in told] for item, told in read_implicit_answers(project, COMPLETION, wanted).items()}


def target_answer(item: Item) -> str:
    """Return the answer that an example trains."""
    return str(get_completion(item.content))


def _open_file(path: Path, name: str) -> FormatReader:
    try:
        return read(path, "jsonl")
    except UserError as fault:
        raise MalformedTrainingFile(f"{name} can't be trained on: {fault.message}", fault.hint) from None


def _iterate_errors(rows: FormatReader, read_row: Callable[[Mapping[str, Any]], Any]) -> Iterator[str | None]:
    """Yield for each row its error as text with line and field, or None. A row that can't be read ends the file."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except UserError as fault:
            yield f"line {_line_number(fault.where)}: {fault.message}"
            return
        try:
            read_row(row)
            yield None
        except UserError as fault:
            yield f"line {_line_number(rows.where)}: {fault.where}: {fault.message}"


def _line_number(where: str) -> str:
    return where.rpartition(":")[2]


def _parse_message(message: Any, place: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise UserError("must be an object with role and content", where=place)
    role, content, weight = message.get("role"), message.get("content"), message.get("weight")
    if role not in _ROLE_NAMES:
        known = "the models here call no tools" if role in ("tool", "function") else f"roles: {', '.join(_ROLE_NAMES)}"
        raise UserError(f"{json.dumps(role, ensure_ascii=False):.60} can't be used; {known}", where=f"{place}.role")
    for name in message:
        if name in _UNSUPPORTED_MESSAGE_FIELDS and message[name]:
            raise UserError("can't be read by the models here", where=f"{place}.{name}")
        if name not in ("role", "content", "weight", *_UNSUPPORTED_MESSAGE_FIELDS):
            raise UserError("there is no such field", where=f"{place}.{name}")
    if isinstance(content, list) and all(_is_text(part) for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise UserError("must be text", where=f"{place}.content")
    if weight is not None and (role != "assistant" or type(weight) is not int or weight not in (0, 1)):
        raise UserError("must be 0 or 1, of a message of the assistant", where=f"{place}.weight")
    if role == "assistant" and weight != 0 and not content.strip():
        raise UserError("is empty, so that there is nothing to learn", where=f"{place}.content")
    return {"role": _ROLE_NAMES[role], "content": content, **({"weight": 0} if weight == 0 else {})}


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and set(part) == {"type", "text"} and part["type"] == "text" and isinstance(part["text"], str)


def _conversation_item(turns: list[dict[str, Any]]) -> Item:
    content = {"messages": turns}
    id_ = make_content_id(content)
    return Item(id_, content, id_)
