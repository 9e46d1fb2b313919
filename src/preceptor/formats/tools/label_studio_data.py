"""Convert Label Studio's tasks: their data to items and back, what is known of their controls, and JSON_MIN records to tasks.

The fields that annotators see become the content, by their names (see `content_from_fields`); the id is data.ext_id, data.id, data.item_id,
or the task's own; everything else becomes metadata under its own name.

What is known of the controls before the first task of an export is read comes from its labelling config, else from all tasks: a region
doesn't say whether its control takes one choice or several, nor which field its object shows. Without a config the file is scanned once: a
control for which any annotation holds several choices takes several.

JSON_MIN, Label Studio's flattened export, has one object per annotation, with its answers among the fields of the data. It is turned back
into tasks as far as possible: what a region held besides its value isn't in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileRow
from preceptor.formats.tools.content_fields import (
    collect_field_names,
    content_from_fields,
    fields_from_content,
    find_response_fields,
    is_conversation,
    record_remainder,
    response_field_names,
)
from preceptor.formats.tools.label_studio_config import SPAN_TYPES, LabelingConfig, LabelingControl

_KINDS_BY_TYPE = {"rating": "rating", "pairwise": "compare", "ranker": "rank", "taxonomy": "multilabel", "choices": "choice"}


@dataclass
class KnownControls:
    """What is known of an export's controls, each by its name.

    kinds: their kinds of question ("" where there is none). types: as regions call them. to: the object that each is about. objects: the
    field of `data` that each object shows. compared_fields: the fields of a comparison. conditional: the controls that aren't always shown.
    from_config: whether all this is from a labelling config.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    to: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    compared_fields: list[str] = field(default_factory=list)
    conditional: set[str] = field(default_factory=set)
    from_config: bool = False

    @property
    def shown_fields(self) -> list[str]:
        """The fields of `data` that annotators see."""
        return list(dict.fromkeys(self.objects.values()))

    @property
    def span_controls(self) -> list[str]:
        """Controls that mark passages and are always shown: an annotation without a region of theirs means that there is none."""
        names = (name for name, type_ in self.types.items() if type_ in SPAN_TYPES and self.kinds.get(name) == "spans")
        return [name for name in names if name not in self.conditional]

    def controls(self) -> dict[str, list[str]]:
        """Return type and object of each control, as kept with an item so that new answers can be written for the same config."""
        return {name: [type_, self.to[name]] for name, type_ in self.types.items() if name in self.to}


def controls_from_config(config: LabelingConfig) -> KnownControls:
    """Return the controls of a labelling config."""
    pairs = [control.to for control in config.controls.values() if control.kind == "compare" and len(control.to) == 2]
    return KnownControls(
        kinds={control.name: control.kind for control in config.controls.values()},
        types={control.name: control.type for control in config.controls.values()},
        to={control.name: control.to[0] for control in config.controls.values()},
        objects=dict(config.objects),
        compared_fields=[config.objects[name] for name in pairs[0] if name in config.objects] if pairs else [],
        conditional={control.name for control in config.controls.values() if control.conditional},
        from_config=True,
    )


def controls_by_scan(tasks: Iterable[Mapping[str, Any]]) -> KnownControls:
    """Infer the controls from the tasks; stops where they can't be read, which is reported when the rows are read."""
    known = KnownControls()
    try:
        for task in tasks:
            for result in iterate_results(task):
                _learn_controls(known, result)
    except UserError:
        pass
    return known


def config_mismatch(config: LabelingConfig, tasks: Iterable[Mapping[str, Any]]) -> str:
    """Return what shows that a config isn't that of these tasks; empty where nothing does."""
    names: set[str] = set()
    with suppress(UserError):  # it is reported when the rows are read
        for task in tasks:
            for region in (each for result in iterate_results(task) for each in result if isinstance(each, dict)):
                if isinstance(name := region.get("from_name"), str) and name not in config.controls:
                    return f"has no control called {name!r}"
            data = task.get("data", task)
            names |= set(data) if isinstance(data, Mapping) else set()
    return "" if names & {*config.controls, *config.objects.values()} else "shows none of the fields of these tasks"


