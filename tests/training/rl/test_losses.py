"""Advantages and losses against closed forms, finite sums over a small softmax, and TRL's formulas on recorded numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.training.rl.rollouts import (
    centered_advantages,
    kl_estimate_k1,
    kl_estimate_k3,
    kl_losses,
    leave_one_out_advantages,
    policy_losses,
    standardized_advantages,
)

POLICY, BASE = torch.tensor([0.3, -1.0, 0.8, 0.0, 1.5], dtype=torch.float64), torch.tensor([0.0, 0.5, -0.2, 1.0, 0.1], dtype=torch.float64)


def expected_gradient(loss_of: object, start: torch.Tensor) -> torch.Tensor:
    """The mean over the policy's own draws of a loss's gradient: exactly, by summing over all five tokens."""
    chances = torch.softmax(start, dim=0)
    total = torch.zeros_like(start)
    for token, chance in enumerate(chances):
        scores = start.clone().requires_grad_()
        said = torch.log_softmax(scores, dim=0)[token]
        (gradient,) = torch.autograd.grad(loss_of(said, torch.log_softmax(BASE, dim=0)[token]), scores)  # type: ignore[operator]
        total += chance * gradient
    return total


def reverse_kl_gradient(start: torch.Tensor) -> torch.Tensor:
    scores = start.clone().requires_grad_()
    said, base = torch.log_softmax(scores, dim=0), torch.log_softmax(BASE, dim=0)
    (gradient,) = torch.autograd.grad((said.exp() * (said - base)).sum(), scores)
    return gradient


def test_the_divergence_in_the_loss_has_the_gradient_of_kl_to_the_base() -> None:
    found = expected_gradient(lambda said, base: kl_losses(said, said.detach(), base), POLICY)
    torch.testing.assert_close(found, reverse_kl_gradient(POLICY))
    assert found.abs().max() > 0.1


def test_the_other_estimators_would_have_another() -> None:
    """Why k2 it is: k1 as a loss teaches nothing on average, k3 the divergence the other way round."""
    torch.testing.assert_close(expected_gradient(lambda said, base: said - base, POLICY), torch.zeros(5, dtype=torch.float64))
    of_k3 = expected_gradient(lambda said, base: torch.exp(base - said) - (base - said) - 1, POLICY)
    forward = torch.softmax(POLICY, dim=0) - torch.softmax(BASE, dim=0)  # of KL(base‖policy)
    torch.testing.assert_close(of_k3, forward)
    assert (of_k3 - reverse_kl_gradient(POLICY)).abs().max() > 0.05


def test_kl_in_the_reward_has_that_gradient_too() -> None:
    """RLOO's way: −(−k1) weighs the log-probability of what was drawn."""
    found = expected_gradient(lambda said, base: (said - base).detach() * said, POLICY)
    torch.testing.assert_close(found, reverse_kl_gradient(POLICY))


def test_a_drawn_token_counts_by_how_much_more_probable_it_has_become() -> None:
    """Off policy: drawn by the base, learnt by the policy, the mean gradient is still that of the policy's KL."""
    drawn_by = torch.log_softmax(BASE, dim=0)
    total = torch.zeros(5, dtype=torch.float64)
    for token in range(5):
        scores = POLICY.clone().requires_grad_()
        said = torch.log_softmax(scores, dim=0)[token]
        (gradient,) = torch.autograd.grad(kl_losses(said, drawn_by[token], drawn_by[token]), scores)
        total += drawn_by[token].exp() * gradient
    torch.testing.assert_close(total, reverse_kl_gradient(POLICY))


def test_k1_and_k3_tell_kl_on_average() -> None:
    said, base = torch.log_softmax(POLICY, dim=0).numpy(), torch.log_softmax(BASE, dim=0).numpy()
    kl = float((np.exp(said) * (said - base)).sum())
    assert float((np.exp(said) * kl_estimate_k1(said, base)).sum()) == pytest.approx(kl)
    assert float((np.exp(said) * kl_estimate_k3(said, base)).sum()) == pytest.approx(kl)
    assert (kl_estimate_k3(said, base) >= 0).all()


def test_on_what_was_just_drawn_the_gradient_is_the_policy_gradient() -> None:
    said = torch.tensor([-1.0, -0.2, -3.0], requires_grad=True)
    advantages = torch.tensor([2.0, -1.0, 0.5])
    losses = policy_losses(said, said.detach(), advantages)
    torch.testing.assert_close(losses.detach(), -advantages)  # the ratio is 1
    losses.sum().backward()
    torch.testing.assert_close(said.grad, -advantages)


