"""Files as rows: what can't be learnt is left out and counted, and sides are drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hosted_lines import line, lines
from preceptor import UserError
from preceptor.pipeline.migration import local_source
from preceptor.pipeline.migration.hosted_sources import import_source_rows


def source_of(tmp_path, train: bytes, validation: bytes | None = None):
    paths = [tmp_path / "train.jsonl", tmp_path / "validation.jsonl"]
    for path, data in zip(paths, (train, validation), strict=True):
        if data is not None:
            path.write_bytes(data)
    return local_source(tmp_path / "migration", paths[0], paths[1] if validation is not None else None)


def test_the_validation_file_is_parted_and_all_of_the_training_file_is_learnt(home, tmp_path):
    found = import_source_rows(home, source_of(tmp_path, lines(0, 40), lines(40, 80)))
    assert len(found.split_rows("train")) == 40
    assert len(found.split_rows("validation")) + len(found.split_rows("test")) == 40
    assert min(len(found.split_rows("validation")), len(found.split_rows("test"))) >= 10
    assert {row.id for row in found.split_rows("train")} == set(found.train_items)
    assert found.notes == ()
    again = import_source_rows(home, source_of(tmp_path, lines(0, 40), lines(40, 80)))
    assert again.rows == found.rows
    assert home.counts()["judgments"] == 80
    assert all(len(row.lineage) == 1 for row in found.rows)


def test_without_one_a_part_is_held_out_and_the_bias_is_told(home, tmp_path):
    alone = source_of(tmp_path, lines(0, 80))
    found = import_source_rows(home, alone)
    assert len(found.split_rows("test")) > 0 < len(found.split_rows("validation"))
    assert found.notes == ("There was no validation file: a fifth of the training file is held out.",)
    hosted = import_source_rows(home, replace(alone, job={"id": "ftjob-1", "fine_tuned_model": "ft:old"}))
    assert "ft:old has learnt those rows" in hosted.notes[0]


def test_lines_that_repeat_others_are_learnt_once_and_counted(home, tmp_path):
    found = import_source_rows(home, source_of(tmp_path, lines(0, 40) * 3))
    assert sum(len(found.split_rows(side)) for side in ("train", "validation", "test")) == 40
    assert "80 lines repeat others, and are learnt once." in found.notes
    assert not found.excluded


def test_rows_in_both_files_measure_nothing(home, tmp_path):
    found = import_source_rows(home, source_of(tmp_path, lines(0, 40), lines(30, 80)))
    assert len(found.split_rows("validation")) + len(found.split_rows("test")) == 40
    assert found.notes[0].startswith("10 rows of the validation file stand in the training file too")


def test_a_validation_file_of_few_rows_is_learnt(home, tmp_path):
    found = import_source_rows(home, source_of(tmp_path, lines(0, 40), lines(40, 44)))
    assert len(found.rows) == 44
    assert found.notes[0].startswith("The validation file has 4 rows")


def test_what_cannot_be_learnt_is_left_out_by_reason(home, tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    pictures = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    odd = [
        line(90, tools=[{"type": "function", "function": {"name": "f"}}]),
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}]},
        {"messages": [{"role": "user", "content": pictures}, {"role": "assistant", "content": "A cat."}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": pictures}, {"role": "assistant", "content": "A."}]},
        {"messages": []},
    ]
    found = import_source_rows(home, source_of(tmp_path, lines(0, 40, *odd), lines(40, 80)))
    assert found.excluded == {
        "tools: the models here call no tools": 1,
        "messages[…].tool_calls: can't be read by the models here": 1,
        "messages[…].content: must be text": 2,
        "messages: must be a list of messages": 1,
    }
    assert len(found.split_rows("train")) == 40


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (lines(0, 9), "9 rows can be learnt here, and at least 10"),
        (b"", "the file is empty"),
        (lines(0, 20) + b"{broken\n", "jsonl:21"),
        (b"\xff\xfe\n" * 20, "UTF-8"),
    ],
)
def test_files_that_cannot_be_used_are_told(home, tmp_path, data, fault):
    with pytest.raises(UserError, match=fault):
        import_source_rows(home, source_of(tmp_path, data))
