"""All of a project to a plain file, and from there to another project: it is what it was, whichever item comes first."""

from __future__ import annotations

import json

import pytest

from preceptor import Project
from preceptor.release.data_export import _item_rows_with_judgments, export_file

SAID = {"question": "q", "kind": "choice", "answer": "yes", "annotator": "ada"}
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
CASES = {
    "conversations": [{"messages": CHAT}, {"messages": CHAT[:1], "judgments": [SAID]}],
    "completions": [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d", "judgments": [SAID]}],
    "turns as a prompt": [{"prompt": CHAT[:1], "completion": CHAT[1:]}, {"prompt": "c", "completion": "d", "judgments": [SAID]}],
    "metadata": [{"id": "x1", "text": "p", "lang": "de", "group": "d"}],
    "an empty prompt": [{"id": "e", "prompt": ""}, {"id": "f", "prompt": "x", "judgments": [SAID]}],
    "an empty prompt alone": [{"id": "e", "prompt": "", "n": 1}],
    "responses": [{"prompt": "", "responses": ["a", "b"]}, {"prompt": "x", "responses": ["c", "d"], "sources": ["s"]}],
}


def project_of(folder, rows):
    project = Project.create(folder)
    file = folder.with_suffix(".jsonl")
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    project.read(file)
    return project


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("rows", CASES.values(), ids=CASES)
def test_everything_comes_back(tmp_path, rows, ending):
    one, other = project_of(tmp_path / "one", rows), Project.create(tmp_path / "other")
    export_file(one, "everything", tmp_path / f"all.{ending}")
    report = other.read(tmp_path / f"all.{ending}")
    assert (report.format, report.items) == (ending, len(rows))
    assert list(_item_rows_with_judgments(other, None, marked=True)) == list(_item_rows_with_judgments(one, None, marked=True))
    one.close()
    other.close()
