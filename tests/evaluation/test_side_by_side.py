"""What votes come to: one settled number a prompt, sequences that don't err at any look, lengths, slices, judges."""

from __future__ import annotations

import random

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.answer_pairs import PreferenceVote, build_match, group_means, pair_answers, read_votes
from preceptor.evaluation.model_comparison import compare_models, decide_matches, length_controlled_win_rate
from preceptor.statistics import confidence_sequence_path
from side_rounds import NAMES, Person, answers_of

ONE, TWO = (answers_of(name, 60, quality) for name, quality in zip(NAMES, (56, 50), strict=False))
PAIRS = pair_answers([ONE, TWO])


def votes(pairs, people, *, seed=0):
    """Everybody about every pair, prompt by prompt."""
    found = []
    for pair in random.Random(seed).sample(list(pairs), len(pairs)):
        for person in people:
            said = person.answer({"responses": pair.responses})
            found += read_votes([pair], [pair.id], [person.name], [said])
    return found


def test_a_vote_knows_what_stood_left():
    pair = PAIRS[0]
    (straight,) = read_votes(PAIRS, [pair.id], ["ann"], [{"winner": 0, "order": [1, 0], "reasons": "short"}])
    assert straight == PreferenceVote(pair.id, "ann", pair.models[0], pair.models[1], pair.models[0], "short")
    (tie,) = read_votes(PAIRS, [pair.id, "other"], ["ann", "ann"], [{"winner": "tie", "order": None}] * 2)
    assert (tie.winner, tie.left) == (None, pair.models[0])


def test_a_prompt_is_settled_by_its_planned_votes():
    pair = PAIRS[0]
    said = [PreferenceVote(pair.id, f"p{n}", NAMES[0] if n < 2 else NAMES[1], *NAMES[:2]) for n in range(6)]
    match = build_match(NAMES[0], NAMES[1], PAIRS, said, 3)
    assert match.values.tolist() == pytest.approx([2 / 3])  # the votes after the third change nothing
    assert match.waiting == len(PAIRS) - match.same - 1
    assert build_match(NAMES[1], NAMES[0], PAIRS, said, 3).values.tolist() == pytest.approx([1 / 3])
    assert not len(build_match(NAMES[0], NAMES[1], PAIRS, said, 7).values)


def test_groups_are_the_units_of_the_sequence():
    grouped = pair_answers([answers_of(name, 30, 50, groups=10) for name in NAMES[:2]])
    match = build_match(NAMES[0], NAMES[1], grouped, votes(grouped, [Person("ann")]), 1)
    names, means = group_means(match, grouped)
    assert sorted(names) == sorted({f"g-{n}" for n in range(10)})
    assert means.mean() == pytest.approx(np.mean([match.values[[g == name for g in match.groups]].mean() for name in names]))


def test_models_exchanged_give_exchanged_figures():
    said = votes(PAIRS, [Person("ann"), Person("bob")])
    one = compare_models(PAIRS, said, people=2)["matches"][0]
    turned = [
        PreferenceVote(v.pair, v.annotator, v.winner and NAMES[v.winner == NAMES[0]], *(NAMES[m == NAMES[0]] for m in (v.left, v.right)))
        for v in said
    ]
    assert turned[0].left != said[0].left
    other = build_match(NAMES[0], NAMES[1], PAIRS, turned, 2)
    assert other.values == pytest.approx(1 - build_match(NAMES[0], NAMES[1], PAIRS, said, 2).values)
    assert one["won"] + one["tied"] + one["lost"] == one["finished"]


def test_equals_are_called_different_in_fewer_than_one_run_in_twenty():
    people = [Person("ann", left=8), Person("bob", left=-4), Person("cid", right=0.6)]
    runs = wrong = 0
    for seed in range(150):
        pairs = pair_answers([answers_of(name, 100, 50, seed=seed) for name in NAMES[:2]], seed=seed)
        for person in people:
            person.rng = random.Random(f"{person.name}/{seed}")
        match = build_match(NAMES[0], NAMES[1], pairs, votes(pairs, people, seed=seed), 3)
        low, high = confidence_sequence_path(match.values)
        runs, wrong = runs + 1, wrong + bool((low > 0.5).any() or (high < 0.5).any())  # a look after every prompt
    assert wrong <= 0.05 * runs


@pytest.mark.slow
def test_three_equals_share_the_chance_of_an_error():
    people = [Person("ann", left=8), Person("bob", left=-4)]
    wrong = 0
    for seed in range(200):
        pairs = pair_answers([answers_of(name, 80, 50, seed=seed) for name in NAMES], seed=seed)
        for person in people:
            person.rng = random.Random(f"{person.name}/{seed}")
        said = votes(pairs, people, seed=seed)
        wrong += any(decide_matches(pairs, said[:count], people=2) for count in range(20, len(said) + 1, 20))
    assert wrong <= 0.05 * 200


def test_longer_answers_that_win_for_their_length_are_told():
    rng = np.random.default_rng(0)
    gap = rng.normal(20, 30, 400)  # the first model writes longer
    values = (rng.random(400) < 1 / (1 + np.exp(-gap / 20))).astype(float)
    estimate = length_controlled_win_rate(values, gap, np.arange(400))
    assert values.mean() > 0.6
    assert estimate.low <= 0.5 <= estimate.high
    assert length_controlled_win_rate(values, np.zeros(400), np.arange(400)) is None
    assert length_controlled_win_rate(np.ones(400), gap, np.arange(400)) is None
    assert length_controlled_win_rate(values[:19], gap[:19], np.arange(19)) is None


