"""A stream that is looked at after every value: hardly ever called changed while it isn't, and soon when it is."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics.sequential import detect_change


@pytest.mark.parametrize("kind", ["shares", "verdicts"])
def test_nothing_is_called_where_nothing_has_changed(kind):
    """At no look of 400, in more than one of twenty streams."""
    called = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values = rng.beta(4, 2, size=500) if kind == "shares" else (rng.random(500) < 0.85).astype(float)
        called += detect_change(values[:100], values[100:], seed=seed).drifted
    assert called <= 21, "0.05 of 300 is 15, and its standard error 4"


@pytest.mark.parametrize("after", [0.55, 1.0])
def test_a_change_is_called_however_late(after):
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.concatenate([rng.random(1000) < 0.8, rng.random(300) < after]).astype(float)
        found.append(detect_change(values[:200], values[200:], seed=seed).since)
    late = [since for since in found if since is not None and since > 800]
    assert len(late) >= 16
    assert np.median(late) < 960, "a fall by 25 points is seen after some 100 verdicts, a rise by 20 too"


def test_what_was_seen_is_not_unseen():
    """More values change nothing of the evidence before them."""
    values = np.random.default_rng(0).random(300)
    assert np.array_equal(detect_change(values[:50], values[50:]).evidence[:100], detect_change(values[:50], values[50:150]).evidence)
    assert len(detect_change(values, []).evidence) == 0


def test_what_is_no_number_is_refused():
    with pytest.raises(UserError):
        detect_change([0.5, float("nan")], [0.5])
    with pytest.raises(UserError):
        detect_change([0.5], [0.5], confidence=1.0)
