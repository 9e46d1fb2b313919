"""Every kind of bad file gets one line that says where and what to do; good ones are recognised whatever they are called."""

import contextlib
import os
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.formats import read


@pytest.fixture
def file(tmp_path):
    """Writes bytes (or text as UTF-8) under a name and returns the path."""

    def put(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        list(read(path, **options))
    return caught.value


def test_recognised_and_read(file, subtests):
    for name, content, format, rows in [
        ("a.csv", "id,text\n1,x\n", "csv", [{"id": "1", "text": "x"}]),
        ("a.CSV", "id,text\n1,x\n", "csv", [{"id": "1", "text": "x"}]),
        ("a.csv", "id;text\n1;x, y\n", "csv", [{"id": "1", "text": "x, y"}]),
        ("a.csv", "id|text\n1|x\n", "csv", [{"id": "1", "text": "x"}]),
        ("a.csv", "id\ttext\n1\tx\n", "csv", [{"id": "1", "text": "x"}]),
        ("a.tsv", "id\ttext\n1\tx, y\n", "tsv", [{"id": "1", "text": "x, y"}]),
        ("a.tsv", "a,b\n1,2\n", "tsv", [{"a,b": "1,2"}]),
        ("a.txt", "id\ttext\n1\tx\n", "tsv", [{"id": "1", "text": "x"}]),
        ("a", "text\nno delimiter\n", "csv", [{"text": "no delimiter"}]),
        ("a", '{"id": 1}\n', "jsonl", [{"id": 1}]),
        ("a", '\n[ {"id": 1} ]', "json", [{"id": 1}]),
        ("a.json", "[]", "json", []),
        ("a.ndjson", '{"id": 1}\n\n  \n{"id": 2}', "jsonl", [{"id": 1}, {"id": 2}]),
        ("a.csv", "\ufeffid,text\r\n1,x\r\n", "csv", [{"id": "1", "text": "x"}]),
        ("a.jsonl", '\ufeff{"id": 1}\r\n', "jsonl", [{"id": 1}]),
        ("a.json", '\ufeff[{"id": 1}]', "json", [{"id": 1}]),
        ("a.csv", "label\nNA\nNone\nnull\nNaN\n", "csv", [{"label": label} for label in ("NA", "None", "null", "NaN")]),
        ("a.csv", "id,text\n\n1,x\n\n", "csv", [{"id": "1", "text": "x"}]),
        ("a.csv", "id,text\n", "csv", []),
        ("a.csv", 'cell\n"[1, 2]"\n', "csv", [{"cell": "[1, 2]"}]),
    ]:
        with subtests.test(name=name, content=content, format=format, rows=rows):
            found = read(file(name, content))
            assert (list(found), found.format, found.warnings) == (rows, format, [])


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [("a.jsonl", '[{"id": 1}]', "json"), ("a.json", '{"id": 1}\n', "jsonl"), ("a.csv", '{"id": 1}\n', "jsonl")],
)
def test_content_overrules_the_extension_with_a_warning(file, name, content, format):
    found = read(file(name, content))
    assert (list(found), found.format) == ([{"id": 1}], format)
    assert found.warnings == [f"{name} is named {os.path.splitext(name)[1]} but holds {format}; it is read as {format}"]


def test_where_is_the_physical_line_on_which_the_record_starts(file):
    rows = read(file("a.csv", 'id,text\n1,"two\nlines"\n\n2,"a\r\nb\r\nc"\n3,x\n'))
    assert rows.where == "a.csv"
    assert [(rows.where, row["id"]) for row in rows] == [("a.csv:2", "1"), ("a.csv:5", "2"), ("a.csv:8", "3")]
    rows = read(file("a.jsonl", '{"id": 1}\n\n{"id": "\u2028\u0085"}\n'))
    assert [rows.where for _ in rows] == ["a.jsonl:1", "a.jsonl:3"]
    rows = read(file("a.json", '[{"id": 1},\n\n{"id": 2}]'))
    assert [rows.where for _ in rows] == ["a.json, element 1", "a.json, element 2"]


