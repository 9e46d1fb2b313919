"""The round trip law: what is written is read back as the same rows, whatever the text."""

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.formats import read, write

HARD = [
    "💩 Ada paid 5€",
    "👩‍👩‍👧‍👦 family",
    "e\u0301 and é",
    "two\r\nlines",
    "lone \r and \n and \u2028 and \x85",
    "",
    " ",
    '"quoted", she said; with\ttab | bar',
    "=SUM(A1)",
    "'",
    "\ufeff",
    "{}",
    "[1, 2]",
    "NA",
    "\\u0000 and \\ud800",
]
TEXTS = st.one_of(st.sampled_from(HARD), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
NUMBERS = st.one_of(st.integers(-(2**80), 2**80), st.floats(allow_nan=False, allow_infinity=False))
JSON = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
COLUMNS = st.lists(TEXTS, min_size=1, max_size=4, unique=True)


def tables(values):
    return COLUMNS.flatmap(lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, values)), min_size=1, max_size=5))


relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(left, right):
    """Equal as JSON, where 1, 1.0 and true are three values."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@relaxed
@given(rows=tables(TEXTS))
def test_delimited_texts(tmp_path, name, rows):
    assert write(rows, tmp_path / name) == len(rows)
    assert list(read(tmp_path / name, format=name[2:])) == rows


@relaxed
@given(rows=tables(st.one_of(st.lists(JSON, max_size=3), st.dictionaries(TEXTS, JSON, max_size=3), NUMBERS, st.booleans(), st.none())))
def test_csv_nested_values_by_json_columns(tmp_path, rows):
    write(rows, tmp_path / "a.csv")
    assert same(list(read(tmp_path / "a.csv", json_columns=rows[0].keys())), rows)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@relaxed
@given(rows=st.lists(st.dictionaries(TEXTS, JSON, max_size=4), min_size=1, max_size=5))
def test_json(tmp_path, name, rows):
    write(rows, tmp_path / name)
    found = read(tmp_path / name)
    assert same(list(found), rows)
    assert found.format == name[2:]
    assert not found.warnings


@relaxed
@given(rows=tables(JSON))
def test_parquet(tmp_path, rows):
    assume(not any(f"{name}_json" in rows[0] for name in rows[0]))
    write(rows, tmp_path / "a.parquet")
    assert list(read(tmp_path / "a.parquet")) == rows


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_hard_texts_and_a_megabyte_in_every_format(tmp_path, name):
    rows = [{"id": str(number), "text": text} for number, text in enumerate([*HARD, "long 🙂 " * 150_000, "x" * 2**20])]
    write(rows, tmp_path / name)
    found = read(tmp_path / name)
    assert list(found) == rows
    again = tmp_path / "again"
    write(rows, again, format=found.format)
    assert again.read_bytes() == (tmp_path / name).read_bytes()


def test_any_format_can_be_turned_into_any_other(tmp_path):
    rows = [{"id": "1", "text": "x\ny"}, {"id": "2", "text": "💩"}]
    write(rows, tmp_path / "0.csv")
    for step, name in enumerate(["1.parquet", "2.jsonl", "3.tsv", "4.json", "5.csv"]):
        source = next(tmp_path.glob(f"{step}.*"))
        assert write(read(source), tmp_path / name) == 2
    assert list(read(tmp_path / "5.csv")) == rows


def test_reading_errors_leave_nothing_written(tmp_path):
    (tmp_path / "bad.csv").write_text("id,text\n1,x\n2\n")
    with pytest.raises(UserError):
        write(read(tmp_path / "bad.csv"), tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]
