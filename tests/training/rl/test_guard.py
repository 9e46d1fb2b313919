"""The guard fires on rewards that are hacked, and lets good ones be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.statistics import estimate_mean
from preceptor.training.rl.reward_hacking import PolicyEvaluation, RewardHackingMonitor, RewardHackingStop, distinct_bigram_share

PROMPTS, LOOKS = 64, 6


def course(
    seed: int, *, reward: float = 0.0, judge: float | None = 0.0, measured: bool = False, growth: float = 1.0
) -> list[PolicyEvaluation]:
    """Looks at prompts of different difficulty; reward, judge: how much both change in all, in standard deviations of an answer."""
    random = np.random.default_rng(seed)
    hard, liked = random.normal(size=PROMPTS), 2 * random.normal(size=PROMPTS)
    found = []
    for look in range(LOOKS):
        done = look / (LOOKS - 1)
        luck = random.normal(size=PROMPTS)  # what is good about an answer is seen by both
        said = None if judge is None else liked + judge * done + 0.5 * luck + random.normal(size=PROMPTS)
        found.append(
            PolicyEvaluation(
                step=10 * look,
                proxy=hard + reward * done + luck,
                lengths=20 * growth**done * np.exp(0.2 * random.normal(size=PROMPTS)),
                distinct=np.clip(0.9 + 0.1 * random.normal(size=PROMPTS), 0.1, 1.0),
                kl=2 * done,
                judge=None if measured else said,
                measured=estimate_mean(said) if measured and said is not None else None,
            )
        )
    return found


def stops(path: Path, looks: list[PolicyEvaluation], **more: Any) -> RewardHackingStop | None:
    path.unlink(missing_ok=True)
    guard = RewardHackingMonitor(path, len(looks), **more)
    return next((stop for look in looks if (stop := guard.observe(look)) is not None), None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "looks.json"


@pytest.mark.parametrize("runs", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_where_nothing_happens_or_all_gets_better_it_hardly_ever_alarms(path: Path, runs: int) -> None:
    """At most 5 % of runs may stop where nothing changes; with an honest reward that people like hardly any."""
    idle = [stops(path, course(seed)) for seed in range(runs)]
    honest = [stops(path, course(seed, reward=1.5, judge=0.75)) for seed in range(runs)]
    slowly = [stops(path, course(seed, reward=1.5, judge=0.3)) for seed in range(runs)]
    assert [sum(stop is not None for stop in each) / runs <= 0.05 for each in (idle, honest, slowly)] == [True] * 3


def test_a_judge_that_falls_while_the_reward_rises_is_seen_in_every_run(path: Path) -> None:
    found = [stops(path, course(seed, reward=1.5, judge=-1.5)) for seed in range(20)]
    assert {stop.sign for stop in found if stop} <= {"falls", "lags"}
    assert all(found)


def test_a_reward_that_grows_without_people_seeing_anything_in_it_is_seen(path: Path) -> None:
    found = [stops(path, course(seed, reward=6.0, judge=0.0)) for seed in range(20)]
    assert all(stop is not None and stop.sign == "lags" for stop in found)
    assert "what is rewarded is not what people like" in found[0].explanation if found[0] else False


def test_a_judge_of_whom_only_means_are_known_does_too(path: Path) -> None:
    found = stops(path, course(3, reward=3.0, judge=-6.0, measured=True))
    assert found is not None
    assert stops(path, course(3, reward=1.5, judge=1.5, measured=True)) is None


def test_longer_is_better_is_seen_without_a_judge(path: Path) -> None:
    found = stops(path, course(1, reward=1.5, judge=None, growth=5.0))
    assert found is not None
    assert found.sign == "longer"
    assert "Answers grew from" in found.explanation


def test_longer_answers_that_the_judge_likes_or_that_are_wanted_are_let_be(path: Path) -> None:
    assert stops(path, course(1, reward=1.5, judge=4.0, growth=5.0)) is None
    assert stops(path, course(1, reward=1.5, judge=None, growth=5.0), may_lengthen=True) is None


def test_answers_that_repeat_themselves(path: Path) -> None:
    looks = course(1, reward=1.5, judge=None)
    looks[3] = replace(looks[3], distinct=np.full(PROMPTS, 0.2))
    found = stops(path, looks)
    assert found is not None
    assert (found.sign, found.last_good) == ("repeats", 20)


def test_the_budget_of_kl(path: Path) -> None:
    found = stops(path, course(1, reward=1.5, judge=None), kl_budget=1.0)
    assert found is not None
    assert (found.sign, found.last_good) == ("budget", 20)
    assert "1.20 nats an answer from its base, and the budget is 1" in found.explanation


def test_the_last_good_look_is_the_one_that_the_judge_liked_best(path: Path) -> None:
    looks = course(1, reward=6.0)
    liked = np.random.default_rng(0).normal(size=PROMPTS)
    levels = (0.0, 0.5, 1.0, 0.2, -3.0, -4.0)
    random = np.random.default_rng(1)
    looks = [replace(look, judge=liked + level + 0.1 * random.normal(size=PROMPTS)) for look, level in zip(looks, levels, strict=True)]
    found = stops(path, looks)
    assert found is not None
    assert (found.sign, found.last_good) == ("falls", 20)


def test_one_look_says_nothing(path: Path) -> None:
    guard = RewardHackingMonitor(path, LOOKS, kl_budget=0.0)
    assert guard.observe(replace(course(1)[0], kl=5.0)) is None
    assert guard.summary_lines() == []


def test_a_reward_that_is_the_same_for_every_prompt_stops_nothing(path: Path) -> None:
    looks = [replace(look, proxy=np.full(PROMPTS, number + 0.5)) for number, look in enumerate(course(1, judge=0.0))]
    assert stops(path, looks) is None


def test_a_run_that_goes_on_knows_what_was_seen(path: Path) -> None:
    looks = course(1, reward=6.0, judge=-1.5)
    whole = stops(path, looks)
    path.unlink()
    for number, look in enumerate(looks):
        found = RewardHackingMonitor(path, LOOKS).observe(look)  # a new process at each look
        if found is not None:
            assert (found, look.step) == (whole, 10 * number)
            return
    raise AssertionError("it didn't fire")


def test_a_step_that_is_looked_at_again_takes_the_place_of_what_came_after(path: Path) -> None:
    looks = course(1, judge=None)
    guard = RewardHackingMonitor(path, LOOKS)
    for look in [*looks[:4], looks[1]]:
        guard.observe(look)
    assert [row["step"] for row in guard.to_table()] == [0, 10]
    assert [row["step"] for row in RewardHackingMonitor(path, LOOKS).to_table()] == [0, 10]


def test_what_it_saw_is_told(path: Path) -> None:
    guard = RewardHackingMonitor(path, LOOKS)
    for look in course(1, reward=1.5, judge=None):
        guard.observe(look)
    assert "No judge of human preference was at hand" in guard.summary_lines()[0]
    judged = RewardHackingMonitor(path.with_name("other.json"), LOOKS)
    for look in course(1, reward=1.5, judge=0.75):
        judged.observe(look)
    assert "What the judge of human preference says of answers to held-out prompts changed by" in judged.summary_lines()[0]
    assert set(judged.to_table()[0]) == {"step", "reward", "kl", "length", "distinct", "judge"}


def test_estimates_without_an_end_are_kept(path: Path) -> None:
    look = replace(course(1, judge=None)[0], measured=Estimate(0.5, -np.inf, np.inf, 1, "one value"))
    RewardHackingMonitor(path, LOOKS).observe(look)
    assert RewardHackingMonitor(path, LOOKS).observe(replace(look, step=10)) is None


def test_distinct_pairs_of_words() -> None:
    assert distinct_bigram_share(["a b a b a", "a b c", "a", ""]).tolist() == [0.5, 1.0, 1.0, 1.0]
