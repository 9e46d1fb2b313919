"""What only looks like a tool's record is left to the plain formats, and what was taken for one can be named otherwise."""

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats import read


def laid(folder, *records):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    "record",
    [
        {"data": "s", "annotations": 3},
        {"data": {"text": "t"}, "annotations": "none"},
        {"data": [1], "predictions": []},
        {"instance_id": "1", "user_id": "u", "labels": ["x"]},
        {"user_id": "u", "instance_id_to_label_to_value": 3},
        {"fields": "a, b", "responses": 3, "suggestions": 1},
        {"text": "t", "Comments": "a remark"},
        {"text": "t", "answer": True, "_session_id": "s"},
        {"text": "t", "preceptor": "Dr. No"},
    ],
)
def test_fields_of_other_types_are_no_tools(tmp_path, record):
    found = read(laid(tmp_path, record))
    assert found.format == "jsonl"
    assert list(found) == [record]


@pytest.mark.parametrize("collected", [True, False])
def test_a_fault_of_a_file_that_was_taken_for_a_tools_says_how_to_name_another_format(tmp_path, collected):
    path = laid(tmp_path, {"data": {"text": "t"}, "annotations": []}, {"data": {"text": "t"}, "annotations": 3})
    faults = []
    try:
        list(read(path, on_fault=faults.append if collected else None))
    except UserError as fault:
        faults.append(fault)
    assert [fault.where for fault in faults] == ["rows.jsonl:2"]
    assert faults[0].hint.endswith("or, if this isn't label_studio, name the format: --format jsonl")


def test_a_format_that_was_named_is_not_doubted(tmp_path):
    with pytest.raises(UserError) as caught:
        list(read(laid(tmp_path, {"data": {"text": "t"}, "annotations": 3}), "label_studio"))
    assert "--format" not in str(caught.value.hint)
