"""Rankings: better than one person's, and than the order that most gave; sure where it should be."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.plackett_luce import RankingColumns


def simulate(seed, *, items=300, width=4, people=20, each=4, spread=1.5, careless=0.25):
    """True orders (items, width) and judgments: Plackett and Luce's people, of whom some rank at random nine times in ten."""
    rng = np.random.default_rng(seed)
    worth = rng.normal(0, spread, (items, width))
    care = np.where(np.arange(people) < careless * people, 0.1, 0.95)
    item = np.repeat(np.arange(items), each)
    annotator = np.concatenate([rng.permutation(people)[:each] for _ in range(items)])
    careful = rng.random(len(item)) < care[annotator]
    seen = np.where(careful[:, None], worth[item] + rng.gumbel(size=(len(item), width)), rng.random((len(item), width)))
    said = [tuple(order) for order in np.argsort(-seen, axis=1).tolist()]
    return np.argsort(-worth, axis=1), Judgments.from_columns(item=item, annotator=annotator, answer=said)


def orders(consensus):
    return np.array([answer["order"] for answer in consensus.top])


@pytest.mark.parametrize(("spread", "careless"), [(1.5, 0.25), (3.0, 0.25), (3.0, 0.0)])
def test_finds_more_orders_than_one_person_and_than_most(spread, careless):
    truth, judgments = simulate(0, spread=spread, careless=careless)
    right = (orders(aggregate(judgments, "rank")) == truth).all(axis=1).mean()
    said = np.array(judgments.answers)[judgments.answer_code]
    assert right > (said == truth[judgments.item_code]).all(axis=1).mean() + 0.1
    assert right > (np.array(aggregate(judgments, "majority").top) == truth).all(axis=1).mean() + 0.03


def test_is_as_sure_as_it_is_right():
    for spread, each in ((1.5, 4), (3.0, 7)):
        truth, judgments = simulate(1, spread=spread, each=each, careless=0.0)
        fitted = aggregate(judgments, "rank")
        right = (orders(fitted) == truth).all(axis=1).mean()
        assert fitted.certainty.mean() == pytest.approx(right, abs=0.08)
        top = np.array([part["top"] for part in fitted.parts])
        assert top.mean() == pytest.approx((orders(fitted)[:, 0] == truth[:, 0]).mean(), abs=0.08)


def test_who_ranks_at_random_agrees_less():
    _, judgments = simulate(2)
    accuracy = [aggregate(judgments, "rank").annotators[person].accuracy.value for person in range(20)]
    assert max(accuracy[:5]) < min(accuracy[5:])


def test_more_of_the_same_makes_it_surer():
    sure = [
        float(aggregate(Judgments.from_columns(item=[0] * n, annotator=range(n), answer=[(1, 0, 2)] * n), "rank").certainty[0])
        for n in (1, 2, 5)
    ]
    assert sure == sorted(sure)
    assert sure[0] < 0.7 < sure[2]


def test_worths_by_hand():
    """Two responses, two of three people for the first: λ (a + 3/(λ1 + λ2)) = a + wins, so for a = 1 they are 3/2 to 1; their sum is 2."""
    ranked = RankingColumns.from_judgments(Judgments.from_columns(item=[0] * 3, annotator=list("abc"), answer=[(0, 1), (0, 1), (1, 0)]))
    worth = np.ones((1, 2))
    for _ in range(100):
        worth = ranked.mm_step(worth, np.ones(3), 1.0)
    assert worth[0] == pytest.approx([1.2, 0.8])


def test_gold_and_the_top_alone():
    _, judgments = simulate(3, items=20)
    fitted = aggregate(judgments, "rank", gold={0: (3, 2, 1, 0), "unseen": (0, 1, 2, 3)}, sure_of="top")
    assert fitted.top[0] == {"order": [3, 2, 1, 0], "shown": None}
    assert fitted.certainty[0] == 0.99
    assert (fitted.certainty[1:] >= aggregate(judgments, "rank").certainty[1:]).all()


@pytest.mark.parametrize("answers", [[(0, 1), (0, 1, 2)], [(0, 0)], [(1, 2)], ["ab", "ba"], [(0,)]])
def test_what_is_no_order_is_told(answers):
    with pytest.raises(UserError, match="names each response once"):
        aggregate(Judgments.from_columns(item=[0] * len(answers), annotator=range(len(answers)), answer=answers), "rank")
