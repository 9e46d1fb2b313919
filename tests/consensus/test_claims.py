"""Claims: better verdicts than one person's and than the answer that most gave, marked together or split by each."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.claims import parse_claims

VERDICTS = ("supported", "contradicted", "not_found")


def simulate(seed, *, split, items=150, people=12, each=4):
    """True verdicts and judgments; who splits the response overlooks some claims and slips at their edges."""
    rng = np.random.default_rng(seed)
    skill = rng.choice([0.95, 0.75, 0.4], people, p=[0.4, 0.3, 0.3])
    truths, rows = [], []
    for item in range(items):
        names = [(30 * k, 30 * k + 30) if split else k for k in range(int(rng.integers(1, 5)))]
        truth = tuple((name, VERDICTS[rng.choice(3, p=[0.6, 0.15, 0.25])]) for name in names)
        truths.append(truth)
        for person in rng.permutation(people)[:each]:
            marks = []
            for name, verdict in truth:
                said = verdict if rng.random() < skill[person] else VERDICTS[rng.integers(3)]
                if split and rng.random() < 0.3 * (1 - skill[person]):
                    continue
                slip = split and rng.random() < 1 - skill[person]
                marks.append(((name[0] + int(rng.integers(6)), name[1] - int(rng.integers(6))) if slip else name, said))
            rows.append((item, int(person), tuple(marks)))
    item, annotator, answer = zip(*rows, strict=True)
    return truths, Judgments.from_columns(item=item, annotator=annotator, answer=answer)


def right(found, truths):
    """The share of true claims found with their verdict."""
    return np.mean([dict(one).get(name) == verdict for one, truth in zip(found, truths, strict=True) for name, verdict in truth])


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_finds_more_than_one_person_and_than_most(split, seed):
    truths, judgments = simulate(seed, split=split)
    fitted = aggregate(judgments, "claims", verdicts=VERDICTS)
    ours = right([parse_claims(answer) for answer in fitted.top], truths)
    assert ours > right([judgments.answers[k] for k in judgments.answer_code], [truths[k] for k in judgments.item_code]) + 0.1
    assert ours > right(aggregate(judgments, "majority").top, truths) + 0.05
    assert fitted.certainty.mean() < ours  # it keeps the doubt of `auto`


def of_item(*said, **options):
    j = Judgments.from_columns(item=[0] * len(said), annotator=list("abcdef"[: len(said)]), answer=list(said))
    fitted = aggregate(j, "claims", verdicts=VERDICTS, **options)
    return parse_claims(fitted.top[0]), float(fitted.certainty[0])


def test_passages_that_share_half_are_one_claim_as_most_gave_it():
    found, _ = of_item((((0, 20), "supported"),), (((0, 20), "supported"),), (((0, 24), "supported"),))
    assert found == (((0, 20), "supported"),)


def test_a_claim_that_few_saw_is_left_out():
    both, one = (((0, 20), "supported"), ((30, 50), "not_found")), (((0, 20), "supported"),)
    assert of_item(both, one, one)[0] == one
    assert of_item(both, both, one)[0] == both
    assert of_item(both, one, one)[1] < of_item(one, one, one)[1]


def test_texts_that_are_alike_are_one_claim():
    found, _ = of_item((("It was in July.", "supported"),), (("it was in july", "supported"),), (("Nobody came", "not_found"),))
    assert [verdict for _, verdict in found] == ["supported"]


def test_no_claims_are_surer_the_more_people_saw_none():
    assert of_item(()) == ((), 0.5)
    assert of_item((), (), ()) == ((), 0.75)


def test_gold_and_rubbish():
    found, sure = of_item(((0, "supported"),), gold={0: [{"claim": 0, "verdict": "contradicted", "source": 1}]})
    assert (found, sure) == (((0, "contradicted"),), 0.99)
    with pytest.raises(UserError, match="claims are"):
        of_item(("supported",))


def test_parts_hold_each_verdicts_chance():
    j = Judgments.from_columns(item=[0, 0], annotator=["a", "b"], answer=[((0, "supported"),), ((0, "not_found"),)])
    chances = aggregate(j, "claims", verdicts=VERDICTS).parts[0]["verdicts"][0]
    assert sum(chances.values()) == pytest.approx(1, abs=1e-3)
    assert chances["contradicted"] < min(chances["supported"], chances["not_found"])