def test_bad_file_says_where_and_what_to_do(file, subtests):
    for name, content, where, message in [
        ("a.csv", "", "a.csv", "the file is empty"),
        ("a.jsonl", "\ufeff \n\n", "a.jsonl", "the file is empty"),
        ("a.csv", "id,text\n1,x\n2,caf\u00e9\n".encode("latin-1"), "a.csv:3", "not UTF-8: 0xE9 at column 6 (byte 6 of the line)"),
        ("a.csv", b"id,text\n1,\xc3\xa9\xff\n", "a.csv:2", "not UTF-8: 0xFF at column 4 (byte 5 of the line)"),
        ("a.json", b'[{"id": 1},\n{"id": "\xe9"}]', "a.json:2", "not UTF-8: 0xE9 at byte 21 of the file"),
        ("a.json", b'[{"id": 1}]\n\xe2\x82', "a.json:2", "the file ends in the middle of a character"),
        ("a.csv", "id,text\n1,x\n2\n", "a.csv:3", "1 cells, but the header has 2"),
        ("a.csv", 'id,text\n1,"x\ny"\n2,x,y\n', "a.csv:4", "3 cells, but the header has 2"),
        ("a.csv", "id,text,id\n1,x,2\n", "a.csv:1", "the header names 'id' more than once"),
        ("a.csv", "id,text\n1,x\0y\n", "a.csv:2", "a NUL byte at byte 4 of the line"),
        ("a.jsonl", '{"id": 1}\n{"id": "\0"}\n', "a.jsonl:2", "a NUL byte at byte 9 of the line"),
        ("a.csv", 'id,text\n1,x\n2,"never closed\n3,y\n', "a.csv:3", "a cell opens with a quote that isn't closed properly"),
        ("a.csv", 'id,text\n1,x\n2,"never closed\n3,"y"\n', "a.csv:3", "a cell opens with a quote that isn't closed properly"),
        ("a.csv", 'id,text\n"1\n",""\n"2\n\n","open\n3,y\n', "a.csv:6", "a cell opens with a quote that isn't closed properly"),
        ("a.csv", 'id,text\n1,"she said "hi" to me"\n', "a.csv:2", "a cell opens with a quote that isn't closed properly"),
        ("a.csv", "id,text\n1,x\r2,y\n", "a.csv:2", "a bare carriage return outside quotes"),
        ("a.jsonl", '{"id": 1}\n{"score": NaN}\n', "a.jsonl:2", "NaN is not JSON: write null where a value is missing"),
        ("a.jsonl", '{"score": -Infinity}\n', "a.jsonl:1", "-Infinity is not JSON: write null where a value is missing"),
        ("a.jsonl", '{"score": 1e999}\n', "a.jsonl:1", "the number 1e999 is too large"),
        ("a.jsonl", '{"id": 1}\n\n[1, 2]\n', "a.jsonl:3", "this is a list, not an object with named values"),
        ("a.jsonl", '"text"\n', "a.jsonl:1", "this is a text, not an object with named values"),
        ("a.jsonl", '{"id": 1, "id": 2}\n', "a.jsonl:1", "the key 'id' stands twice in one object"),
        ("a.jsonl", '{"a": {"b": 1, "b": 2}}\n', "a.jsonl:1", "the key 'b' stands twice in one object"),
        ("a.jsonl", '{"id": 1}\n{"id": 2\n', "a.jsonl:2", "not valid JSON at column 9: Expecting ',' delimiter"),
        ("a.jsonl", "id,text\n", "a.jsonl:1", "not valid JSON at column 1: Expecting value"),
        ("a.jsonl", '{"a": "\\ud83d"}\n', "a.jsonl:1", "column 'a' holds half a character (a lone surrogate)"),
        ("a.jsonl", '{"a": ["\\u0000"]}\n', "a.jsonl:1", "column 'a' holds a NUL character"),
        ("a.jsonl", '{"a": ' + "[" * 100_000 + "\n", "a.jsonl:1", "nested too deeply"),
        (
            "a.json",
            '[{"id": 1},\n {"id": 2,}]',
            "a.json:2",
            "not valid JSON at column 11: Expecting property name enclosed in double quotes",
        ),
        ("a.json", '[{"id": 1},\n\n 7]', "a.json, element 2", "this is a number, not an object with named values"),
        ("a.json", '[{"id": NaN}]', "a.json, element 1", "NaN is not JSON: write null where a value is missing"),
        ("a.json", '[{"id": 1}\n', "a.json:2", "expected a comma or ], found the end of the file"),
        ("a.json", '[{"id": 1}]\n{"id": 2}', "a.json:2", "expected nothing after the array's ], found '{'"),
        ("a.json", "7", "a.json:1", "expected [ at the start, found '7'"),
        ("a.csv", b"PK\x03\x04 and so on", "a.csv", "this is an Excel workbook or a zip archive, not a table as text or Parquet"),
        ("a.csv", "id,text\n".encode("utf-16"), "a.csv", "this is UTF-16 text, not a table as text or Parquet"),
        ("a.parquet", "id,text\n", "a.parquet", "can't be read as Parquet:"),
    ]:
        with subtests.test(name=name, content=content, where=where, message=message):
            error = refusal(file(name, content))
            assert error.where == where
            assert error.message.startswith(message)
            assert error.hint


def test_latin_1_is_named(file):
    assert "Windows-1252 or Latin-1, where 0xE9 is 'é'" in refusal(file("a.csv", "text\ncafé\n".encode("latin-1"))).hint


