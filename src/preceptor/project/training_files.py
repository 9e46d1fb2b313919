"""Chat files as OpenAI's fine-tuning takes them: checked line by line, and brought into the project as items with their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Annotator, Item
from preceptor.errors import UserError
from preceptor.formats import Rows, read
from preceptor.project.contents import content_id
from preceptor.project.told import COMPLETION, completion_of
from preceptor.store import batched, items, journal, people, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

FEWEST = 10  # examples, as at OpenAI
SHOWN = 5  # faults that are told in full
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TOOLS = ("tools", "parallel_tool_calls", "functions")
_EMPTY = ("name", "tool_calls", "function_call", "tool_call_id", "refusal", "audio", "annotations")
_FORM = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


class Malformed(UserError):
    """A training file that can't be trained on; the message names lines and fields."""


def check_file(path: Path, name: str) -> int:
    """How many examples a file holds; Malformed with its first faults, each with line and field. Reads it row by row."""
    faults, count, examples = [], 0, 0
    for fault in _faults(_readable(path, name)):
        if fault is None:
            examples += 1
            continue
        count += 1
        if count <= SHOWN:
            faults.append(fault)
    if faults:
        more = f"; and {count - SHOWN:,} more lines" if count > SHOWN else ""
        raise Malformed(f"{name} can't be trained on. {'; '.join(faults)}{more}", f"each line is {_FORM}")
    if examples < FEWEST:
        raise Malformed(f"{name} has {examples} examples; fine-tuning takes at least {FEWEST}", "add more")
    return examples


def conversations(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The conversations of a file that has been checked, each up to the last answer that is learnt: what follows teaches nothing."""
    for row in read(path, "jsonl"):
        yield conversation(row)


def conversation(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row's turns, role and text (and weight 0 where an answer isn't learnt); UserError with the field of its first fault."""
    for name in row:
        if name in _TOOLS and row[name]:
            raise UserError("the models here call no tools", "leave tools out", where=name)
        if name not in ("messages", *_TOOLS):
            raise UserError("there is no such field", "leave it out", where=name)
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UserError("must be a list of messages", where="messages")
    turns = [_turn(message, f"messages[{number}]") for number, message in enumerate(messages)]
    learnt = [at for at, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("weight") != 0]
    if not learnt:
        raise UserError("holds no message of the assistant that could be learnt", "the last one usually is the answer", where="messages")
    if learnt[0] == 0:
        raise UserError("begins with the answer", "put what is asked before it", where="messages[0].role")
    return turns[: learnt[-1] + 1]


def take_in(project: Project, path: Path, name: str, *, kind: str = "import") -> dict[str, Item]:
    """Bring a checked file's examples into the project: items, and their answers as judgments of the file; the items by id.

    kind: model, where one wrote the answers, which are then its judgments. A thousand at a time, so that people who work
    meanwhile don't wait; the same file again changes nothing. Nobody is asked about these items, and the same example twice is
    one item.
    """
    annotator, found = f"{kind}:{name}", dict[str, Item]()
    with project.database.writing() as connection:
        questions.add(connection, COMPLETION)
        people.add(connection, [Annotator(annotator, kind=kind)])
        question, _ = questions.get(connection, COMPLETION.name)
        who = people.known_key(connection, annotator)
    made = (_item(turns) for turns in conversations(path))
    for batch in batched(made, 1000):
        with project.database.writing() as connection:
            items.add(connection, batch)
            keys = items.keys(connection, {item.id for item in batch})
            distinct = {item.id: item for item in batch if item.id not in found}
            rows = [(keys[id_], who, _answer(item), None, _key(annotator, id_)) for id_, item in distinct.items()]
            journal.add_many(connection, question, rows)
        found |= distinct
    return found


def lineage(project: Project, wanted: Collection[str]) -> dict[str, list[int]]:
    """The numbers of the judgments that tell these items' answers."""
    with project.database.reading() as connection:
        question, _ = questions.get(connection, COMPLETION.name)
        what, _, _, numbers = journal.columns(connection, question)
    found: dict[str, list[int]] = {}
    for item, number in zip(what, numbers, strict=True):
        if item in wanted:
            found.setdefault(item, []).append(number)
    return found


def answer_of(item: Item) -> str:
    """The answer that an example teaches."""
    return str(completion_of(item.content))


def _readable(path: Path, name: str) -> Rows:
    try:
        return read(path, "jsonl")
    except UserError as fault:
        raise Malformed(f"{name} can't be trained on: {fault.message}", fault.hint) from None


def _faults(rows: Rows) -> Iterator[str | None]:
    """For each row what is wrong with it, in words with line and field, or None. A row that can't be read ends the file."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except UserError as fault:
            yield f"line {_line(fault.where)}: {fault.message}"
            return
        try:
            conversation(row)
            yield None
        except UserError as fault:
            yield f"line {_line(rows.where)}: {fault.where}: {fault.message}"


def _line(where: str) -> str:
    return where.rpartition(":")[2]


def _turn(message: Any, place: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise UserError("must be an object with role and content", where=place)
    role, content, weight = message.get("role"), message.get("content"), message.get("weight")
    if role not in ROLES:
        known = "the models here call no tools" if role in ("tool", "function") else f"roles: {', '.join(ROLES)}"
        raise UserError(f"{json.dumps(role, ensure_ascii=False):.60} can't be used; {known}", where=f"{place}.role")
    for name in message:
        if name in _EMPTY and message[name]:
            raise UserError("can't be read by the models here", where=f"{place}.{name}")
        if name not in ("role", "content", "weight", *_EMPTY):
            raise UserError("there is no such field", where=f"{place}.{name}")
    if isinstance(content, list) and all(_is_text(part) for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise UserError("must be text", where=f"{place}.content")
    if weight is not None and (role != "assistant" or type(weight) is not int or weight not in (0, 1)):
        raise UserError("must be 0 or 1, of a message of the assistant", where=f"{place}.weight")
    if role == "assistant" and weight != 0 and not content.strip():
        raise UserError("is empty, so that there is nothing to learn", where=f"{place}.content")
    return {"role": ROLES[role], "content": content, **({"weight": 0} if weight == 0 else {})}


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and set(part) == {"type", "text"} and part["type"] == "text" and isinstance(part["text"], str)


def _item(turns: list[dict[str, Any]]) -> Item:
    content = {"messages": turns}
    id_ = content_id(content)
    return Item(id_, content, id_)


def _answer(item: Item) -> dict[str, Any]:
    return {"text": answer_of(item), "from": None}


def _key(annotator: str, item: str) -> str:
    return f"import:{hashlib.blake2b(f'{annotator} {item}'.encode(), digest_size=12).hexdigest()}"
