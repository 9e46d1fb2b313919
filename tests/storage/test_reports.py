"""Which report about a model is the newest, on both databases."""

from __future__ import annotations

from preceptor import Project
from preceptor.storage import artifacts


def test_the_report_that_was_made_last_is_the_newest_even_where_it_says_what_an_earlier_one_said(database_url, tmp_path):
    project, made = Project.create(tmp_path / "p", database=database_url), []
    for digest in ("a", "b", "a"):
        with project.database.writing() as connection:
            artifacts.add_report(connection, digest=digest, model="m", snapshot="s", split="test")
        with project.database.reading() as connection:
            made.append(artifacts.latest_report(connection, "m", "test"))
            assert artifacts.find_report(connection, "m", "s", "test") == digest
    project.close()
    assert made == ["a", "b", "a"]
