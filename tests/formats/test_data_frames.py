"""Tables in memory: read as files are, by the same checks."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.reader import as_file_path

ROWS = [{"text": "a", "n": 1, "when": None}, {"text": "b", "n": None, "when": "2026-01-01"}]


@pytest.mark.parametrize(
    "table", [pd.DataFrame(ROWS), pa.Table.from_pylist(ROWS), pa.RecordBatch.from_pylist(ROWS)], ids=lambda t: type(t).__name__
)
def test_a_table_becomes_a_parquet_file_of_its_name(table):
    with as_file_path(table) as path:
        assert path.name == f"{type(table).__name__}.parquet"
        found = list(read(path))
    assert [row["text"] for row in found] == ["a", "b"]
    assert found[0]["when"] is None
    assert not path.exists()


def test_a_path_stays_a_path(tmp_path):
    with as_file_path(str(tmp_path / "x.csv")) as path:
        assert path == tmp_path / "x.csv"


@pytest.mark.parametrize(
    "bad", [{"train": pd.DataFrame(ROWS)}, 7, [{"text": "a"}], pd.DataFrame({"a": [{1}, "x"]})], ids=lambda b: type(b).__name__
)
def test_what_is_no_table_is_refused_in_a_line(bad):
    with pytest.raises(UserError) as caught, as_file_path(bad):
        pass
    assert caught.value.hint


def _of_datasets(folder, features, columns):
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, folder / "set.parquet")
    return read(folder / "set.parquet")


LABEL = {"names": ["bearish", "bullish"], "_type": "ClassLabel"}


def test_numbers_of_classes_get_their_names(tmp_path):
    """A file of Hugging Face's `datasets` says 0, 1 and 2, and what they mean in its metadata."""
    features = {"label": LABEL, "tags": {"feature": LABEL, "_type": "List"}, "n": {"dtype": "int64", "_type": "Value"}}
    rows = list(_of_datasets(tmp_path, features, {"label": [0, 1, -1, None], "tags": [[0], [1, 0], [], None], "n": [0, 1, 0, 1]}))
    assert [row["label"] for row in rows] == ["bearish", "bullish", None, None]
    assert [row["tags"] for row in rows] == [["bearish"], ["bullish", "bearish"], [], None]
    assert [row["n"] for row in rows] == [0, 1, 0, 1]


def test_a_class_without_a_name_is_a_fault_with_its_place(tmp_path):
    with pytest.raises(UserError) as caught:
        list(_of_datasets(tmp_path, {"label": LABEL}, {"label": [0, 2]}))
    assert caught.value.where.endswith("row 2")


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b'{"info": 3}', b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'])
def test_anybody_elses_metadata_is_passed_over(tmp_path, note):
    pq.write_table(pa.table({"label": [0, 1]}).replace_schema_metadata({"huggingface": note}), tmp_path / "x.parquet")
    assert [row["label"] for row in read(tmp_path / "x.parquet")] == [0, 1]
