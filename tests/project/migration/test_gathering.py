"""Files as rows: what can't be learnt is left out and counted, and sides are drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hosted_lines import line, lines
from preceptor import UserError
from preceptor.project.migration import local_source
from preceptor.project.migration.gathering import gather


def source_of(tmp_path, train: bytes, validation: bytes | None = None):
    paths = [tmp_path / "train.jsonl", tmp_path / "validation.jsonl"]
    for path, data in zip(paths, (train, validation), strict=True):
        if data is not None:
            path.write_bytes(data)
    return local_source(tmp_path / "migration", paths[0], paths[1] if validation is not None else None)


def test_the_validation_file_is_parted_and_all_of_the_training_file_is_learnt(home, tmp_path):
    found = gather(home, source_of(tmp_path, lines(0, 40), lines(40, 80)))
    assert len(found.side("train")) == 40
    assert len(found.side("validation")) + len(found.side("test")) == 40
    assert min(len(found.side("validation")), len(found.side("test"))) >= 10
    assert {row.id for row in found.side("train")} == set(found.train)
    assert found.words == ()
    again = gather(home, source_of(tmp_path, lines(0, 40), lines(40, 80)))
    assert again.rows == found.rows
    assert home.counts()["judgments"] == 80
    assert all(len(row.lineage) == 1 for row in found.rows)


def test_without_one_a_part_is_held_out_and_the_bias_is_told(home, tmp_path):
    alone = source_of(tmp_path, lines(0, 80))
    found = gather(home, alone)
    assert len(found.side("test")) > 0 < len(found.side("validation"))
    assert found.words == ("There was no validation file: a fifth of the training file is held out.",)
    hosted = gather(home, replace(alone, job={"id": "ftjob-1", "fine_tuned_model": "ft:old"}))
    assert "ft:old has learnt those rows" in hosted.words[0]


def test_lines_that_repeat_others_are_learnt_once_and_counted(home, tmp_path):
    found = gather(home, source_of(tmp_path, lines(0, 40) * 3))
    assert sum(len(found.side(side)) for side in ("train", "validation", "test")) == 40
    assert "80 lines repeat others, and are learnt once." in found.words
    assert not found.left_out


def test_rows_in_both_files_measure_nothing(home, tmp_path):
    found = gather(home, source_of(tmp_path, lines(0, 40), lines(30, 80)))
    assert len(found.side("validation")) + len(found.side("test")) == 40
    assert found.words[0].startswith("10 rows of the validation file stand in the training file too")


def test_a_validation_file_of_few_rows_is_learnt(home, tmp_path):
    found = gather(home, source_of(tmp_path, lines(0, 40), lines(40, 44)))
    assert len(found.rows) == 44
    assert found.words[0].startswith("The validation file has 4 rows")


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
    found = gather(home, source_of(tmp_path, lines(0, 40, *odd), lines(40, 80)))
    assert found.left_out == {
        "tools: the models here call no tools": 1,
        "messages[…].tool_calls: can't be read by the models here": 1,
        "messages[…].content: must be text": 2,
        "messages: must be a list of messages": 1,
    }
    assert len(found.side("train")) == 40


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
        gather(home, source_of(tmp_path, data))
