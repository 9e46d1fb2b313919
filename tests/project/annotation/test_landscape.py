"""What is believed of each item, how divided people are, agreement as work went on, and how each person answers."""

import numpy as np
import pytest

from preceptor.annotation.annotator_quality import measure_annotators
from preceptor.annotation.consensus_index import build_consensus_index
from preceptor.annotation.dashboard import measure_agreement_trend
from preceptor.annotation.judgment_set import JudgmentSet

ANSWERS = ("negative", "neutral", "positive")


@pytest.fixture
def divided(project):
    """100 items by five good people; from item 60 on, three of them answer at random."""
    rng = np.random.default_rng(0)
    project.add_items({"id": f"i-{n:03d}", "text": f"text number {n} of its own"} for n in range(100))
    for n in range(100):
        for k in range(5):
            astray = rng.random() < (0.1 if k > 2 or n < 60 else 1.0)
            said = rng.integers(3) if astray else n % 3
            project.add_annotator(f"p{k}")
            project.judge(f"i-{n:03d}", "sentiment", annotator=f"p{k}", answer=ANSWERS[said], seconds=float(k + 1))
    return project


def test_a_landscape_agrees_with_the_consensus_and_counts_who_differs(divided):
    found, fitted = build_consensus_index(divided, "sentiment"), divided.consensus("sentiment")
    with divided.database.reading() as connection:
        what, _, said, numbers = JudgmentSet.load(connection, "sentiment").columns
    for n in (0, 17, 99):
        item = f"i-{n:03d}"
        own = [answer for at, answer in zip(what, said, strict=True) if at == item]
        belief = found.get_belief(item)
        row = fitted.items.index(item)
        assert belief.top_answer == fitted.top[row]
        assert belief.certainty == pytest.approx(fitted.certainty[row])
        assert belief.disagreement == pytest.approx(1 - max(map(own.count, own)) / 5)
        assert dict(belief.posterior) == pytest.approx(dict(zip(fitted.answers, fitted.posterior[row], strict=True)))
        assert found.newest_judgment[row] == max(number for at, number in zip(what, numbers, strict=True) if at == item)
    assert found.get_belief("none") is None
    assert found.get_belief("zzz") is None
    order = [found.get_belief(item).certainty for item in found.item_page("uncertain", skip=0, limit=100)]
    assert order == sorted(order)
    assert len(found.item_page("uncertain", skip=0, limit=100, below=0.9)) == found.count_items("uncertain", 0.9) < 100
    splits = [found.get_belief(item).disagreement for item in found.item_page("disagreement", skip=0, limit=100)]
    assert splits == sorted(splits, reverse=True)
    assert min(splits) > 0
    assert len(splits) == found.count_items("disagreement")


def test_agreement_falls_where_people_go_astray(divided):
    found = measure_agreement_trend(build_consensus_index(divided, "sentiment"))
    assert found.alpha.low < found.alpha.value < found.alpha.high
    assert [part.items for part in found.periods] == [10] * 10
    early, late = found.periods[:6], found.periods[6:]
    assert max(part.alpha.value for part in late) < min(part.alpha.value for part in early)
    assert [part.last for part in found.periods] == [50 * (k + 1) for k in range(10)]


def test_agreement_that_is_undefined_says_why(project):
    project.add_items([{"id": "a", "text": "a"}])
    project.add_annotator("ann")
    project.judge("a", "sentiment", annotator="ann", answer="neutral")
    found = measure_agreement_trend(build_consensus_index(project, "sentiment"))
    assert found.alpha is None
    assert found.undefined_reason == "alpha undefined: no item has two votes"
    assert found.periods == ()


def test_each_persons_figures(divided):
    divided.add_gold("sentiment", {f"i-{n:03d}": ANSWERS[n % 3] for n in range(50, 90)})
    divided.add_annotator("idle")
    people = measure_annotators(divided, build_consensus_index(divided, "sentiment"))
    assert list(people) == ["p0", "p1", "p2", "p3", "p4", "idle"]
    assert [people[f"p{k}"].seconds for k in range(5)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert people["p4"].accuracy.low > people["p0"].accuracy.value
    good, astray = people["p4"], people["p0"]
    assert len(good.gold_results) == 40
    assert good.gold_accuracy.value == sum(good.gold_results) / 40 > astray.gold_accuracy.value
    curve = astray.gold_accuracy_curve()
    assert [n for n, *_ in curve] == list(range(1, 41))
    assert curve[-1][1] == pytest.approx(astray.gold_accuracy.value)
    assert all(low <= share <= high for _, share, low, high in curve)
    assert people["idle"].judgments == 0
    assert people["idle"].accuracy is None
    assert people["idle"].gold_accuracy_curve() == []


def test_a_lean_is_found_and_its_interval_covers_nothing_where_there_is_none(project):
    """30 people without a lean and one who says positive half of the time: shown for 5 % of the former at most."""
    rng = np.random.default_rng(1)
    project.add_items({"id": f"i-{n:03d}", "text": f"text number {n}"} for n in range(90))
    for k in range(31):
        project.add_annotator(f"p{k:02d}")
        for n in range(0, 90, 2) if k < 30 else range(90):
            said = 2 if k == 30 and rng.random() < 0.5 else rng.integers(3) if rng.random() < 0.2 else n % 3
            project.judge(f"i-{n:03d}", "sentiment", annotator=f"p{k:02d}", answer=ANSWERS[said])
    people = measure_annotators(project, build_consensus_index(project, "sentiment"))
    lean = people["p30"].bias
    assert lean.answer == "positive"
    assert 0.1 < lean.excess.low < lean.excess.value < 0.5
    assert sum(person.bias.excess.low > 0 for name, person in people.items() if name != "p30") <= 4


def test_flags_come_with_their_person(project):
    project.add_items({"id": f"i-{n:03d}", "text": " ".join(f"word{m}" for m in range(40)) + f" {n}"} for n in range(60))
    for n in range(60):
        for k in range(4):
            hasty = k == 3
            answer = "neutral" if hasty else ANSWERS[(n + (n % 7 == k)) % 3]
            project.add_annotator(f"p{k}")
            project.judge(f"i-{n:03d}", "sentiment", annotator=f"p{k}", answer=answer, seconds=0.4 if hasty else 9.0)
    people = measure_annotators(project, build_consensus_index(project, "sentiment"))
    assert {flag.kind for flag in people["p3"].flags} == {"speeding", "straight-lining"}
    assert [len(people[f"p{k}"].flags) for k in range(3)] == [0, 0, 0]
