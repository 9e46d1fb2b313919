"""Every registered format × every check: recognised, read, written, canonical, broken input. Examples are files of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from preceptor.formats.format_registry import formats
from preceptor.testing.format_contracts import EXAMPLE_CHECKS, FORMAT_CHECKS, broken_files_are_refused

EXAMPLES = Path(__file__).parent / "examples"


def examples(name):
    """`<format>.<extension>`, and more of them as `<format>-<what>.<extension>`; a folder counts as a file."""
    return sorted([*EXAMPLES.glob(f"{name}.*"), *EXAMPLES.glob(f"{name}-*.*")])


CASES = [  # broken in every way, the further examples of a format are for `make check-all`
    pytest.param(
        name,
        path,
        check,
        id=f"{path.name}-{check.__name__}",
        marks=[pytest.mark.slow] if number and check is broken_files_are_refused else [],
    )
    for name in formats.names()
    for number, path in enumerate(examples(name))
    for check in (EXAMPLE_CHECKS if number else FORMAT_CHECKS)
]


@pytest.mark.parametrize("name", formats.names())
def test_every_format_has_an_example(name):
    assert examples(name), f"put a small file in this format at {EXAMPLES.relative_to(Path.cwd())}/{name}.<extension>"


@pytest.mark.parametrize(("name", "path", "check"), CASES)
def test_format_contract(name, path, check):
    check(name, path)
