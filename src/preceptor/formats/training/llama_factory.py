"""Describe a file to LLaMA-Factory: its entry in `dataset_info.json`, which lies beside the data.

As soon as an entry names one column, every column that it doesn't name counts as missing, and a named one that isn't in the file stops the
run. So all columns of the file are named, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FormatSource
from preceptor.formats.reader import read
from preceptor.formats.training.messages import message_text, parse_messages
from preceptor.formats.training.records import read_records
from preceptor.formats.training.sharegpt import check_alternation

_MEDIA_COLUMNS = {name: name for name in ("images", "videos", "audios")}
_EXTRA_COLUMNS = {"system": "system", "tools": "tools", "chosen": "chosen", "rejected": "rejected", **_MEDIA_COLUMNS}
_ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "history": "history", **_EXTRA_COLUMNS}
_SHAREGPT_COLUMNS = {"messages": "conversations", **_EXTRA_COLUMNS}
_CHAT_COLUMNS = {"messages": "messages", **_EXTRA_COLUMNS}
_CHAT_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
_SUPPORTED_FORMATS = ("alpaca", "sharegpt", "kto", "openai_chat")


def dataset_info(path: str | Path, name: str = "") -> dict[str, Any]:
    """Return {name: entry} for a file of alpaca, sharegpt, kto, or openai_chat without tools; the name is the file's unless given.

    Raises UserError for a file of another format, and for the first conversation that LLaMA-Factory would misread.
    """
    path = Path(path)
    format = read(path).format
    with path.open("rb") as file:
        source = FormatSource(path, file.read(2**16))
    columns: dict[str, Any] = {}
    for record in read_records(source):
        if format == "openai_chat":
            _check_chat_record(record, source.where)
        for column in record:
            columns.setdefault(column, record[column])
    if format in _SUPPORTED_FORMATS:
        return {name or path.stem: {"file_name": path.name, **_info_entry(columns, format)}}
    if columns.keys() == {"text"}:
        return {name or path.stem: {"file_name": path.name, "columns": {"prompt": "text"}}}
    raise UserError(f"LLaMA-Factory reads no {format}", f"export as one of {', '.join(_SUPPORTED_FORMATS)}", where=path.name)


def _info_entry(columns: Mapping[str, Any], format: str) -> dict[str, Any]:
    chat, share = "messages" in columns, "conversations" in columns
    known = _CHAT_COLUMNS if chat else _SHAREGPT_COLUMNS if share else _ALPACA_COLUMNS
    found = {role: column for role, column in known.items() if column in columns}
    if format == "kto":
        found["kto_tag"] = "kto_tag" if "kto_tag" in columns else "label"
    return {
        "formatting": "sharegpt" if chat or share else "alpaca",
        **({"ranking": True} if "chosen" in found else {}),
        "columns": found,
        **({"tags": _CHAT_TAGS} if chat else {}),
    }


def _check_chat_record(record: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a conversation that LLaMA-Factory, which knows neither weights nor parts, would misread."""
    try:
        turns = parse_messages(record, "messages")
        check_alternation(turns, answered=True)
        for number, turn in enumerate(turns, start=1):
            message_text(turn, f"turn {number}")
        if record.get("tools") or any(turn.get("weight") == 0 for turn in turns):
            raise UserError("it has tools, or an answer that weighs nothing", "export as sharegpt (tools), or trl (weights)")
        if any(turn["role"] in ("developer", "function") for turn in turns):
            raise UserError("it has a turn of the developer, or of a function", "export as sharegpt")
    except UserError as error:
        raise UserError(f"LLaMA-Factory would misread this: {error.message}", error.hint, where=where) from None
