"""Losses of soft targets: lowest where the model says what people say, pulled there at full strength, in order where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.training.losses import CLASSIFICATION_LOSSES, ordinal_cross_entropy, soft_binary_cross_entropy, soft_cross_entropy


def soft_targets(kind, seed=0, rows=6, answers=4):
    random = np.random.default_rng(seed)
    drawn = random.uniform(0.02, 0.98, (rows, answers)) if kind == "multilabel" else random.dirichlet([1.0] * answers, rows)
    return torch.as_tensor(drawn, dtype=torch.float32)


def saying(targets, kind):
    """Logits under which the model says just these targets."""
    return torch.logit(targets) if kind == "multilabel" else targets.log()


@pytest.mark.parametrize("kind", CLASSIFICATION_LOSSES)
def test_a_loss_is_lowest_where_the_model_says_what_people_say(kind):
    targets = soft_targets(kind)
    logits = saying(targets, kind).requires_grad_()
    CLASSIFICATION_LOSSES[kind](logits, targets).sum().backward()
    assert logits.grad.abs().max() < 1e-6
    for seed in range(20):
        moved = logits.detach() + 0.3 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
        assert (CLASSIFICATION_LOSSES[kind](moved, targets) > CLASSIFICATION_LOSSES[kind](logits, targets)).all()


def test_the_lowest_loss_is_the_entropy_of_the_targets():
    for kind in ("nominal", "ordinal"):
        targets = soft_targets(kind)
        entropy = -(targets * targets.log()).sum(dim=-1)
        assert torch.allclose(CLASSIFICATION_LOSSES[kind](saying(targets, kind), targets), entropy, atol=1e-6)
    targets = soft_targets("multilabel")
    entropy = -(targets * targets.log() + (1 - targets) * (1 - targets).log()).sum(dim=-1)
    assert torch.allclose(soft_binary_cross_entropy(torch.logit(targets), targets), entropy, atol=1e-5)


def test_the_gradient_of_soft_targets_is_the_weighted_sum_of_those_of_single_answers():
    targets, logits = soft_targets("nominal"), torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

    def gradient(wanted):
        at = logits.clone().requires_grad_()
        soft_cross_entropy(at, wanted).sum().backward()
        return at.grad

    parts = [targets[:, k : k + 1] * gradient(torch.eye(4)[k].expand(6, 4)) for k in range(4)]
    assert torch.allclose(gradient(targets), sum(parts), atol=1e-6)
    assert torch.allclose(gradient(targets), torch.softmax(logits, dim=-1) - targets, atol=1e-6)


def test_two_steps_off_costs_more_than_one_where_there_is_an_order():
    truth = torch.eye(3)[:1]
    near, far = torch.tensor([[0.1, 0.8, 0.1]]).log(), torch.tensor([[0.1, 0.1, 0.8]]).log()
    assert torch.allclose(soft_cross_entropy(near, truth), soft_cross_entropy(far, truth))
    assert ordinal_cross_entropy(far, truth) - ordinal_cross_entropy(near, truth) == pytest.approx(
        0.9**2 + 0.8**2 - 0.9**2 - 0.1**2, abs=1e-5
    )


def test_labels_are_told_one_by_one():
    logits, targets = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.25]])
    p = torch.sigmoid(logits)[0]
    by_hand = -p[0].log() - 0.25 * p[1].log() - 0.75 * (1 - p[1]).log()
    assert soft_binary_cross_entropy(logits, targets).item() == pytest.approx(by_hand.item(), abs=1e-6)
