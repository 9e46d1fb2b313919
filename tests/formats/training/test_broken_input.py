"""Whatever stands in a record: it is read as a row, or refused with its place; never another error, and never half a row."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broken_json import broken
from preceptor.errors import UserError
from preceptor.formats import FormatTarget, formats, read, write
from preceptor.formats.training.llama_factory import dataset_info
from preceptor.testing.format_contracts import HARD_TEXTS

NAMES = ("openai_chat", "openai_preference", "trl", "alpaca", "sharegpt", "kto", "ragtruth")
HERE = Path(__file__).parent
PATHS = [path for folder in (HERE.parent / "examples", HERE / "examples") for path in sorted(folder.iterdir())]
FILES = [pytest.param(name, path, id=path.stem) for path in PATHS if (name := path.stem.partition("-")[0]) in NAMES]
WRONG = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(allow_nan=False), st.sampled_from(["", "x", "user", "gpt", "💩"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["role", "content", "x", "name"]), inner, max_size=2)
    ),
    max_leaves=4,
)
often = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def records_in(path):
    text = path.read_text()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]


def survives(name, path, count):
    """Good rows around a bad record are whole, and what is wrong with it is told at its line."""
    faults = []
    rows = list(read(path, name, on_fault=faults.append))
    assert len(rows) + len(faults) == count
    assert all(fault.where.startswith(path.name) for fault in faults)
    refused = []
    write_some(rows, path.with_suffix(".out"), name, refused.append)
    assert all(fault.where.startswith("row ") for fault in refused)


def write_some(rows, path, name, on_fault):
    """Write what can be written; False where that is nothing."""
    with path.open("wb") as file:
        return bool(formats.get(name).write(iter(rows), FormatTarget(file, on_fault=on_fault, suffix=path.suffix)))


@pytest.mark.parametrize(("name", "path"), FILES)
@often
@given(data=st.data())
def test_wrong_values_in_any_field(tmp_path, name, path, data):
    records = records_in(path)
    number = data.draw(st.integers(0, len(records) - 1))
    lines = [*records[:number], broken(records[number], data, least=1, most=3, wrong=WRONG), *records[number + 1 :]]
    file = tmp_path / "broken.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    survives(name, file, len(lines))


@pytest.mark.parametrize(("name", "path"), FILES)
@often
@given(data=st.data())
def test_cut_and_changed_bytes(tmp_path, name, path, data):
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(1, len(content) - 1))
    content = content[:at] if data.draw(st.booleans()) else content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    file = tmp_path / path.name
    file.write_bytes(content)
    for format in (name, "auto"):
        faults = []
        try:
            list(read(file, format, on_fault=faults.append))
        except UserError as error:
            faults.append(error)
        assert all(fault.where for fault in faults)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", HARD_TEXTS, ids=range(len(HARD_TEXTS)))
def test_any_text_is_written_as_it_is_or_refused_by_its_row(tmp_path, name, text):
    spans = [{"question": "q", "kind": "spans", "answer": [], "annotator": "ada"}]
    rows = [
        {"id": "1", "text": text, "answer": "good"},
        {"id": "2", "prompt": "Who?", "completion": text},
        {"id": "3", "prompt": text, "responses": ["a", text], "answer": "1"},
        {"id": "4", "prompt": "Who?", "completion": text, "answer": "up"},
        {"id": "5", "text": text, "judgments": spans},
        {"id": "6", "text": text},
    ]
    held = 0
    for row in rows:
        once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
        faults = []
        if not write_some([row], once, name, faults.append):
            assert [fault.where.partition(",")[0] for fault in faults] == ["row 1"]
            continue
        held += 1
        assert json.dumps(text, ensure_ascii=False) in once.read_text()
        write(read(once, name, max_cell=10_000_000), twice, name)
        assert twice.read_bytes() == once.read_bytes()
    assert held or not text.strip()


@pytest.mark.parametrize("content", [b"", b"{", b"[5]", b"5\n", b'{"messages": 5}\n', b'{"instruction": []}'])
def test_dataset_info_of_rubbish(tmp_path, content):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UserError):
        dataset_info(tmp_path / "a.jsonl")
