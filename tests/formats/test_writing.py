"""What a row may hold on its way out, and how cells are written."""

import datetime

import pytest

from preceptor.errors import UserError
from preceptor.formats import formats, read, write

ALL = ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"]


def refusal(rows, path, **options):
    with pytest.raises(UserError) as caught:
        write(rows, path, **options)
    return caught.value


def test_csv_cells_are_text_or_json(tmp_path):
    write([{"a": "x,y", "b": 1, "c": True, "d": None, "e": {"k": ["é"]}, "f": 0.5}], tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().decode() == 'a,b,c,d,e,f\r\n"x,y",1,true,,"{""k"": [""é""]}",0.5\r\n'


def test_excel_safe_guards_formulas_and_only_texts(tmp_path):
    rows = [{"=a": "=SUM(A1)", "b": "+1", "c": "-", "d": "@x", "e": -4, "f": "a=b"}]
    write(rows, tmp_path / "a.csv", excel_safe=True)
    assert (tmp_path / "a.csv").read_text() == "'=a,b,c,d,e,f\n'=SUM(A1),'+1,'-,'@x,-4,a=b\n"
    write(rows, tmp_path / "a.csv")
    assert "'" not in (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (float("nan"), "column 'b' holds nan, which is no number"),
        ([float("inf")], "column 'b' holds inf, which is no number"),
        ("x\0y", "column 'b' holds a NUL character"),
        ({"k": "\ud800"}, "column 'b' holds half a character (a lone surrogate)"),
        (datetime.timedelta(1), "column 'b' holds a timedelta, which JSON has no form for"),
    ],
)
def test_what_no_cell_may_hold(tmp_path, name, value, fault):
    (tmp_path / name).write_text("before")
    error = refusal([{"a": "", "b": "x"}, {"a": "", "b": value}], tmp_path / name)
    assert (error.where, error.message) == ("row 2", fault)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


@pytest.mark.parametrize("name", ALL)
def test_no_rows_are_refused(tmp_path, name):
    assert refusal([], tmp_path / name).message == "there are no rows to write"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_columns_are_those_of_the_first_ten_thousand_rows(tmp_path, name):
    rows = [{"a": "1"}] * 9_999 + [{"b": "2", "a": "1"}] + [{"a": "1"}] * 10
    write(rows, tmp_path / name)
    assert list(next(read(tmp_path / name))) == ["a", "b"]
    error = refusal([*rows, {"c": "3"}], tmp_path / name)
    assert (error.where, error.message) == ("row 10011", "column 'c' first appears here, after the header was settled")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_rows_without_columns_are_refused(tmp_path, name):
    assert refusal([{}], tmp_path / name).message == "the rows have no columns"


def test_unknown_extension_and_format(tmp_path):
    assert refusal([{"a": 1}], tmp_path / "a.xlsx").hint == f"name one: {', '.join(formats.names())}"
    assert refusal([{"a": 1}], tmp_path / "a", format="jsnl").message == "no format is called 'jsnl', did you mean 'jsonl'?"
