"""Rates of hallucination from a random part that people checked, and a judge's scores of all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.faithfulness import AuditLook, CheckedResponse, estimate_faithfulness, shuffle_by_hash

JUDGES = {"good": 0.9, "useless": 0.5, "adversarial": 0.1}  # chance that its leaning is right


def made(count: int, seed: int, *, right: float = 0.9, rate: float = 0.2, per_group: int = 1) -> list[CheckedResponse]:
    """Responses of 0 to 5 claims, wrong at a rate that differs between groups; all have verdicts, the judge leans right so often."""
    random = np.random.default_rng(seed)
    responses = []
    for number in range(count):
        if number % per_group == 0:
            own = random.beta(2 * rate, 2 * (1 - rate))
        wrong = random.random(random.integers(0, 6)) < own
        leans = np.where(random.random(len(wrong)) < right, wrong, ~wrong)
        support = np.clip(np.where(leans, 0.25, 0.75) + random.normal(0, 0.1, len(wrong)), 0, 1)
        said = {
            place: ("contradicted" if random.random() < 0.5 else "not_found") if bad else "supported" for place, bad in enumerate(wrong)
        }
        responses.append(CheckedResponse(f"r{number}", f"g{number // per_group}", tuple(f"c{k}" for k in range(len(wrong))), support, said))
    return responses


def truth(responses: list[CheckedResponse]) -> tuple[float, float]:
    wrong = [[verdict != "supported" for verdict in response.verdicts.values()] for response in responses]
    return sum(map(sum, wrong)) / sum(map(len, wrong)), sum(map(any, wrong)) / len(wrong)


def sampled(responses: list[CheckedResponse], size: int, seed: str = "s") -> tuple[list[CheckedResponse], list[int]]:
    """The responses with verdicts on the sample only."""
    chosen = shuffle_by_hash([response.id for response in responses], seed)[:size]
    return [each if row in chosen else replace(each, verdicts=None) for row, each in enumerate(responses)], chosen


def test_rates_are_those_of_the_verdicts_when_all_are_checked():
    responses = made(300, 0)
    found = estimate_faithfulness(responses, range(300), AuditLook(300, 1, 1)).figures
    per_claim, per_response = truth(responses)
    assert found["hallucination"].value == pytest.approx(per_claim)
    assert found["hallucination_responses"].value == pytest.approx(per_response)
    assert found["contradicted"].value + found["not_found"].value == pytest.approx(per_claim)
    assert found["claimless"].value == np.mean([not response.claims for response in responses])
    for name in ("hallucination", "hallucination_responses"):
        assert found[name].low < found[name].value < found[name].high


def test_silence_doesnt_win():
    """Responses without claims stay among the responses: as many again halve the rate per response, and leave that per claim."""
    speaking = [each for each in made(200, 1) if each.claims]
    silent = [CheckedResponse(f"s{number}", f"s{number}", (), np.empty(0)) for number in range(len(speaking))]
    alone = estimate_faithfulness(speaking, range(len(speaking)), AuditLook(1, 1, 1)).figures
    both = estimate_faithfulness([*speaking, *silent], range(2 * len(speaking)), AuditLook(1, 1, 1)).figures
    assert both["hallucination"].value == pytest.approx(alone["hallucination"].value)
    assert both["hallucination_responses"].value == pytest.approx(alone["hallucination_responses"].value / 2)
    assert both["claimless"].value == pytest.approx(0.5)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("per_group", [1, 4])
def test_intervals_hold_whatever_the_judge(judge, per_group):
    held, runs = {"hallucination": 0, "hallucination_responses": 0}, 80
    for seed in range(runs):
        responses = made(600, 1_000 + seed, right=JUDGES[judge], per_group=per_group)
        found = estimate_faithfulness(*sampled(responses, 150, str(seed)), AuditLook(150, 1, 1)).figures
        for name, true in zip(held, truth(responses), strict=True):
            held[name] += found[name].low <= true <= found[name].high
    assert min(held.values()) >= 0.95 * runs - 3 * np.sqrt(runs * 0.05 * 0.95), held


@pytest.mark.parametrize(("rate", "lean"), [(0.1, 0.1), (0.1, 0.3), (0.3, 0.1)])
def test_a_judge_taught_by_half_of_the_checks_moves_no_rate(rate, lean):
    """Its scores' mean is off what people find, and it knows nothing of the first half of the sample; every tenth claims nothing."""
    random, runs = np.random.default_rng(7), 300
    per_response = 1 - 0.1 - 0.9 * (1 - rate) * np.exp(-2 * rate)  # of 1 + Poisson(2) claims each
    held: dict[str, list[bool]] = {"hallucination": [], "hallucination_responses": []}
    values: dict[str, list[float]] = {name: [] for name in held}
    for _ in range(runs):
        responses = []
        for number in range(400):
            wrong = random.random(0 if random.random() < 0.1 else 1 + random.poisson(2)) < rate
            flags = np.clip(np.where(wrong, lean + 0.25, lean) + random.normal(0, 0.1, len(wrong)), 0, 1)
            said = {place: "contradicted" if bad else "supported" for place, bad in enumerate(wrong)}
            taught = frozenset(said) if number < 50 else frozenset()
            support = np.full(len(wrong), np.nan) if taught else 1 - flags
            claims = tuple(map(str, range(len(wrong))))
            responses.append(CheckedResponse(str(number), str(number), claims, support, said if number < 100 else None, taught))
        found = estimate_faithfulness(responses, range(100), AuditLook(100, 2, 2)).figures
        for name, true in (("hallucination", rate), ("hallucination_responses", per_response)):
            held[name].append(found[name].low <= true <= found[name].high)
            values[name].append(found[name].value - true)
    assert min(map(np.mean, held.values())) >= 0.93, held
    assert max(abs(np.mean(each)) / (np.std(each) / runs**0.5) for each in values.values()) < 3.5


