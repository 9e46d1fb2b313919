"""Pairs out of rows, and the losses' equations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.training.dpo import DPOObjective
from preceptor.training.preference_pairs import (
    ResponsePair,
    exclusion_reason,
    extract_pairs,
    loss_target,
    margin_cross_entropy,
    preference_losses,
    preferred_answer,
)
from preceptor.training.reward_model import outcome_probabilities
from tiny_models import Answered

PAIR = ResponsePair("i", {"prompt": "?"}, "a", "b", 0.8, 1.0, "g")


def row(responses, **target):
    return Answered(
        "i", {"prompt": "?", "responses": responses}, {name.removeprefix("_"): share for name, share in target.items()}, 2.0, "g"
    )


def test_a_comparison_is_a_pair_with_half_of_the_tie_on_each_side():
    (pair,) = extract_pairs(row(["x", "y"], _0=0.2, _1=0.6, tie=0.2))
    assert (pair.chosen, pair.rejected, pair.weight, pair.group, pair.tie, pair.chosen_first) == ("y", "x", 2.0, "g", False, False)
    assert pair.probability == pytest.approx(0.7)
    assert preferred_answer(row(["x", "y"], _0=0.2, _1=0.6, tie=0.2)) == "y"


def test_a_tie_says_nothing_of_the_order():
    (pair,) = extract_pairs(row(["x", "y"], _0=0.3, _1=0.1, tie=0.6))
    assert pair.tie
    assert pair.probability == 0.5


def test_several_responses_are_pairs_by_luce_that_weigh_what_the_row_does():
    pairs = extract_pairs(row(["x", "y", "z"], _0=0.5, _1=0.3, _2=0.2))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert [pair.probability for pair in pairs] == pytest.approx([0.5 / 0.8, 0.5 / 0.7, 0.3 / 0.5])
    assert sum(pair.weight for pair in pairs) == pytest.approx(2.0)
    sure = extract_pairs(row(["x", "y", "z"], _0=1.0))
    assert [(pair.chosen, pair.rejected) for pair in sure] == [("x", "y"), ("x", "z")], "of the others people said nothing"


def test_a_tie_of_several_is_shared_by_their_pairs():
    """Of the 0.8 that either of both is best a third of a tie of three falls to each."""
    first = extract_pairs(row(["x", "y", "z"], _0=0.4, _1=0.2, _2=0.1, tie=0.3))[0]
    assert outcome_probabilities(first, "soft") == pytest.approx((0.4 / 0.8, 0.2 / 0.8, 0.2 / 0.8))
    (two,) = extract_pairs(row(["x", "y"], _0=0.5, _1=0.2, tie=0.3))
    assert outcome_probabilities(two, "soft") == pytest.approx((0.5, 0.3, 0.2))


def test_hard_targets_take_no_side_where_people_take_none():
    (open_,) = extract_pairs(row(["x", "y"], _0=0.5, _1=0.5))
    (tied,) = extract_pairs(row(["x", "y"], _0=0.3, _1=0.1, tie=0.6))
    (decided,) = extract_pairs(row(["x", "y"], _0=0.4, _1=0.6))
    assert [outcome_probabilities(pair, "hard") for pair in (open_, tied, decided)] == [(0.5, 0.0, 0.5), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)]


@pytest.mark.parametrize("content", [{"prompt": "?", "draft": "d"}, {"prompt": "?", "responses": ["d"]}])
def test_a_correction_is_better_than_its_draft_for_sure(content):
    (pair,) = extract_pairs(Answered("i", content, {"c": 1.0}))
    assert (pair.chosen, pair.rejected, pair.probability, pair.corrected) == ("c", "d", 1.0, True)


def test_rows_without_two_answers_give_none():
    assert extract_pairs(Answered("i", {"prompt": "?"}, {"c": 1.0})) == []
    assert extract_pairs(Answered("i", {"text": "?"}, {"good": 0.7, "bad": 0.3})) == []


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.floats(0, 0.5))
def test_every_pair_of_a_posterior_is_a_probability_and_all_weigh_the_row(shares, tie):
    total = sum(shares) + tie
    target = {str(place): share / total for place, share in enumerate(shares)} | ({"tie": tie / total} if tie else {})
    pairs = extract_pairs(Answered("i", {"prompt": "?", "responses": [str(n) for n in range(len(shares))]}, target, 3.0))
    assert all(0.5 <= pair.probability <= 1 for pair in pairs)
    if max(target, key=target.get) != "tie" and min(target.values()) > 0.02:
        assert sum(pair.weight for pair in pairs) == pytest.approx(3.0)


def test_sure_pairs_give_the_loss_of_dpo():
    margins = torch.tensor([-2.0, 0.0, 0.3, 5.0])
    dpo = -torch.nn.functional.logsigmoid(margins)
    for loss in ("soft", "hard", "smoothing", "robust", "geometric"):
        assert torch.allclose(preference_losses(margins, torch.ones(4), loss), dpo), loss


@pytest.mark.parametrize("loss", ["soft", "smoothing", "geometric"])
def test_p_and_the_sides_exchanged_give_the_same_loss(loss):
    margins, p = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.7, 0.8, 0.95])
    assert torch.allclose(preference_losses(margins, p, loss), preference_losses(-margins, 1 - p, loss))


def test_the_gradient_of_the_soft_loss_is_sigma_of_h_less_p():
    margins, p = torch.linspace(-3, 3, 7, requires_grad=True), torch.linspace(0.05, 0.95, 7)
    preference_losses(margins, p, "soft").sum().backward()
    assert torch.allclose(margins.grad, torch.sigmoid(margins.detach()) - p, atol=1e-6)


def test_the_robust_loss_is_unbiased_for_the_clean_one_and_not_bounded():
    margins, flips = torch.tensor([-1.5, 0.2, 3.0]), torch.full((3,), 0.2)
    told = (1 - flips) * preference_losses(margins, 1 - flips, "robust") + flips * preference_losses(-margins, 1 - flips, "robust")
    assert torch.allclose(told, -torch.nn.functional.logsigmoid(margins), atol=1e-5)
    assert float(preference_losses(torch.tensor([12.0]), torch.tensor([0.8]), "robust")) == pytest.approx(-4.0, abs=1e-3)


def test_pairs_that_people_are_unsure_of_hardly_count_in_the_geometric_loss():
    margins = torch.tensor([0.0, 0.0], requires_grad=True)
    preference_losses(margins, torch.tensor([0.55, 0.95]), "geometric").sum().backward()
    assert margins.grad.tolist() == pytest.approx([-0.05, -0.45])


def test_validation_measures_the_same_cross_entropy():
    margins, p = np.array([-30.0, 0.4, 2.0]), np.array([0.9, 0.6, 0.95])
    assert margin_cross_entropy(margins, p) == pytest.approx(preference_losses(torch.tensor(margins), torch.tensor(p), "soft").numpy())


def test_a_softmax_over_two_answers_converges_to_people_s_odds():
    """π_w/π_l = (π_ref,w/π_ref,l) · (p/(1 − p))^(1/β)."""
    beta, p, reference = 0.5, torch.tensor([0.8]), torch.log_softmax(torch.tensor([0.3, -0.4]), dim=0)
    logits = torch.zeros(2, requires_grad=True)
    for _ in range(500):
        said = torch.log_softmax(logits, dim=0)
        margin = beta * ((said - reference)[0] - (said - reference)[1])
        (gradient,) = torch.autograd.grad(preference_losses(margin[None], p, "soft").sum(), logits)
        logits = (logits - 2.0 * gradient).detach().requires_grad_()
    said = torch.softmax(logits.detach(), dim=0)
    wanted = float(torch.exp(reference[0] - reference[1])) * (0.8 / 0.2) ** (1 / beta)
    assert float(said[0] / said[1]) == pytest.approx(wanted, rel=1e-3)


# What DPOTrainer._compute_loss of TRL 1.16 made of these sums, those of its reference and as many tokens, with beta 0.3: its mean loss.
SUMS = torch.tensor([[-2.5, -1.3], [-4.5, -5.6], [-3.2, -1.4]])
REFERENCE = torch.tensor([[-2.0, -1.5], [-3.5, -6.0], [-4.0, -1.0]])
COUNTS = torch.tensor([[2, 2], [3, 3], [2, 2]])


@pytest.mark.parametrize(
    ("loss", "p", "normalise", "recorded"),
    [("hard", 1.0, "none", 0.7526490), ("robust", 0.8, "none", 0.7826490), ("hard", 1.0, "length", 0.7066039)],
)
def test_losses_are_those_of_trl(loss, p, normalise, recorded):
    teaches = DPOObjective(Path(), None, "lora", 16, loss_name=loss, beta=0.3, normalization=normalise)
    found = preference_losses(teaches.margins(SUMS, REFERENCE, COUNTS), torch.full((3,), p), loss)
    assert float(found.mean()) == pytest.approx(recorded, abs=1e-6)


def test_what_each_loss_takes_of_a_pair():
    assert loss_target(PAIR, "soft", 0.1) == loss_target(PAIR, "robust", 0.1) == 0.8
    assert loss_target(replace(PAIR, probability=1.0), "soft", 0.1) == 0.95, "no posterior is surer than judgments can make it"
    assert loss_target(PAIR, "hard", 0.1) == 1.0
    assert loss_target(PAIR, "smoothing", 0.1) == 0.9


@pytest.mark.parametrize(
    ("changed", "loss", "reason"),
    [
        ({}, "soft", ""),
        ({"probability": 0.59}, "soft", "undecided"),
        ({"probability": 0.5, "tie": True}, "soft", ""),
        ({"probability": 0.5, "tie": True}, "hard", "tie"),
        ({"probability": 0.69}, "robust", "too noisy"),
        ({"probability": 0.71}, "robust", ""),
    ],
)
def test_pairs_that_a_loss_cannot_use_are_refused_with_their_reason(changed, loss, reason):
    assert exclusion_reason(replace(PAIR, **changed), loss) == reason