def test_the_equal_length_interval_covers():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        gap = np.repeat(rng.normal(5, 20, 60), 2)
        own = np.repeat(rng.normal(0, 0.5, 60), 2)
        chance = 1 / (1 + np.exp(-(0.4 + own + 0.8 * np.tanh(gap / gap.std()))))
        values = (rng.random(120) < chance).astype(float)
        estimate = length_controlled_win_rate(values, gap, np.repeat(np.arange(60), 2))
        inside += estimate.low <= 0.592 <= estimate.high  # 0.4 seen through the spread of `own`
    assert inside >= 0.92 * 300


def test_slices_and_reasons_are_there():
    said = votes(PAIRS, [Person("ann")])
    said.append(PreferenceVote(PAIRS[0].id, "late", NAMES[0], *NAMES[:2], "it cites the rule"))
    found = compare_models(PAIRS, said, people=1)
    assert found["reasons"] == [{"pair": PAIRS[0].id, "winner": NAMES[0], "reasons": "it cites the rule"}]
    assert found["matches"][0]["slices"]["figure"] == "win_rate"


def test_a_judge_counts_only_beside_people_and_its_agreement_stands_first():
    many = pair_answers([answers_of(name, 400, quality) for name, quality in zip(NAMES, (56, 50), strict=False)])
    judge = Person("judge", right=0.9, near=0)
    verdicts = {pair.id: tuple(_score(judge, pair) for _ in range(2)) for pair in many}
    few = compare_models(many, votes(many[:10], [Person("ann")]), people=1, prompts=None, verdicts=verdicts)
    assert "agreement" not in few["matches"][0]["judge"]
    assert "don't count yet" in " ".join(few["summary"])
    found = compare_models(many, votes(many[:150], [Person("ann")]), people=1, verdicts=verdicts)["matches"][0]["judge"]
    assert found["agreement"]["balanced"].low > 0.5
    assert found["with_judge"].method.startswith("ppi")
    assert found["with_judge"].high - found["with_judge"].low < found["people"].high - found["people"].low
    assert found["at_any_look"].low <= found["with_judge"].value <= found["at_any_look"].high
    assert found["labels_saved"] > 1
    assert list(found).index("agreement") < list(found).index("with_judge")


def test_a_judge_that_prefers_its_own_kind_moves_nothing_but_the_width():
    rng, inside, raw = np.random.default_rng(0), 0, 0
    for seed in range(40):
        pairs = pair_answers([answers_of(name, 300, 50, seed=seed) for name in NAMES[:2]], seed=seed)
        own = {pair.id: 0.35 * (1 - 2 * pair.side(NAMES[0])) for pair in pairs}  # it likes the first model's answers, whatever they say
        verdicts = {pair.id: tuple(np.clip(_worth(pair) + own[pair.id] + rng.normal(0, 0.2, 2), 0, 1)) for pair in pairs}
        said = votes(pairs[:120], [Person("ann", seed=seed)])
        match = compare_models(pairs, said, people=1, verdicts=verdicts)["matches"][0]
        truth = np.mean([_worth(pair) if pair.models[0] == NAMES[0] else 1 - _worth(pair) for pair in pairs if not pair.is_same])
        found = match["judge"]["with_judge"]
        inside += found.low <= truth <= found.high
        raw += np.mean([v[0] if pair.models[0] == NAMES[0] else 1 - v[0] for pair, v in zip(pairs, verdicts.values(), strict=True)]) / 40
    assert raw > 0.65  # what the judge says of equals
    assert inside >= 36


def _worth(pair):
    """1 where the item's first response is better by what it says itself, 0 where the second is."""
    first, second = (int(text.split()[2]) for text in pair.responses)
    return 0.5 + 0.5 * np.sign(first - second) * (abs(first - second) > 2)


def test_where_people_finished_everything_the_judge_adds_nothing():
    judge = Person("judge", near=0)
    verdicts = {pair.id: (_score(judge, pair), _score(judge, pair)) for pair in PAIRS}
    found = compare_models(PAIRS, votes(PAIRS, [Person("ann")]), people=1, verdicts=verdicts)["matches"][0]["judge"]
    assert found["with_judge"].value == found["people"].value
    assert found["labels_saved"] == 1


def test_a_judge_that_says_one_thing_adds_nothing():
    verdicts = {pair.id: (1.0, 0.0) for pair in PAIRS}  # always the first place
    found = compare_models(PAIRS, votes(PAIRS, [Person("ann")]), people=1, verdicts=verdicts)["matches"][0]["judge"]
    assert found["flip_rate"].value == 1
    assert "with_judge" not in found


def _score(judge, pair):
    said = judge.answer({"responses": pair.responses})["winner"]
    return 0.5 if said == "tie" else float(said == 0)


def test_nobody_compares_nothing():
    with pytest.raises(UserError, match="0 people"):
        compare_models(PAIRS, [], people=0)
    empty = compare_models(PAIRS, [], people=3)
    assert empty["matches"][0]["win_rate"] is None
    assert "no prompt has all its votes yet" in empty["summary"][0]
