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


BROKEN = [  # broken in every way, the further examples of a format are for `make check-all`
    pytest.param(name, path, id=path.name, marks=[pytest.mark.slow] if number else [])
    for name in formats.names()
    for number, path in enumerate(examples(name))
]


def test_every_format_has_an_example(subtests):
    for name in formats.names():
        with subtests.test(name=name):
            assert examples(name), f"put a small file in this format at {EXAMPLES.relative_to(Path.cwd())}/{name}.<extension>"


@pytest.mark.parametrize("name", formats.names())
def test_format_contract(name, subtests):
    for number, path in enumerate(examples(name)):
        for check in EXAMPLE_CHECKS if number else FORMAT_CHECKS:
            if check is not broken_files_are_refused:
                with subtests.test(path=path.name, check=check.__name__):
                    check(name, path)


@pytest.mark.parametrize(("name", "path"), BROKEN)
def test_broken_files_are_refused(name, path):
    broken_files_are_refused(name, path)
