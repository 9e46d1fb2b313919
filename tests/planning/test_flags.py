"""What looks unlike honest work: rarely raised about the honest, found where it was planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.quality.careless_answers import AnswerBehavior, BehaviorPool, flag_careless_answers

SHARES = {"no": 0.55, "partly": 0.3, "yes": 0.15}
WORDS = (
    "ship",
    "sails",
    "north",
    "over",
    "calm",
    "sea",
    "while",
    "gulls",
    "cry",
    "rope",
    "runs",
    "through",
    "wet",
    "hands",
    "till",
    "dusk",
)


def honest(rng, name, count=200, spread=0.3):
    """Somebody with a speed and a leaning of their own: seconds are lognormal, longer texts take longer."""
    pace, leaning = rng.normal(0, spread), rng.dirichlet(np.array(list(SHARES.values())) * 20)
    words = rng.integers(20, 200, count)
    seconds = np.exp(np.log(words / 4) + pace + rng.normal(0, 0.6, count)) + 2
    answers = rng.choice(list(SHARES), count, p=leaning)
    return [
        AnswerBehavior(
            name, f"i-{at}", float(seconds[at]), int(words[at]), str(answers[at]),
            " ".join(rng.choice(WORDS, 8)), " ".join(rng.choice(WORDS, 8)), float(at),
        )
        for at in range(count)
    ]  # fmt: skip


def speeding(work, rng, share):
    return [replace(each, seconds=float(rng.uniform(0.8, 2))) if rng.random() < share else each for each in work]


def lining(work, rng, share):
    return [replace(each, answer="partly") if rng.random() < share else each for each in work]


def pasting(work, rng, share):
    return [replace(each, text="this answer looks fine to me") if rng.random() < share else each for each in work]


def keeping(work, rng, share):
    return [replace(each, text=each.source.upper()) if rng.random() < share else each for each in work]


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    return BehaviorPool.from_behavior(work for who in range(40) for work in honest(rng, f"ann-{who}"))


def kinds(work, pool):
    return {flag.kind for flag in flag_careless_answers(work, pool)}


def test_the_honest_are_rarely_flagged_in_all_their_time(pool):
    """600 people, each looked at after every tenth of their 200 judgments."""
    rng = np.random.default_rng(1)
    ever = [set().union(*(kinds(work[:seen], pool) for seen in range(10, 201, 10))) for work in (honest(rng, "ann") for _ in range(600))]
    assert np.mean([bool(found) for found in ever]) < 0.01


@pytest.mark.parametrize(
    ("plant", "share", "kind", "power"),
    [
        (speeding, 1.0, "speeding", 1.0),
        (speeding, 0.5, "speeding", 0.95),
        (lining, 1.0, "straight-lining", 1.0),
        (lining, 0.95, "straight-lining", 0.9),
        (pasting, 1.0, "copying", 1.0),
        (pasting, 0.3, "copying", 0.95),
        (keeping, 0.3, "copying", 0.95),
    ],
)
def test_what_is_planted_is_found_and_called_by_its_name(pool, plant, share, kind, power):
    rng = np.random.default_rng(2)
    found = [kinds(plant(honest(rng, "ann", 50), rng, share), pool) for _ in range(100)]
    assert np.mean([kind in each for each in found]) >= power
    assert np.mean([bool(each - {kind}) for each in found]) < 0.02


def test_they_are_found_though_a_tenth_of_the_pool_is_like_them():
    rng = np.random.default_rng(3)
    everyone = [honest(rng, f"ann-{who}") for who in range(36)]
    bad = [plant(honest(rng, plant.__name__), rng, 1.0) for plant in (speeding, lining, pasting, keeping)]
    pool = BehaviorPool.from_behavior(work for own in [*everyone, *bad] for work in own)
    assert [kinds(own, pool) for own in bad] == [{"speeding"}, {"straight-lining"}, {"copying"}, {"copying"}]
    assert not any(kinds(own, pool) for own in everyone)


def test_a_flag_says_what_it_saw_and_since_when(pool):
    rng = np.random.default_rng(4)
    work = honest(rng, "ann", 100)
    mixed = work[:50] + [replace(each, seconds=1.5, answer="yes", text="this answer looks fine to me") for each in work[50:]]
    found = {flag.kind: flag for flag in flag_careless_answers(mixed, pool)}
    assert set(found) == {"speeding", "straight-lining", "copying"}
    assert "of the last 50 judgments took under" in found["speeding"].evidence
    assert "'yes' 50 times running in the last 50 judgments" in found["straight-lining"].evidence
    assert "of the last 50 texts 0 are what was shown and 49 were written before" in found["copying"].evidence
    assert found["straight-lining"].since == 50.0
    assert found["copying"].since == 51.0


def test_who_mended_their_ways_isnt_flagged_any_longer(pool):
    rng = np.random.default_rng(5)
    assert not kinds(
        speeding(honest(rng, "ann", 100), rng, 1.0) + [replace(each, created=each.created + 100) for each in honest(rng, "ann", 50)], pool
    )


def test_long_texts_answered_faster_than_anybody_reads_are_hasty_without_a_pool():
    work = [AnswerBehavior("ann", f"i-{at}", seconds=5, words=300) for at in range(20)]
    assert kinds(work, BehaviorPool.from_behavior([])) == {"speeding"}
    assert not kinds([replace(each, words=60) for each in work], BehaviorPool.from_behavior([]))


def test_two_quick_answers_are_no_evidence(pool):
    assert not kinds([AnswerBehavior("ann", f"i-{at}", seconds=0.5) for at in range(2)], pool)


def test_where_nearly_all_have_one_answer_giving_it_each_time_says_nothing():
    rng = np.random.default_rng(6)
    pool = BehaviorPool.from_behavior(
        AnswerBehavior(f"ann-{at % 20}", f"i-{at}", answer=str(rng.choice(["no", "yes"], p=[0.95, 0.05]))) for at in range(2000)
    )
    assert not kinds([AnswerBehavior("ann", f"i-{at}", answer="no") for at in range(50)], pool)
    assert kinds([AnswerBehavior("ann", f"i-{at}", answer="yes") for at in range(50)], pool) == {"straight-lining"}


def test_leaving_what_is_right_as_it_is_is_what_the_pool_does_too():
    """A question that corrects a model's answers, half of which need no correction."""
    rng = np.random.default_rng(7)
    pool = BehaviorPool.from_behavior(work for who in range(20) for work in keeping(honest(rng, f"ann-{who}"), rng, 0.4))
    assert not any(kinds(keeping(honest(rng, "ann", 50), rng, 0.5), pool) for _ in range(50))
    assert kinds(keeping(honest(rng, "ann", 50), rng, 1.0), pool) == {"copying"}