def iterate_results(task: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the results of annotations, predictions and drafts."""
    for key in ("annotations", "completions", "predictions", "drafts"):
        entries = task.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("result"), list):
                yield entry["result"]


def _learn_controls(known: KnownControls, result: list[Any]) -> None:
    chosen: dict[str, int] = {}
    passages = label_region_ids(region for region in result if isinstance(region, dict))
    for region in result:
        if not isinstance(region, dict) or not isinstance(region.get("value"), dict) or is_per_region(region, passages):
            continue
        name, type_, to = region.get("from_name"), region.get("type"), region.get("to_name")
        if not isinstance(name, str) or not isinstance(type_, str) or not isinstance(to, str):
            continue
        known.types.setdefault(name, type_)
        known.to.setdefault(name, to)
        kind = "spans" if type_ in SPAN_TYPES else _KINDS_BY_TYPE.get(type_)
        if type_ == "choices" and isinstance(region["value"].get("choices"), list):
            chosen[name] = chosen.get(name, 0) + len(region["value"]["choices"])
            kind = "multilabel" if chosen[name] != 1 else known.kinds.get(name, "choice")
        if kind:
            known.kinds[name] = kind


def label_region_ids(regions: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the ids of the regions that mark something."""
    return {region["id"] for region in regions if isinstance(region.get("id"), str) and str(region.get("type")).endswith("labels")}


def is_per_region(region: Mapping[str, Any], marked: set[str]) -> bool:
    """Return whether a region answers a question about a single marked region: it has that one's id or place."""
    if str(region.get("type")).endswith("labels"):
        return False
    return "start" in region["value"] or "x" in region["value"] or (isinstance(region.get("id"), str) and region["id"] in marked)


TOOL_KEY = "label_studio"  # where the tool's own values are kept, in metadata and in `extra`
NOTE_FIELD = "preceptor"  # where Preceptor's own are written, for the next import; Label Studio leaves it alone
CONTENT_PARTS = ("text", "prompt", "completion", "responses", "messages", "sources", "claims", "format")
_ID_FIELDS = ("ext_id", "id", "item_id")


def item_from_data(data: Mapping[str, Any], known: KnownControls, number: Any = None) -> tuple[FileRow, dict[str, Any]]:
    """Return the item, and what must be kept to make the same data again. number: the task's id, where the data has none."""
    content, names = _content_of_data(data, known)
    ranked = [_ranked_list_field(data)] if "ranker" in known.types.values() else []
    row: FileRow = {}
    id_ = next((data[key] for key in _ID_FIELDS if _is_id(data.get(key))), number)
    if _is_id(id_):
        row["id"] = str(id_)
    row |= content
    if isinstance(data.get("group"), str) and data["group"].strip():
        row["group"] = data["group"]
    taken = {
        *collect_field_names(names),
        *content,
        *response_field_names(content, names),
        *_ID_FIELDS,
        "group",
        TOOL_KEY,
        NOTE_FIELD,
        *ranked,
    }
    metadata = {name: value for name, value in data.items() if name not in taken and value is not None}
    if isinstance(data.get(NOTE_FIELD), dict):
        metadata |= {name: value for name, value in data[NOTE_FIELD].items() if name != TOOL_KEY}
    if metadata:
        row["metadata"] = metadata
    kept: dict[str, Any] = {"names": names} if names else {}
    if rest := record_remainder(data, data_from_item(row, names)):
        kept["data"] = rest
    return row, kept


def data_from_item(row: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data that an item becomes by itself; metadata with a name that is taken goes under NOTE_FIELD."""
    content = {part: row[part] for part in CONTENT_PARTS if row.get(part) is not None}
    own = {"ext_id": row.get("id"), **fields_from_content(content, names), "group": row.get("group")}
    data = {name: value for name, value in own.items() if value is not None}
    metadata = {name: value for name, value in (row.get("metadata") or {}).items() if name != TOOL_KEY}
    clashing = {name: value for name, value in metadata.items() if name in data or name in (*_ID_FIELDS, "group", NOTE_FIELD)}
    data |= {name: value for name, value in metadata.items() if name not in clashing}
    return data | ({NOTE_FIELD: clashing} if clashing else {})


def _content_of_data(data: Mapping[str, Any], known: KnownControls) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = {name: value for name, value in data.items() if name not in (*_ID_FIELDS, "group") or name in known.shown_fields}
    for name, value in data.items():
        if turns := _dialogue_turns(value):
            fields[name] = turns
    compared = [name for name in known.compared_fields if isinstance(data.get(name), str)]
    if not known.from_config and "pairwise" in known.types.values():
        compared = find_response_fields({name: value for name, value in fields.items() if isinstance(value, str)})
    if "ranker" in known.types.values() and (ranked := _ranked_list_field(data)):
        parts = ("title", "body", "text", "html")
        texts = {str(item["id"]): "\n".join(str(item[part]) for part in parts if item.get(part)) for item in data[ranked]}
        fields |= texts
        compared = list(texts)
    seen = [name for name in known.shown_fields if name in fields]
    return content_from_fields(fields, [*seen, *compared] if seen else [], compared)


def _ranked_list_field(data: Mapping[str, Any]) -> str:
    """Return the field that holds a list of items with ids; "" where there is none."""
    for name, value in data.items():
        if isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) and _is_id(item.get("id")) for item in value):
            return name if len({str(item["id"]) for item in value}) == len(value) else ""
    return ""


def _dialogue_turns(value: Any) -> list[dict[str, str]]:
    """Return a dialogue whose turns have other names than role and content as messages; empty where it is none."""
    if not isinstance(value, list) or not value or is_conversation(value):
        return []
    for who in ("author", "speaker", "name", "role", "from"):
        for what in ("text", "content", "utterance", "value", "message"):
            if all(isinstance(turn, dict) and isinstance(turn.get(who), str) and isinstance(turn.get(what), str) for turn in value):
                return [{"role": turn[who], "content": turn[what]} for turn in value]
    return []


def _is_id(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, int) and not isinstance(value, bool))


_JSON_MIN_FIELDS = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")


def is_json_min(fields: Mapping[str, Any]) -> bool:
    """Return whether a record is one of JSON_MIN."""
    return all(name in fields for name in _JSON_MIN_FIELDS)


def task_from_json_min(record: Mapping[str, Any], config: LabelingConfig) -> FileRow:
    """Return the task of a JSON_MIN record; without an annotation where nobody has answered."""
    answers = {name: control for name, control in config.controls.items() if name in record}
    data = {name: value for name, value in record.items() if name not in answers and name not in (*_JSON_MIN_FIELDS, "id", "agreement")}
    task: FileRow = {"id": record.get("id"), "data": data, "annotations": []}
    if record.get("annotation_id") is not None:
        result = [region for name, control in answers.items() for region in _regions_of_value(record[name], control)]
        names = {"annotation_id": "id", "annotator": "completed_by"}
        task["annotations"] = [{**{names.get(name, name): record.get(name) for name in _JSON_MIN_FIELDS}, "result": result}]
    return task


def _regions_of_value(value: Any, control: LabelingControl) -> list[dict[str, Any]]:
    """Return the regions of a control's value: one, a list of them, or a single text."""
    fields = {"from_name": control.name, "to_name": control.to[0] if control.to else "", "type": control.type}
    if control.type in ("choices", "textarea") and isinstance(value, str):
        value = {"text" if control.type == "textarea" else "choices": [value]}
    values = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    if control.type == "chatmessage":
        values = [{"chatmessage": turn} for turn in values]
    if control.type in ("choices", "textarea"):
        key = "text" if control.type == "textarea" else "choices"
        values = [{key: [each]} if isinstance(each, str) else each for each in values]
    return [{**fields, "value": each} for each in values]
