from __future__ import annotations

from pathlib import Path

import pytest

from tiers import EXHAUSTIVE, INTEGRATION, is_exhaustive, is_integration

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("start", [*INTEGRATION, *EXHAUSTIVE])
def test_what_is_named_is_there(start):
    path, _, name = start.partition("::")
    assert (TESTS / path).exists()
    assert f"def {name.partition('[')[0]}" in (TESTS / path).read_text(encoding="utf-8") if name else True


@pytest.mark.parametrize(
    ("path", "name", "fixtures", "parameters", "second"),
    [
        ("faults/test_x.py", "test_a", (), (), True),
        ("web/test_x.py", "test_a", ("browser",), (), True),
        ("web/test_x.py", "test_a[postgresql]", ("database_url",), ("postgresql",), True),
        ("store/test_x.py", "test_a[postgresql]", ("database_url",), ("postgresql",), False),
        ("recipes/test_sft.py", "test_a_killed_run", (), (), True),
        ("guidance/test_x.py", "test_who_has_a_skill", (), (), False),
    ],
)
def test_the_tier_of_a_test(path, name, fixtures, parameters, second):
    assert is_integration(path, name, fixtures, parameters) is second


@pytest.mark.parametrize(("kind", "exhaustive"), [("csv.csv", False), ("kto.jsonl", True)])
def test_files_of_two_kinds_are_broken_everywhere_each_time_and_of_all_kinds_in_check_all(kind, exhaustive):
    assert is_exhaustive("formats/test_table.py", f"test_format_contract[{kind}-broken_files_are_refused]") is exhaustive
