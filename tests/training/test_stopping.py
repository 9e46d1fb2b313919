from __future__ import annotations

import numpy as np
import pytest

from preceptor.training.callbacks import EarlyStoppingBaseline, is_clearly_better, is_clearly_worse, is_out_of_patience

GROUPS = [f"g-{row // 2}" for row in range(200)]


def course(means, noise, seed=0):
    """Evaluations whose mean losses are these, each with paired noise of its own, as the trainer logs them."""
    random, stick = np.random.default_rng(seed), EarlyStoppingBaseline(GROUPS)
    rows = random.normal(2.0, 0.5, 200)
    log = []
    for mean in means:
        shaken = random.normal(0, noise, 200)
        shares = rows - rows.mean() + mean + shaken - shaken.mean()
        log.append({f"eval_{name}": value for name, value in {"loss": float(shares.mean()), **stick.compare(shares)}.items()})
    return log


def test_the_change_is_paired_and_from_the_last_clear_gain():
    log = course([2.0, 1.9, 1.899, 1.8], noise=0.1)
    assert "eval_change" not in log[0]
    assert [round(entry["eval_change"], 3) for entry in log[1:]] == [-0.1, -0.001, -0.1]
    assert log[1]["eval_change_error"] == pytest.approx(0.1 * np.sqrt(2 / 200), rel=0.3)  # not that of the rows, 0.035


def test_gains_within_chance_end_the_patience():
    plateau = course([2.0, 1.9, 1.8995, 1.899, 1.8985], noise=0.1)
    losses = [entry["eval_loss"] for entry in plateau]
    assert losses == sorted(losses, reverse=True)  # each a little better, none clearly
    assert not is_out_of_patience(plateau[:4], 3)
    assert is_out_of_patience(plateau, 3)


def test_small_gains_add_up():
    slow = course([2.0 - 0.004 * step for step in range(12)], noise=0.1)
    assert not any(is_out_of_patience(slow[: count + 1], 4) for count in range(12))


def test_patience_counts_from_the_first():
    assert not is_out_of_patience([], 1)
    assert not is_out_of_patience(course([2.0], 0.1), 1)
    assert is_out_of_patience(course([2.0, 2.5], 0.1), 1)


def test_an_interruption_changes_nothing(tmp_path):
    shares = np.random.default_rng(1).normal(2.0, 0.3, (3, 200))
    whole, cut = EarlyStoppingBaseline(GROUPS), EarlyStoppingBaseline(GROUPS)
    whole.compare(shares[0]), cut.compare(shares[0])
    cut.save(tmp_path)
    again = EarlyStoppingBaseline(GROUPS)
    again.load(tmp_path)
    assert again.compare(shares[1]) == whole.compare(shares[1])


def test_words_know_what_is_clear():
    assert is_clearly_better({})
    assert not is_clearly_better({"change": -0.01, "change_error": 0.02})
    assert is_clearly_worse({"validation_change": 0.03, "validation_change_error": 0.02})
    assert not is_clearly_worse({})
