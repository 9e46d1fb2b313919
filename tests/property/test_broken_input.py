"""Whatever a file holds, a reader gives rows or a UserError with a place; it never fails in another way."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.format_registry import FormatTarget, formats
from preceptor.testing.broken_files import parse_records, read_parts, write_parts

EXAMPLES = Path(__file__).parent.parent / "formats" / "examples"
WORDS = ("", "x", "true", "A", "tie", "[]", "{}", "1", "💩", "accept", "ignore", "gpt", "user", "messages", "id", "text", "preceptor")
LEAVES = st.one_of(st.sampled_from(WORDS), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.booleans(), st.none())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)),
    max_leaves=6,
)
relaxed = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
CASES = [(name, path) for name in formats.names() for path in sorted(EXAMPLES.glob(f"{name}.*"))[:1]]


def survives(name, path):
    """The file is read, and what came of it written, without another error than UserErrors with a place."""
    faults = []
    with suppress(UserError):
        read(path)
    try:
        rows = list(read(path, name, on_fault=faults.append))
        formats.get(name).write(iter(rows), FormatTarget(io.BytesIO(), folder=path.parent / "again"))
    except UserError as error:
        faults.append(error)
    assert all(fault.where for fault in faults)


@pytest.mark.parametrize(("name", "example"), CASES, ids=[path.name for _, path in CASES])
@relaxed
@given(data=st.data())
def test_spliced_bytes(tmp_path_factory, name, example, data):
    """A piece of the file is taken out, doubled, moved, or makes room for other bytes."""
    parts = read_parts(example)
    part = data.draw(st.sampled_from(sorted(parts)))
    content = parts[part]
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
    piece = content[start:end]
    filling = data.draw(
        st.one_of(st.just(b""), st.just(piece * 2), st.binary(max_size=20), st.sampled_from([b"\0", b"\xff", b"\n", b"}{", b'"']))
    )
    path = tmp_path_factory.mktemp("spliced") / example.name
    write_parts({**parts, part: content[:start] + filling + content[end:]}, path)
    survives(name, path)


JSON_CASES = [(name, path) for name, path in CASES if path.is_file() and parse_records(path.read_bytes()) is not None]


@pytest.mark.parametrize(("name", "example"), JSON_CASES, ids=[path.name for _, path in JSON_CASES])
@relaxed
@given(data=st.data())
def test_other_values_under_the_names_that_the_format_knows(tmp_path_factory, name, example, data):
    """Records of the format in which anything stands anywhere."""
    records, as_text = parse_records(example.read_bytes())
    record = json.loads(json.dumps(data.draw(st.sampled_from(records))))
    for _ in range(data.draw(st.integers(1, 3))):
        _change(record, data)
    path = tmp_path_factory.mktemp("changed") / example.name
    write_parts({"": as_text([record, *records[1:]])}, path)
    survives(name, path)


def _change(record, data):
    """Puts some value into a random place of the record, at any depth."""
    at = record
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            at[key] = data.draw(VALUES)
            return
        at = at[key]