def test_a_good_judge_saves_people_and_a_bad_one_costs_none():
    worth = {}
    for judge, right in JUDGES.items():
        found = [
            estimate_faithfulness(*sampled(made(1_500, seed, right=right), 200, str(seed)), AuditLook(200, 1, 1)).equivalent_checks
            for seed in range(10)
        ]
        worth[judge] = np.mean([each["hallucination"] for each in found])
    assert worth["good"] > 300
    assert worth["adversarial"] > 300  # who is always wrong tells as much
    assert 190 < worth["useless"] < 230


def test_without_people_there_is_no_figure():
    responses = [replace(each, verdicts=None) for each in made(100, 3)]
    with pytest.raises(UserError, match="no valid interval exists"):
        estimate_faithfulness(responses, [], AuditLook(50, 1, 1))
    with pytest.raises(UserError, match="wait for people's verdicts"):
        estimate_faithfulness(responses, range(50), AuditLook(50, 1, 1))


def test_a_claim_without_a_verdict_of_the_judge_stays_in():
    responses = made(400, 4)
    gaps = [replace(each, support=np.where(np.arange(len(each.claims)) % 3 == 0, np.nan, each.support)) for each in responses]
    rows, sample = sampled(gaps, 200)
    found = estimate_faithfulness(rows, sample, AuditLook(200, 1, 1)).figures["hallucination"]
    alone = estimate_faithfulness([rows[row] for row in sample], range(200), AuditLook(200, 1, 1)).figures["hallucination"]
    assert np.isfinite([found.value, found.low, found.high]).all()
    assert abs(found.value - alone.value) < 0.05


def test_scores_that_are_none_are_refused():
    responses = made(50, 5)
    row = next(number for number, each in enumerate(responses) if each.claims)
    for score in (1.5, -0.1, np.inf):
        bad = [*responses]
        bad[row] = replace(bad[row], support=np.full(len(bad[row].claims), score))
        with pytest.raises(UserError, match="outside 0 to 1") as caught:
            estimate_faithfulness(bad, range(50), AuditLook(50, 1, 1))
        assert caught.value.where == responses[row].id
    with pytest.raises(UserError, match="claims anything"):
        estimate_faithfulness([CheckedResponse("r", "g", (), np.empty(0))], [0], AuditLook(1, 1, 1))


def test_verdicts_on_claims_that_are_gone_count_for_nothing():
    responses = made(60, 6)
    with_strays = [replace(each, verdicts={**each.verdicts, len(each.claims) + 3: "contradicted"}) for each in responses]
    assert [each.unknown_claims for each in with_strays] == [1] * 60
    assert (
        estimate_faithfulness(with_strays, range(60), AuditLook(60, 1, 1)).figures
        == estimate_faithfulness(responses, range(60), AuditLook(60, 1, 1)).figures
    )


def test_who_says_what_counts_as_hallucination():
    responses = made(300, 7)
    strict = estimate_faithfulness(responses, range(300), AuditLook(300, 1, 1)).figures
    only = estimate_faithfulness(responses, range(300), AuditLook(300, 1, 1), counted=("contradicted",)).figures
    assert only["hallucination"].value == pytest.approx(strict["contradicted"].value)
    assert only["hallucination"].value < strict["hallucination"].value


def test_an_early_look_is_wider_and_says_so():
    rows, sample = sampled(made(400, 8), 100)
    early = estimate_faithfulness(rows, sample, AuditLook(100, 2, 4)).figures["hallucination"]
    only = estimate_faithfulness(rows, sample, AuditLook(100, 1, 1)).figures["hallucination"]
    assert early.low < only.low < only.high < early.high
    assert early.confidence == only.confidence == 0.95
    assert "one of 4 looks" in early.method
