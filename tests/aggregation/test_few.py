"""A handful of judgments doesn't deny itself: what everybody says is the answer, however few they are."""

from __future__ import annotations

import pytest

from preceptor.aggregation import Judgments, aggregate


@pytest.mark.parametrize("method", ["auto", "majority", "dawid_skene", "one_coin", "mace", "glad"])
@pytest.mark.parametrize("answers", [2, 3, 9])
@pytest.mark.parametrize("items", [1, 2, 3])
@pytest.mark.parametrize("people", [1, 2])
def test_what_all_of_a_few_say_is_the_answer(method, answers, items, people):
    judgments = Judgments.from_columns(
        item=[f"i-{item}" for item in range(items) for _ in range(people)],
        annotator=[f"p-{person}" for _ in range(items) for person in range(people)],
        answer=[1] * (items * people),
        answers=list(range(answers)),
    )
    assert set(aggregate(judgments, method).top) == {1}
