"""Each shape of trainers' files beyond those in the table of formats: recognised, read with places, and written as it came."""

from pathlib import Path

import pytest

from preceptor.testing.format_contracts import (
    every_bad_row_is_reported,
    format_is_recognized,
    round_trip_is_canonical,
    round_trip_is_idempotent,
    rows_have_places,
)

EXAMPLES = sorted((Path(__file__).parent / "examples").iterdir())


CHECKS = [format_is_recognized, rows_have_places, round_trip_is_canonical, round_trip_is_idempotent, every_bad_row_is_reported]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, subtests):
    for check in CHECKS:
        with subtests.test(check=check.__name__):
            check(path.stem.partition("-")[0], path)
