"""The data of a Label Studio task as an item, and an item as data.

The fields that people see become the content, by their names (see `named_texts`); the id is data.ext_id, data.id, data.item_id, or
the task's own; what else there is becomes metadata under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.formats.format import Row
from preceptor.formats.tools.label_studio_known import Known
from preceptor.formats.tools.named_texts import (
    content_from,
    field_names,
    fields_from,
    is_conversation,
    remains,
    response_like,
    response_names,
)

TOOL = "label_studio"  # where the tool's own things are kept, in metadata and in `extra`
NOTE = "preceptor"  # where ours are written, for the next reading; Label Studio leaves it alone
CONTENT = ("text", "prompt", "completion", "responses", "messages", "sources", "claims", "format")
_IDS = ("ext_id", "id", "item_id")


def item_from(data: Mapping[str, Any], known: Known, number: Any = None) -> tuple[Row, dict[str, Any]]:
    """The item, and what must be kept to make the same data again. number: the task's id, where the data names none."""
    content, names = _content(data, known)
    ranked = [_list_to_rank(data)] if "ranker" in known.types.values() else []
    row: Row = {}
    id_ = next((data[key] for key in _IDS if _is_id(data.get(key))), number)
    if _is_id(id_):
        row["id"] = str(id_)
    row |= content
    if isinstance(data.get("group"), str) and data["group"].strip():
        row["group"] = data["group"]
    taken = {*field_names(names), *content, *response_names(content, names), *_IDS, "group", TOOL, NOTE, *ranked}
    metadata = {name: value for name, value in data.items() if name not in taken and value is not None}
    if isinstance(data.get(NOTE), dict):
        metadata |= {name: value for name, value in data[NOTE].items() if name != TOOL}
    if metadata:
        row["metadata"] = metadata
    kept: dict[str, Any] = {"names": names} if names else {}
    if rest := remains(data, data_from(row, names)):
        kept["data"] = rest
    return row, kept


def data_from(row: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The data that an item becomes by itself; metadata of a name that is taken stands under ours."""
    content = {part: row[part] for part in CONTENT if row.get(part) is not None}
    own = {"ext_id": row.get("id"), **fields_from(content, names), "group": row.get("group")}
    data = {name: value for name, value in own.items() if value is not None}
    metadata = {name: value for name, value in (row.get("metadata") or {}).items() if name != TOOL}
    clashing = {name: value for name, value in metadata.items() if name in data or name in (*_IDS, "group", NOTE)}
    data |= {name: value for name, value in metadata.items() if name not in clashing}
    return data | ({NOTE: clashing} if clashing else {})


def _content(data: Mapping[str, Any], known: Known) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = {name: value for name, value in data.items() if name not in (*_IDS, "group") or name in known.shown}
    for name, value in data.items():
        if turns := _turns(value):
            fields[name] = turns
    compared = [name for name in known.compared if isinstance(data.get(name), str)]
    if not known.settled and "pairwise" in known.types.values():
        compared = response_like({name: value for name, value in fields.items() if isinstance(value, str)})
    if "ranker" in known.types.values() and (ranked := _list_to_rank(data)):
        parts = ("title", "body", "text", "html")
        texts = {str(item["id"]): "\n".join(str(item[part]) for part in parts if item.get(part)) for item in data[ranked]}
        fields |= texts
        compared = list(texts)
    seen = [name for name in known.shown if name in fields]
    return content_from(fields, [*seen, *compared] if seen else [], compared)


def _list_to_rank(data: Mapping[str, Any]) -> str:
    """The field that holds a list of items with ids; "" where there is none."""
    for name, value in data.items():
        if isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) and _is_id(item.get("id")) for item in value):
            return name if len({str(item["id"]) for item in value}) == len(value) else ""
    return ""


def _turns(value: Any) -> list[dict[str, str]]:
    """A dialogue whose turns have other names than role and content."""
    if not isinstance(value, list) or not value or is_conversation(value):
        return []
    for who in ("author", "speaker", "name", "role", "from"):
        for what in ("text", "content", "utterance", "value", "message"):
            if all(isinstance(turn, dict) and isinstance(turn.get(who), str) and isinstance(turn.get(what), str) for turn in value):
                return [{"role": turn[who], "content": turn[what]} for turn in value]
    return []


def _is_id(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, int) and not isinstance(value, bool))
