from __future__ import annotations

import json

import numpy as np
import pytest

from preceptor.training.callbacks import clustered_error
from preceptor.training.hyperparameters import choose_learning_rate

GROUPS = [f"g{row // 4}" for row in range(400)]


def made(**means):
    """Losses with these means; one rate's rows differ from another's by about 0.1 either way."""
    hardness = np.random.default_rng(0).gamma(2, 0.3, 400)
    swings = np.random.default_rng(1).choice([-0.1, 0.1], (len(means), 400))
    return {float(rate): hardness + mean + swing - swing.mean() for (rate, mean), swing in zip(means.items(), swings, strict=True)}


def test_a_clearly_better_rate_is_chosen():
    assert choose_learning_rate(made(**{"1e-5": 0.3, "5e-5": 0.1, "1e-4": 0.0}), GROUPS)[0] == 1e-4
    assert choose_learning_rate(made(**{"1e-5": 0.3, "5e-5": 0.0, "1e-4": 0.1}), GROUPS)[0] == 5e-5


def test_within_noise_the_smaller_rate_is_chosen():
    chosen, table = choose_learning_rate(made(**{"1e-5": 0.3, "5e-5": 0.002, "1e-4": 0.0}), GROUPS)
    assert chosen == 5e-5
    assert [tried["learning_rate"] for tried in table] == [1e-5, 5e-5, 1e-4]
    assert table[0]["above_best"] > table[0]["error"] > 0


def test_a_rate_that_ran_away_is_not_chosen():
    losses = made(**{"1e-5": 0.3, "5e-5": 0.0})
    losses[1e-2] = np.full(400, np.nan)
    chosen, table = choose_learning_rate(losses, GROUPS)
    assert chosen == 5e-5
    assert table[-1]["validation_loss"] is None
    json.dumps(table, allow_nan=False)
    assert choose_learning_rate({1e-2: losses[1e-2], 1e-1: losses[1e-2]}, GROUPS)[0] == 1e-2


def test_error_knows_that_rows_of_a_group_go_together():
    values = np.repeat(np.random.default_rng(0).normal(size=100), 4)
    alone = clustered_error(values, range(400))
    together = clustered_error(values, GROUPS)
    assert alone == pytest.approx(values.std() / 20, rel=1e-9)
    assert together == pytest.approx(2 * alone, rel=1e-9)
