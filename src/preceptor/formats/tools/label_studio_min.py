"""JSON_MIN, Label Studio's flattened export: one object an annotation, its answers among the fields of the data.

Made into tasks again, as far as that goes: what a region held besides its value isn't in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.formats.format import Row
from preceptor.formats.tools.label_studio_config import Config, Control

_MARKS = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")


def is_min(fields: Mapping[str, Any]) -> bool:
    """Whether a record is one of JSON_MIN."""
    return all(name in fields for name in _MARKS)


def task_from_min(record: Mapping[str, Any], config: Config) -> Row:
    """The task of an annotation; without an annotation where nobody has answered."""
    answers = {name: control for name, control in config.controls.items() if name in record}
    data = {name: value for name, value in record.items() if name not in answers and name not in (*_MARKS, "id", "agreement")}
    task: Row = {"id": record.get("id"), "data": data, "annotations": []}
    if record.get("annotation_id") is not None:
        result = [region for name, control in answers.items() for region in _regions(record[name], control)]
        names = {"annotation_id": "id", "annotator": "completed_by"}
        task["annotations"] = [{**{names.get(name, name): record.get(name) for name in _MARKS}, "result": result}]
    return task


def _regions(value: Any, control: Control) -> list[dict[str, Any]]:
    """The values of a control's regions: one, a list of them, or a lone text."""
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
