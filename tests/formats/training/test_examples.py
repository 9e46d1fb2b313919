"""Each shape of trainers' files beyond those in the table of formats: recognised, read with places, and written as it came."""

from pathlib import Path

import pytest

from preceptor.testing.format_contracts import canonical, every_bad_row_is_told, idempotent, read_with_places, recognised

EXAMPLES = sorted((Path(__file__).parent / "examples").iterdir())


@pytest.mark.parametrize(
    "check", [recognised, read_with_places, canonical, idempotent, every_bad_row_is_told], ids=lambda check: check.__name__
)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, check):
    check(path.stem.partition("-")[0], path)
