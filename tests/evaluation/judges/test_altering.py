"""Claims made wrong on purpose."""

from __future__ import annotations

import pytest

from preceptor.evaluation.judges.claim_judges import corrupt_claim

SOURCE = "The fee rose to 250 dollars in March, said Anna Lind. Bert Holm paid 75 dollars before Easter."


@pytest.mark.parametrize(
    ("claim", "possible"),
    [
        ("It rose.", {"It fell."}),
        ("Nothing more", {"Nothing less"}),
        ("It is 250.", {"It is 75.", "It is not 250."}),
        ("It was not so.", {"It was so."}),
        ("In all, said Anna Lind", {"In none, said Anna Lind", "In all, said Bert Holm", "In all, said March", "In all, said Easter"}),
    ],
)
def test_what_is_altered(claim, possible):
    assert corrupt_claim(claim, (SOURCE,)) in possible


def test_it_is_the_same_each_time_and_another_claim():
    claim = "The fee rose to 250 dollars before Easter."
    assert corrupt_claim(claim, (SOURCE,)) == corrupt_claim(claim, (SOURCE,)) != claim


def test_what_has_nothing_to_alter_is_left():
    assert corrupt_claim("Yes.", (SOURCE,)) is None
    assert corrupt_claim("", ()) is None