def test_short_texts_and_a_second_answer_to_the_same_item_may_be_the_same():
    short = [AnswerBehavior("ann", f"i-{at}", text="nothing to add") for at in range(50)]
    again = [AnswerBehavior("ann", "i-1", text="nothing to add to this one at all") for _ in range(50)]
    assert not kinds(short, BehaviorPool.from_behavior([]))
    assert not kinds(again, BehaviorPool.from_behavior([]))


def test_answers_of_any_shape_and_judgments_without_times_are_taken():
    lists = [AnswerBehavior("ann", f"i-{at}", answer=["a", "b"]) for at in range(50)]
    pool = BehaviorPool.from_behavior(
        AnswerBehavior(f"ann-{at % 9}", f"i-{at}", answer=[["a"], ["b"], ["a", "b"]][at % 3]) for at in range(300)
    )
    assert kinds(lists, pool) == {"straight-lining"}
    assert flag_careless_answers([], pool) == []


def test_a_team_of_four_is_watched_from_its_first_hour():
    """Below a hundred judgments in all nobody was ever flagged: a pool of others is taken at its limits, without who is looked at."""
    rng = np.random.default_rng(8)
    found = {"lining": [], "speeding": [], "honest": []}
    for _ in range(200):
        team = [honest(rng, f"ann-{who}", 25) for who in range(3)]
        others = BehaviorPool.from_behavior(work for own in team for work in own)
        assert others.size == 75
        found["honest"].append(kinds(honest(rng, "ann", 25), others))
        found["lining"].append(kinds(lining(honest(rng, "ann", 25), rng, 1.0), others))
        found["speeding"].append(kinds(speeding(honest(rng, "ann", 25), rng, 1.0), others))
    assert np.mean([bool(each) for each in found["honest"]]) < 0.01
    assert np.mean(["straight-lining" in each for each in found["lining"]]) > 0.8
    assert np.mean(["speeding" in each for each in found["speeding"]]) > 0.95


def test_under_twenty_judgments_by_others_nothing_is_compared():
    few = BehaviorPool.from_behavior(AnswerBehavior("other", f"i-{at}", 9.0, 5, str(at % 3)) for at in range(19))
    assert not few.is_large_enough
    assert not kinds([AnswerBehavior("ann", f"i-{at}", 0.5, 5, "0") for at in range(50)], few)
