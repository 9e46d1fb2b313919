"""Judges taken together by people's own verdicts: worth more than each, out of fold by group, and harmless where they know nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from preceptor.evaluation.faithfulness import (
    VERDICTS,
    AuditLook,
    CheckedResponse,
    estimate_faithfulness,
    predict_verdict_probabilities,
    shuffle_by_hash,
)
from preceptor.evaluation.judges import JudgeCase
from preceptor.evaluation.judges.claim_judges import CLAIM_FEATURES, claim_features

SIZE, CHECKED = 700, 140


def world(seed: int, knows: float = 1.2) -> tuple[list[CheckedResponse], float]:
    """Responses of 1 to 4 claims in groups of two, all with verdicts, and the rate of wrong claims. knows: what features tell, in
    log-odds: word overlap as much as a trained judge, and the wording as much again, none of them all."""
    rng = np.random.default_rng(seed)
    responses, wrongs = [], []
    for number in range(SIZE):
        count = rng.integers(1, 5)
        features = rng.normal(size=(count, len(CLAIM_FEATURES) + 1))
        leaning = features[:, [0, 4, 5, -1]].sum(axis=1) * knows
        features[:, 0] = expit(features[:, 0])
        wrong = rng.random(count) < expit(-1.6 - leaning)
        told = np.where(wrong, np.where(rng.random(count) < 0.7, "contradicted", "not_found"), "supported")
        support = expit(features[:, -1])
        claims = tuple(f"c{k}" for k in range(count))
        responses.append(
            CheckedResponse(f"r{number}", f"g{number // 2}", claims, support, dict(enumerate(told.tolist())), features=features)
        )
        wrongs.extend(wrong.tolist())
    return responses, float(np.mean(wrongs))


def checked(responses, seed, **changes):
    order = shuffle_by_hash([response.id for response in responses], str(seed))[:CHECKED]
    kept = set(order)
    shown = [replace(each, **changes) if row in kept else replace(each, verdicts=None, **changes) for row, each in enumerate(responses)]
    return estimate_faithfulness(shown, order, AuditLook(CHECKED, 1, 1))


def test_together_they_are_worth_more_than_the_trained_judge_or_word_overlap_alone():
    """A judge that was trained took the place of word overlap, although it was worse; neither heeded what the other knows."""
    worth = {"together": [], "judge": [], "overlap": []}
    for seed in range(8):
        responses, _ = world(seed)
        worth["together"].append(checked(responses, seed).equivalent_checks["hallucination"] / CHECKED)
        worth["judge"].append(checked(responses, seed, features=None).equivalent_checks["hallucination"] / CHECKED)
        by_words = [replace(each, support=each.features[:, 0], features=None) for each in responses]
        worth["overlap"].append(checked(by_words, seed).equivalent_checks["hallucination"] / CHECKED)
    means = {name: np.mean(values) for name, values in worth.items()}
    assert means["together"] > 1.15 * max(means["judge"], means["overlap"]), means


@pytest.mark.parametrize("knows", [1.2, 0.0])
def test_the_interval_holds_whether_the_judges_know_something_or_nothing(knows):
    held, rounds, worth = {"hallucination": 0, "contradicted": 0}, 60, []
    for seed in range(rounds):
        responses, rate = world(seed, knows)
        verdicts = [word for each in responses for word in each.verdicts.values()]
        found = checked(responses, seed)
        truths = {"hallucination": rate, "contradicted": np.mean([word == "contradicted" for word in verdicts])}
        for name, truth in truths.items():
            held[name] += found.figures[name].low <= truth <= found.figures[name].high
        worth.append(found.equivalent_checks["hallucination"] / CHECKED)
        assert found.uses_regression
    assert min(held.values()) >= 53, held  # of 60 at 95 %: fewer in 3 of 1,000 such tests
    assert np.mean(worth) > (1.3 if knows else 0.9)


def test_parts_and_whole_come_from_one_estimator():
    """A rate of 6.6 % stood beside contradicted 4.2 % and not found 0 %: people alone beside people with a judge."""
    apart = []
    for seed in range(8):
        found = checked(world(seed)[0], seed).figures
        assert all("ppi" in found[name].method for name in ("hallucination", "contradicted"))
        apart.append(found["hallucination"].value - found["contradicted"].value - found["not_found"].value)
    assert np.abs(apart).max() < 0.015


def test_a_group_is_predicted_by_others_only():
    """Verdicts that nothing but their own group's feature tells: fitted on their own they would look known."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 4)
    verdicts = np.repeat(rng.integers(0, 2, 60), 4)
    features = np.repeat(rng.normal(size=(60, 40)), 4, axis=0)
    chances = predict_verdict_probabilities(features, verdicts, groups, 2)
    assert chances is not None
    right = (chances.argmax(axis=1) == verdicts).mean()
    assert 0.3 < right < 0.7
    unchecked = predict_verdict_probabilities(features, np.where(np.arange(240) % 4, -1, verdicts), groups, 2)
    assert np.allclose(unchecked[0::4], unchecked[1::4]), "what nobody checked of a group is predicted as what they did"


def test_too_few_verdicts_fit_nothing():
    features, groups = np.zeros((100, 2)), np.arange(100)
    assert predict_verdict_probabilities(features, np.full(100, -1), groups, 3) is None
    assert predict_verdict_probabilities(features, np.r_[np.zeros(97, int), np.ones(3, int)], groups, 3) is None
    assert predict_verdict_probabilities(features, np.r_[np.zeros(90, int), np.ones(10, int)], groups // 20, 3) is None
    chances = predict_verdict_probabilities(features, np.r_[np.zeros(90, int), np.ones(10, int)], groups, len(VERDICTS))
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances[:, 2] == 0).all(), "a verdict that nobody gave"


def test_features_see_numbers_names_order_and_negation():
    source = ("Cover begins on 1 May 2024. Theft is not covered in Berlin.", "Claims go to Ann Miller.")
    said = [
        "Cover begins on 1 May 2024.",
        "Cover begins on 3 May 2024.",
        "Theft is covered in Berlin.",
        "Claims go to Bob Miller.",
        "It is.",
    ]
    found = dict(zip(CLAIM_FEATURES, claim_features([JudgeCase(text, source) for text in said]).T, strict=True))
    assert found["numbers missing"].tolist() == [0, 0.5, 0, 0, 0]
    assert found["names missing"].tolist() == [0, 0, 0, 0.5, 0]
    assert found["negation in one of both"].tolist() == [0, 0, 1, 0, 0]
    assert found["pairs of words"][0] > found["pairs of words"][1]
    assert found["overlap"][[0, -1]].tolist() == [1.0, 0.5]  # a claim without a telling word stands in the middle
    assert np.isfinite(claim_features([JudgeCase("", ()), JudgeCase("Yes.", ("",))])).all()
    assert claim_features([]).shape == (0, len(CLAIM_FEATURES))
