"""Through a project and back: for every format of another tool, what is exported equals the canonical form of what was imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from preceptor import Project
from preceptor.annotation.row_parser import CONTENT_FIELDS
from preceptor.formats import read
from preceptor.formats.format_registry import formats
from preceptor.release.data_export import export_file
from preceptor.testing import format_contracts
from preceptor.testing.broken_files import read_parts

EXAMPLES = Path(__file__).parents[2] / "formats" / "examples"
SHAPED = [name for name in formats.names() if formats.get(name).by_shape]
GIVEN = "x" * 100
CASES = [
    pytest.param(name, path, id=path.name)
    for name in SHAPED
    for path in sorted([*EXAMPLES.glob(f"{name}.*"), *EXAMPLES.glob(f"{name}-*.*")])
]


def values(path: Path):
    """What a file or a folder holds, without its layout."""
    return format_contracts._content(read_parts(path))


def without_texts(found):
    """The same without the texts of items that the file only names, which the project had from elsewhere."""
    records = next(iter(found.values()))
    for record in records if isinstance(records, list) else ():
        if isinstance(record, dict) and record.get("preceptor") == {"text": GIVEN}:
            del record["preceptor"]
            record["user_id"] = record["user_id"] or "cy"  # who says nothing about an item that is there leaves nothing to keep
    return found


@pytest.mark.parametrize(("name", "path"), CASES)
def test_what_went_through_a_project_is_what_it_was(tmp_path, name, path):
    project = Project.create(tmp_path / "project")
    project.add_items({"id": row["id"], "text": GIVEN} for row in read(path, name) if not any(part in row for part in CONTENT_FIELDS))
    report = project.read(path)
    assert (report.format, report.skipped) == (name, [])
    assert report.read == report.imported > 0
    (tmp_path / "out").mkdir()
    export_file(project, "judgments", tmp_path / "out" / path.name, format=name)
    difference = format_contracts._difference(values(path), without_texts(values(tmp_path / "out" / path.name)))
    assert not difference, f"through a project, it differs at {difference}"
    again = project.read(path)
    assert (again.items, again.judgments, again.drafts, again.skips, again.predictions, again.gold) == (0, 0, 0, 0, 0, 0)
    project.close()