def test_a_syntax_error_far_into_an_array_is_placed_in_the_file(file):
    content = "[" + '{"id": 1}, ' * 200_000 + '\n{"id": 2},' + '{"id": 3}, ' * 200_000 + '{"id" 4}]'
    error = refusal(file("a.json", content))
    column = content.split("\n")[1].index("4}") + 1
    assert (error.where, error.message) == ("a.json:2", f"not valid JSON at column {column}: Expecting ':' delimiter")


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.csv", "id,text\n1,short\n2," + "x" * 10_000_000 + "\n", "a.csv:3"),
        ("a.jsonl", '{"id": 1}\n{"id": 2, "text": "' + "x" * 10_000_000 + '"}\n', "a.jsonl:2"),
        ("a.json", '[{"id": 1}, {"id": 2, "text": ["' + "x" * 10_000_000 + '"]}]', "a.json, element 2"),
    ],
)
def test_ten_megabyte_cell_is_refused_unless_allowed(file, name, content, where):
    path = file(name, content)
    error = refusal(path)
    assert (error.where, error.message) == (where, "column 'text' holds 10,000,000 characters; at most 2,000,000 are allowed")
    assert "max_cell" in error.hint
    assert len(list(read(path, max_cell=10_000_000))) == 2


def test_a_line_or_record_without_end_is_given_up_early(file):
    error = refusal(file("a.jsonl", '{"id": 1}\n{"text": "' + "x" * 5000), max_cell=100)
    assert (error.where, error.message) == ("a.jsonl:2", "this line is longer than 3,200 bytes")
    error = refusal(file("a.csv", 'text\nok\n"' + "never closed\n" * 500), max_cell=100)
    assert (error.where, error.message) == ("a.csv:3", "the record that starts here is longer than 3,200 characters")


def test_json_columns_are_read_as_json_and_others_never(file):
    path = file("a.csv", 'id,tags,note\n1,"[""a"", 1]","[1]"\n2,,\n')
    rows = [{"id": "1", "tags": ["a", 1], "note": "[1]"}, {"id": "2", "tags": None, "note": ""}]
    assert list(read(path, json_columns=["tags"])) == rows
    error = refusal(path, json_columns=["tag"])
    assert (error.where, error.message) == ("a.csv:1", "no column is called 'tag', did you mean 'tags'?")
    error = refusal(file("b.csv", "id,tags\n1,[oops\n"), json_columns=["tags"])
    assert (error.where, error.message) == ("b.csv:2", "column 'tags': not valid JSON at column 2: Expecting value")


def test_missing_file_names_the_nearest(file, tmp_path):
    file("reviews.csv", "id\n1\n")
    error = refusal(tmp_path / "review.csv")
    assert (error.message, error.hint) == ("no such file", "did you mean 'reviews.csv'?")
    assert refusal(tmp_path / "xyz").hint == "files there: reviews.csv"
    assert refusal(tmp_path / "none" / "a.csv").message == "no such file: its folder doesn't exist either"


def test_folder_pipe_and_unknown_format_are_refused(file, tmp_path):
    file("reviews.csv", "id\n1\n")
    assert (refusal(tmp_path).message, refusal(tmp_path).hint) == ("this is a folder, not a file", "name a file in it: reviews.csv")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").message == "this is not a regular file"
    assert refusal(tmp_path / "reviews.csv", format="jsonlines").message == "no format is called 'jsonlines', did you mean 'jsonl'?"


@pytest.mark.parametrize("suffix", ["", ".csv", ".tsv", ".json", ".jsonl", ".parquet"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:;\t|\r\n\\u0aé€1. =NIe-', max_size=80).map(str.encode)))
def test_no_bytes_raise_anything_but_a_user_error(tmp_path, suffix, content):
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert all(isinstance(row, dict) for row in read(path))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_memory_stays_small_however_long_the_file(file, name):
    csv = "id,text\n" + "1,some words about a product\n" * 30_000
    objects = ['{"id": 1, "text": "some words about a product"}'] * 30_000
    content = {"a.csv": csv, "a.jsonl": "\n".join(objects), "a.json": f"[{', '.join(objects)}]"}[name]
    path = file(name, content)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path)) == 30_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * 2**20  # megabyte-sized chunks of a JSON array; as a list, the rows would take 12 MB


def test_bad_rows_of_a_table_and_elements_of_an_array_are_all_told(tmp_path):
    (tmp_path / "a.csv").write_text('id,text\n1,x\n2\n3,"two\nlines"\n4,y,z\n5,w\n')
    (tmp_path / "a.json").write_text('[{"id": 1}, 5, {"id": 2}, "x"]')
    for name, places in (("a.csv", ["a.csv:3", "a.csv:6"]), ("a.json", ["a.json, element 2", "a.json, element 4"])):
        faults = []
        rows = list(read(tmp_path / name, on_fault=faults.append))
        assert [fault.where for fault in faults] == places
        assert len(rows) == (3 if name == "a.csv" else 2)


def test_a_tools_file_read_plainly_has_its_own_columns(tmp_path):
    frame = tmp_path / "frame.csv"
    frame.write_text("task,worker,label\na,x,yes\n")
    assert read(frame).format == "crowdkit"
    rows = read(frame, "plain")
    assert (rows.format, list(rows)) == ("csv", [{"task": "a", "worker": "x", "label": "yes"}])
    with pytest.raises(UserError, match="this is a folder"):
        read(tmp_path, "plain")
