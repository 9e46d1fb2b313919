"""What is drawn follows the distribution that was asked for."""

from __future__ import annotations

import numpy as np

from preceptor.generation.sampling import SamplingParams, TokenSampler, sample_nucleus

SCORES = np.log(np.array([0.1, 0.5, 0.15, 0.25]))


def counts(sampling: SamplingParams, draws: int = 4000) -> np.ndarray:
    sampler = TokenSampler(sampling)
    return np.bincount([sampler.sample(SCORES) for _ in range(draws)], minlength=4) / draws


def test_draws_follow_the_probabilities():
    assert np.abs(counts(SamplingParams(seed=0)) - [0.1, 0.5, 0.15, 0.25]).max() < 0.03


def test_temperature_sharpens():
    wanted = np.array([0.1, 0.5, 0.15, 0.25]) ** 2
    assert np.abs(counts(SamplingParams(seed=0, temperature=0.5)) - wanted / wanted.sum()).max() < 0.03
    assert counts(SamplingParams(temperature=0)).tolist() == [0, 1, 0, 0]


def test_top_p_takes_the_fewest_tokens_that_have_so_much():
    assert np.abs(counts(SamplingParams(seed=0, top_p=0.6)) - [0, 2 / 3, 0, 1 / 3]).max() < 0.03
    assert counts(SamplingParams(seed=0, top_p=1e-9)).tolist() == [0, 1, 0, 0]


def test_ends_of_the_interval_give_tokens():
    for top_p in (1.0, 0.9):
        assert sample_nucleus(SCORES, top_p, 0.0) in range(4)
        assert sample_nucleus(SCORES, top_p, np.nextafter(1, 0)) in range(4)


def test_a_token_of_probability_zero_is_never_drawn():
    scores = np.array([-np.inf, 0.0, -np.inf])
    assert {sample_nucleus(scores, top_p, u) for top_p in (1.0, 0.5) for u in (0.0, 0.5, np.nextafter(1, 0))} == {1}


def test_a_seed_gives_the_same_draws_and_choices_differ():
    def drawn(seed: int, choice: int) -> list[int]:
        sampler = TokenSampler(SamplingParams(seed=seed), choice)
        return [sampler.sample(SCORES) for _ in range(50)]

    assert drawn(1, 0) == drawn(1, 0)
    assert drawn(1, 0) != drawn(1, 1)
    assert drawn(-1, 0) == drawn(-1, 0)


def test_penalties_and_biases_move_the_logits():
    sampler = TokenSampler(SamplingParams(temperature=0, presence=1.0))
    assert [sampler.sample(SCORES) for _ in range(4)] == [1, 3, 1, 1]  # 0.5/e stands below 0.25 once, then 0.25/e below it again
    sampler = TokenSampler(SamplingParams(temperature=0, frequency=0.5))
    assert [sampler.sample(SCORES) for _ in range(3)] == [1, 1, 3]
    assert TokenSampler(SamplingParams(temperature=0, bias={0: 100.0})).sample(SCORES) == 0
