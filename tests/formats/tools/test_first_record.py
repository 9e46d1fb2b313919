"""A tool's file that is written here is known again by its first record, whatever was said of that item."""

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write
from preceptor.formats.format_registry import formats

SAID = {"question": "q", "kind": "choice", "answer": "yes", "annotator": "ann"}
FIRST = {
    "nothing": {},
    "draft": {"judgments": [{**SAID, "status": "draft"}]},
    "skip": {"judgments": [{"question": "q", "kind": "choice", "annotator": "ann", "status": "skipped"}]},
    "known answer": {"judgments": [{**SAID, "gold": True}]},
    "known answer of nobody": {"judgments": [{"question": "q", "kind": "choice", "answer": "yes", "gold": True}]},
    "guess": {"predictions": [{"question": "q", "kind": "choice", "answer": "no", "model": "m"}]},
    "nobody's": {"judgments": [{"question": "q", "kind": "choice", "answer": "yes"}]},
}
TOOLS = [tool.name for tool in map(formats.get, formats.names()) if tool.grouped and tool.by_shape and not tool.writes_folder]


def what_was_said(rows):
    """Judgments and guesses by item, without what only the tool knows of them."""
    found = {}
    for row in rows:
        for part in ("judgments", "predictions"):
            for each in row.get(part) or ():
                plain = {name: value for name, value in each.items() if name != "extra" and (name, value) != ("status", "submitted")}
                found.setdefault((row["id"], part), []).append(plain)
    return found


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_is_known_by_its_first_record(tmp_path, tool, first):
    rows = [{"id": "a", "text": "one", **FIRST[first]}, {"id": "b", "text": "two", "judgments": [SAID]}]
    path = tmp_path / f"file.{'csv' if tool in ('crowdkit', 'cleanlab') else 'jsonl'}"
    try:
        write(rows, path, tool)
    except UserError:
        return  # what a tool can't hold it refuses by name
    found = read(path)
    assert found.format == tool
    if tool != "cleanlab":  # which holds labels of named people alone
        assert what_was_said(found) == what_was_said(rows)


@pytest.mark.parametrize("tool", ["argilla", "doccano", "label_studio", "potato", "prodigy"])
def test_what_a_model_guessed_comes_back_once_however_many_judged(tmp_path, tool):
    guess = {"question": "q", "kind": "choice", "answer": "no", "model": "m", "score": 0.5}
    row = {"id": "a", "text": "one", "judgments": [{**SAID, "annotator": who} for who in ("ann", "bob", "eve")], "predictions": [guess]}
    write([row], tmp_path / "file", tool)
    back = what_was_said(read(tmp_path / "file", tool))
    assert back["a", "predictions"] == [guess]
    assert [each["annotator"] for each in back["a", "judgments"]] == ["ann", "bob", "eve"]
