"""What the coverage simulations share."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from preceptor import Estimate


@pytest.fixture
def coverage() -> Callable[[Iterable[Estimate], float], float]:
    """The share of estimates whose interval holds the truth."""

    def share(estimates: Iterable[Estimate], truth: float) -> float:
        return float(np.mean([estimate.low - 1e-12 <= truth <= estimate.high + 1e-12 for estimate in estimates]))

    return share


@pytest.fixture
def clustered_answers() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """One draw of right-or-wrong answers with their clusters: beta-binomial, correlation `icc` within a cluster."""

    def draw(rng: np.random.Generator, p: float, groups: int, icc: float, sizes: str = "equal") -> tuple[np.ndarray, np.ndarray]:
        rows = {
            "equal": lambda: np.full(groups, 10),
            "poisson": lambda: 1 + rng.poisson(4, groups),
            "uneven": lambda: np.ceil(np.exp(rng.normal(1.5, 1, groups))).astype(int),
        }[sizes]()
        odds = (1 - icc) / icc
        clusters = np.repeat(np.arange(groups), rows)
        return (rng.random(len(clusters)) < rng.beta(p * odds, (1 - p) * odds, groups)[clusters]).astype(float), clusters

    return draw
