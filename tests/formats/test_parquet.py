"""Parquet's own matters: types that Arrow keeps, values that it would change, and a missing pyarrow."""

import datetime
import decimal
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preceptor.errors import MissingPackage, UserError
from preceptor.formats import read, write


def refusal(action):
    with pytest.raises(UserError) as caught:
        action()
    return caught.value


def test_native_types_where_arrow_keeps_them_and_json_text_where_not(tmp_path):
    rows = [
        {"id": 1, "p": [0.1, 0.9], "messages": [{"role": "user", "content": "hi"}], "meta": {"a": 1}, "mixed": 1, "gap": None},
        {"id": 2, "p": [], "messages": [], "meta": {"b": None}, "mixed": "x", "gap": None},
    ]
    write(rows, tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert {field.name: str(field.type).replace("element", "item") for field in schema} == {
        "id": "int64",
        "p": "list<item: double>",
        "messages": "list<item: struct<role: string, content: string>>",
        "meta_json": "string",
        "mixed_json": "string",
        "gap": "string",
    }
    assert schema.metadata[b"preceptor.schema"].startswith(b'{"version": 1')
    found = read(tmp_path / "a.parquet")
    assert [(found.where, row) for row in found] == [("a.parquet, row 1", rows[0]), ("a.parquet, row 2", rows[1])]


def test_a_stranger_s_json_column_stays_text(tmp_path):
    pq.write_table(pa.table({"x_json": ["[1]"]}), tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == [{"x_json": "[1]"}]


def test_times_and_decimals_become_text(tmp_path):
    zone = datetime.timezone(datetime.timedelta(hours=2))
    table = pa.table(
        {
            "at": pa.array([datetime.datetime(2024, 5, 1, 12, tzinfo=zone)], pa.timestamp("us", "Europe/Berlin")),
            "day": [datetime.date(2024, 5, 1)],
            "price": [decimal.Decimal("1.50")],
            "kind": pa.array(["a"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    row = {"at": "2024-05-01T10:00:00+00:00", "day": "2024-05-01", "price": "1.50", "kind": "a"}
    assert list(read(tmp_path / "a.parquet")) == [row]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": [0.5, float("nan")]}, "column 'x' holds nan, which is no number"),
        ({"x": [[0.5], [float("inf")]]}, "column 'x' holds inf, which is no number"),
        ({"x": ["", "a\0"]}, "column 'x' holds a NUL character"),
        ({"x": [b"", b"\xff"]}, "column 'x' holds a bytes, which JSON has no form for"),
        ({"x": ["", "y" * 2_000_001]}, "column 'x' holds 2,000,001 characters; at most 2,000,000 are allowed"),
    ],
)
def test_bad_cells_are_named_by_row_and_column(tmp_path, table, message):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    error = refusal(lambda: list(read(tmp_path / "a.parquet")))
    assert error.message == message
    assert error.where in {"a.parquet, row 1", "a.parquet, row 2"}


def test_repeated_column_is_refused(tmp_path):
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "a.parquet")
    assert refusal(lambda: list(read(tmp_path / "a.parquet"))).message == "two columns have the same name"


@pytest.mark.parametrize("cut", [5, 100, -20])
def test_damaged_file_is_one_clear_line(tmp_path, cut):
    write([{"a": n} for n in range(1000)], tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:cut])
    assert refusal(lambda: list(read(tmp_path / "a.parquet"))).message.startswith("can't be read as Parquet: ")
    (tmp_path / "a.parquet").write_bytes(whole[:4] + bytes(200) + whole[204:])
    assert refusal(lambda: list(read(tmp_path / "a.parquet"))).where.startswith("a.parquet")


def test_recognised_without_its_extension(tmp_path):
    write([{"a": 1}], tmp_path / "a.csv", format="parquet")
    found = read(tmp_path / "a.csv")
    assert (found.format, len(found.warnings), list(found)) == ("parquet", 1, [{"a": 1}])


def test_a_type_that_changes_after_ten_thousand_rows_names_the_row(tmp_path):
    rows = [{"n": 1}] * 10_005
    error = refusal(lambda: write([*rows, {"n": 1.5}], tmp_path / "a.parquet"))
    assert (error.where, error.message) == ("row 10006", "column 'n' holds float here, and int64 in the first rows")
    assert write([*rows, {"n": None}], tmp_path / "a.parquet") == 10_006


def test_a_name_taken_by_a_json_form_is_refused(tmp_path):
    error = refusal(lambda: write([{"a": {}, "a_json": "x"}], tmp_path / "a.parquet"))
    assert error.message == "a column with nested values and one named like its JSON form"


def test_without_pyarrow_the_hint_installs_it(tmp_path, monkeypatch):
    write([{"a": 1}], tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = refusal(lambda: list(read(tmp_path / "a.parquet")))
    assert isinstance(error, MissingPackage)
    assert (error.message, error.hint) == ("packages for reading Parquet files aren't installed", "pip install 'preceptor[parquet]'")
    assert refusal(lambda: write([{"a": 1}], tmp_path / "b.parquet")).hint == "pip install 'preceptor[parquet]'"
    assert not (tmp_path / "b.parquet").exists()


def test_times_are_utc_microseconds_and_one_beyond_python_s_years_is_that_row_s_fault(tmp_path):
    fine = pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "Europe/Berlin"))
    far = pa.array([0, 2**40], pa.timestamp("s", "UTC"))
    pq.write_table(pa.table({"fine": fine, "far": far}), tmp_path / "a.parquet")
    faults = []
    (row,) = read(tmp_path / "a.parquet", on_fault=faults.append)
    assert row == {"fine": "2023-11-14T22:13:20.123456+00:00", "far": "1970-01-01T00:00:00+00:00"}
    assert [(fault.where, fault.message) for fault in faults] == [("a.parquet, row 2", "a value has no form here: date value out of range")]


@pytest.mark.parametrize("note", [b"[]", b'{"json": []}', b'{"json": {"a": [1]}}', b'{"json": {"a": "n"}}', b'{"json": {"n": "m"}}'])
def test_a_note_about_columns_that_isn_t_ours_changes_nothing(tmp_path, note):
    table = pa.table({"a": ["[1]"], "n": [1]}).replace_schema_metadata({b"preceptor.schema": note})
    pq.write_table(table, tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == [{"a": "[1]", "n": 1}]


def test_one_bad_row_doesn_t_end_the_reading(tmp_path):
    pq.write_table(pa.table({"x": ["a", "b\0", "c"]}), tmp_path / "a.parquet")
    faults = []
    assert [row["x"] for row in read(tmp_path / "a.parquet", on_fault=faults.append)] == ["a", "c"]
    assert [fault.where for fault in faults] == ["a.parquet, row 2"]
