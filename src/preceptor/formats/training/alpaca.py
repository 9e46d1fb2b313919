"""Read and write Alpaca, LLaMA-Factory's usual format: instruction and input, output; optionally system, history and tools.

    {"instruction": "…", "input": "…", "output": "…", "system": "…", "history": [["…", "…"]]}     a training example
    {"instruction": "…", "input": "…", "chosen": "…", "rejected": "…"}                              a preference
    {"text": "…"}                                                                                   pre-training

Read, instruction and input on two lines are the `prompt` and the output is the `completion`; with a system or a history it is `messages`.
chosen and rejected are `responses` with a judgment of "preferred". Where the input began, and other columns, are kept under
`metadata["alpaca"]`. Written from other sources, each row has all five fields. LLaMA-Factory also trains on the answers in a history
(unless run with mask_history), so a conversation with an answer of weight 0 is refused, as are calls of tools and turns that don't
alternate. A record with a boolean `kto_tag` is in the format kto. Canonical: one JSON array; one record a line in a file called .jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.json_format import peek_first_record
from preceptor.formats.training.messages import ChatMessage, get_tools, make_message, message_text, split_system_messages
from preceptor.formats.training.records import (
    field_error,
    format_notes,
    id_and_group,
    noted_columns,
    optional_text_field,
    read_training_rows,
    text_field,
    unknown_fields,
    unless_interchange,
    write_by_suffix,
)
from preceptor.formats.training.training_examples import (
    completion_content,
    has_answer,
    input_messages,
    make_training_example,
    preference_content,
    preference_pairs,
    prompt_content,
    prompt_text,
)

_DEFAULT_FIELDS = {"input": "", "system": "", "history": []}


def read_alpaca_prompt(record: FileRow) -> tuple[list[ChatMessage], dict[str, Any]]:
    """Return the turns up to the user's last, and what must be noted of the optional fields to write them again."""
    instruction, more = text_field(record, "instruction"), optional_text_field(record, "input")
    system, history = optional_text_field(record, "system"), _check_history(record.get("history"))
    turns = [make_message("system", system)] if system else []
    for question, answer in history:
        turns += [make_message("user", question), make_message("assistant", answer)]
    filled = {"system": bool(system), "history": bool(history)}
    optional = {name: record[name] for name in _DEFAULT_FIELDS if name in record and not filled.get(name)}
    return [*turns, make_message("user", "\n".join(part for part in (instruction, more) if part))], optional


def make_alpaca_record(
    row: Mapping[str, Any], asked: Sequence[ChatMessage], answer: Mapping[str, str], notes: Mapping[str, Any] | None
) -> FileRow:
    """Return the record of a question and its answer; raises UserError for a conversation that Alpaca can't hold.

    row: the row, whose tools are refused where it has no notes. asked: the turns up to the user's last. answer: the fields of the answer
    with their texts. notes: those that Alpaca made when the row was read, None for rows from other sources.
    """
    system, turns = split_system_messages(asked)
    texts = [message_text(turn, f"turn {number}") for number, turn in enumerate(turns, start=1)]
    for number, turn in enumerate(turns):
        if turn["role"] != ("assistant" if number % 2 else "user"):
            message = f"turn {number + 1} is of the {turn['role']}: questions and answers must take turns, the question first"
            raise UserError(message, "write openai_chat or trl")
    if len(texts) % 2 == 0:
        raise UserError("nothing is asked before the answer", "put the question before it")
    if not all(each.strip() for each in answer.values()):
        raise UserError("an answer is empty", "leave the row out")
    optional = _DEFAULT_FIELDS if notes is None else dict(notes.get("optional") or {})
    filled = {"system": system, "history": [texts[at : at + 2] for at in range(0, len(texts) - 1, 2)]}
    instruction, more = _split_prompt(texts[-1], optional.get("input"))
    tools = get_tools(row) if notes is None else None
    if tools:
        raise UserError("the row's tools have no place here: its conversations hold no calls", "write openai_chat, trl or sharegpt")
    return {
        "instruction": instruction,
        **({"input": more} if "input" in optional else {}),
        **answer,
        **{name: value for name, value in optional.items() if name != "input"},
        **{name: value for name, value in filled.items() if value},
        **noted_columns(notes),
    }


def _split_prompt(prompt: str, more: Any) -> tuple[str, Any]:
    """Split a prompt into instruction and input; one that doesn't end with the noted input has changed, and is all instruction."""
    if not isinstance(more, str) or not more:
        return prompt, more
    if prompt == more:
        return "", more
    return (prompt[: -len(more) - 1], more) if prompt.endswith(f"\n{more}") else (prompt, "")


def _check_history(value: Any) -> list[list[str]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise field_error("history", "a list of [question, answer]", value)
    for number, pair in enumerate(value):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise field_error(f"history[{number}]", "a question and its answer, two texts", pair)
    return value


NAME = "alpaca"
_FIELDS = frozenset(("instruction", "input", "output", "system", "history", "chosen", "rejected"))


@unless_interchange
def _sniff(opening: bytes) -> bool:
    seen = peek_first_record(opening)
    if seen.has("kto_tag") or isinstance(seen.fields.get("label"), bool):
        return False
    return seen.has("instruction", "output") or seen.has("instruction", "chosen", "rejected")


def _read(source: FormatSource) -> Iterator[FileRow]:
    return read_training_rows(source, _to_row)


def _to_row(record: FileRow) -> FileRow:
    if "text" in record and "instruction" not in record:
        kept = unknown_fields(record, frozenset(("text",)))
        return {**id_and_group(record), "text": text_field(record, "text"), **({"metadata": {NAME: kept}} if kept else {})}
    turns, optional = read_alpaca_prompt(record)
    ranking = "chosen" in record or "rejected" in record
    notes = {"optional": optional, **unknown_fields(record, _FIELDS if ranking else _FIELDS - {"chosen", "rejected"})}
    if ranking:
        if "output" in record:
            notes["columns"] = {**notes.get("columns", {}), "output": record["output"]}
        content = {**prompt_content(turns), **preference_content(text_field(record, "chosen"), text_field(record, "rejected"))}
    else:
        output = text_field(record, "output", "LLaMA-Factory leaves out a row whose output is no text, and doesn't say so")
        content = completion_content([*turns, make_message("assistant", output)])
    return {**id_and_group(record), **content, "metadata": {NAME: notes}}


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    return write_by_suffix(rows, target, _records, usual=".json")


def _records(row: Mapping[str, Any]) -> Iterator[FileRow]:
    notes = format_notes(row, NAME)
    if "text" in row and not has_answer(row):
        yield {"text": prompt_text(row), **noted_columns(notes)}
    elif "responses" in row:
        asked = input_messages(row)
        for better, worse in preference_pairs(row):
            yield make_alpaca_record(row, asked, {"chosen": better, "rejected": worse}, notes)
    else:
        learnt = make_training_example(row)
        if learnt.has_untrained_answer:
            message = "an answer in the conversation weighs nothing, and LLaMA-Factory learns all answers of a history"
            raise UserError(message, "write openai_chat or trl, which can leave it out")
        yield make_alpaca_record(row, learnt.prompt_messages, {"output": message_text(learnt.last_message, "the answer")}, notes)


formats.register(NAME)(FileFormat(NAME, (), _sniff, _read, _write, by_shape=True))
