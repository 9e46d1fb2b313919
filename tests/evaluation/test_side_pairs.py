"""Pairs of answers: complete, blind by drawn order, and what can't be compared is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from preceptor import UserError
from preceptor.evaluation.answer_pairs import pair_answers, sample_prompts, split_into_waves
from side_rounds import NAMES, answers_of

ONE, TWO, THREE = (answers_of(name, 40, quality) for name, quality in zip(NAMES, (60, 50, 40), strict=True))


def test_each_two_models_meet_on_each_prompt():
    pairs = pair_answers([ONE, TWO, THREE])
    assert len(pairs) == 120
    assert Counter(frozenset(pair.models) for pair in pairs) == dict.fromkeys(map(frozenset, [NAMES[:2], NAMES[1:], NAMES[::2]]), 40)
    by_name = {each.subject: dict(zip((asked.id for asked in each.prompts), each.texts, strict=True)) for each in (ONE, TWO, THREE)}
    for pair in pairs:
        assert tuple(by_name[model][pair.prompt] for model in pair.models) == pair.responses


def test_the_order_is_drawn_by_seed_and_nothing_shown_tells_it():
    pairs = pair_answers([ONE, TWO])
    first = sum(pair.models[0] == NAMES[0] for pair in pairs)
    assert 10 <= first <= 30
    assert [pair.models for pair in pairs] == [pair.models for pair in pair_answers([ONE, TWO])]
    assert [pair.models for pair in pairs] != [pair.models for pair in pair_answers([ONE, TWO], seed=1)]
    assert not any(name.partition("-")[0] in pair.id + pair.text for pair in pairs for name in NAMES)


def test_a_sample_holds_all_pairs_of_its_prompts():
    pairs = pair_answers([ONE, TWO, THREE])
    some = sample_prompts(pairs, 7)
    assert len(some) == 21
    assert {pair.prompt for pair in some} < {pair.prompt for pair in sample_prompts(pairs, 12)}
    assert sample_prompts(pairs, None) == pairs


def test_waves_are_samples_one_after_the_other():
    pairs = pair_answers([ONE, TWO, THREE])
    waves = split_into_waves(pairs, 15)
    assert [len(wave) for wave in waves] == [45, 45, 30]
    assert {pair.id for pair in waves[0]} == {pair.id for pair in sample_prompts(pairs, 15)}
    assert sorted(pair.id for wave in waves for pair in wave) == sorted(pair.id for pair in pairs)


def test_the_same_text_is_nothing_to_prefer():
    same = replace(TWO, texts=[f"  {text}\n" for text in ONE.texts])
    assert all(pair.is_same for pair in pair_answers([ONE, same]))


def empty(which):
    return replace(which, texts=[*which.texts[:3], " ", *which.texts[4:]])


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ([ONE], "two models or more"),
        ([ONE, ONE], "compared with itself"),
        ([replace(ONE, prompts=(), texts=()), replace(TWO, prompts=(), texts=())], "no prompts"),
        ([ONE, empty(TWO)], "1 answers are empty, the first to prompt 'q-3'"),
        ([ONE, answers_of(NAMES[1], 39, 50)], "different prompts: 1 differ, the first is 'q-39'"),
        ([ONE, replace(TWO, texts=TWO.texts[:-1])], "39 answers to 40 prompts"),
        ([ONE, replace(TWO, prompts=TWO.prompts[::-1])], "in different orders"),
        ([replace(ONE, prompts=[ONE.prompts[0]] * 40), TWO], "same id"),
    ],
)
def test_what_cannot_be_compared_is_refused(given, fault):
    with pytest.raises(UserError, match=fault):
        pair_answers(given)
