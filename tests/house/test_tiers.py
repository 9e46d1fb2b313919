from __future__ import annotations

from pathlib import Path

import pytest

from tiers import EXHAUSTIVE, INTEGRATION, POSTGRESQL_SMOKE, is_exhaustive, is_integration

TESTS = Path(__file__).parents[1]


def test_what_is_named_is_there():
    assert [start for start in (*INTEGRATION, *EXHAUSTIVE, *POSTGRESQL_SMOKE) if not is_there(start)] == []


def is_there(start):
    path, _, name = start.partition("::")
    return (TESTS / path).exists() and (not name or f"def {name.partition('[')[0]}" in (TESTS / path).read_text(encoding="utf-8"))


def test_what_is_not_there_is_found():
    assert not is_there("house/test_of_nothing.py")
    assert not is_there("house/test_tiers.py::test_of_nothing")


@pytest.mark.parametrize(
    ("path", "name", "fixtures", "parameters", "second"),
    [
        ("faults/test_x.py", "test_a", (), (), True),
        ("web/test_x.py", "test_a", ("browser",), (), True),
        ("web/test_x.py", "test_a[postgresql]", ("database_url",), ("postgresql",), True),
        ("storage/test_x.py", "test_a[postgresql]", ("database_url",), ("postgresql",), False),
        ("training/test_sft.py", "test_a_killed_run", (), (), True),
        ("planning/test_x.py", "test_who_has_a_skill", (), (), False),
    ],
)
def test_the_tier_of_a_test(path, name, fixtures, parameters, second):
    assert is_integration(path, name, fixtures, parameters) is second


@pytest.mark.parametrize(("kind", "exhaustive"), [("csv.csv", False), ("kto.jsonl", True)])
def test_files_of_two_kinds_are_broken_everywhere_each_time_and_of_all_kinds_in_check_all(kind, exhaustive):
    assert is_exhaustive("formats/test_table.py", f"test_broken_files_are_refused[{kind}]") is exhaustive


@pytest.mark.parametrize(
    ("path", "name", "exhaustive"),
    [
        ("storage/test_slots.py", "test_a[postgresql]", False),
        ("web/test_doors.py", "test_name_and_password[postgresql]", False),
        ("web/test_doors.py", "test_a_link_expires[postgresql]", True),
        ("web/test_doors.py", "test_a_link_expires[sqlite]", False),
    ],
)
def test_what_postgresql_hardly_changes_runs_there_in_check_all_alone(path, name, exhaustive):
    assert is_exhaustive(path, name, ("postgresql",) if "postgresql" in name else ("sqlite",)) is exhaustive