def test_beyond_the_clip_a_token_asks_for_no_more() -> None:
    said = torch.tensor([0.5, -0.5, 0.5, -0.5], requires_grad=True)  # ratios 1.65 and 0.61
    policy_losses(said, torch.zeros(4), torch.tensor([1.0, -1.0, -1.0, 1.0])).sum().backward()
    assert said.grad is not None
    assert (said.grad[:2] == 0).all(), "good and already more probable, bad and already less"
    assert (said.grad[2:] != 0).all(), "what went the wrong way is still pulled back"


def test_leave_one_out_is_the_mean_of_the_others() -> None:
    rewards = np.random.default_rng(0).normal(size=(4, 5))
    found = leave_one_out_advantages(rewards)
    for group, own in zip(rewards, found, strict=True):
        for at in range(5):
            assert own[at] == pytest.approx(group[at] - np.delete(group, at).mean())
    np.testing.assert_allclose(found, 5 / 4 * (rewards - rewards.mean(axis=1, keepdims=True)))


def test_its_baseline_does_not_bias_the_gradient_and_makes_it_calmer() -> None:
    """Five-armed bandit: the mean over many groups is the true gradient of the expected reward, at a smaller variance than without."""
    random, arms = np.random.default_rng(1), np.array([1.0, 3.0, 2.0, 0.0, 5.0])
    chances = torch.softmax(POLICY, dim=0).numpy()
    drawn = random.choice(5, size=(20_000, 4), p=chances)
    scores = np.eye(5)[drawn] - chances  # gradients of log-probabilities
    true = chances * (arms - chances @ arms)
    each = (leave_one_out_advantages(arms[drawn])[:, :, None] * scores).mean(axis=1)
    plain = (arms[drawn][:, :, None] * scores).mean(axis=1)
    error = each.std(axis=0) / np.sqrt(len(each))
    assert (np.abs(each.mean(axis=0) - true) < 4 * error).all()
    assert each.var(axis=0).sum() < 0.7 * plain.var(axis=0).sum()


def test_a_group_of_equal_rewards_has_no_advantage() -> None:
    for advantages in (leave_one_out_advantages, centered_advantages, standardized_advantages):
        np.testing.assert_array_equal(advantages(np.full((2, 4), 0.7)), 0)


# Log-probabilities of two answers (three and two tokens) to each of two prompts, when drawn, now, and under the base; rewards.
NOW = torch.tensor([[-0.9, -1.1, -0.3], [-2.0, -0.4, 0.0], [-0.7, -0.2, -1.5], [-1.0, -1.0, 0.0]])
THEN = torch.tensor([[-1.0, -1.0, -0.5], [-1.6, -0.4, 0.0], [-0.7, -0.6, -1.4], [-1.3, -0.9, 0.0]])
MASK = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
REWARDS = np.array([[1.0, 0.0], [0.2, 0.6]])


@pytest.mark.parametrize("form", ["dr", "original"])
def test_without_kl_it_is_trl_s_loss(form: str) -> None:
    """TRL's `loss_type` "dr_grpo" with `scale_rewards` off, and "grpo" with it on, as written in its trainer."""
    rewards = torch.tensor(REWARDS, dtype=torch.float32)
    advantages = rewards - rewards.mean(dim=1, keepdim=True)
    if form == "original":
        advantages = advantages / (rewards.std(dim=1, keepdim=True) + 1e-4)
    ratio = torch.exp(NOW - THEN)
    spread = advantages.flatten()[:, None]
    per_token = -torch.min(ratio * spread, torch.clamp(ratio, 0.8, 1.2) * spread)
    if form == "dr":
        trl = (per_token * MASK).sum() / (len(NOW) * 3)
    else:
        trl = ((per_token * MASK).sum(-1) / MASK.sum(-1)).mean()

    ours = torch.tensor((centered_advantages if form == "dr" else standardized_advantages)(REWARDS).ravel(), dtype=torch.float32)
    lengths = MASK.sum(dim=1)
    share = torch.full((4,), 1 / 3) if form == "dr" else 1 / lengths
    learnt = MASK.bool()
    losses = policy_losses(NOW[learnt], THEN[learnt], ours.repeat_interleave(lengths.long()))
    torch.testing.assert_close((losses * (share / 4).repeat_interleave(lengths.long())).sum(), trl)
