"""People's own noise: how far off a model's accuracy is when people's consensus stands for the truth, by estimator.

Simulated, two answers. The first table is that of independent errors; in the second, a fifth of the items mislead people and the
model alike, ever more. The last column is the default design: an expert's verdict on 150 random items, and `ppi_mean` with the
agreement with the consensus as the judge of all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preceptor.consensus import Judgments, aggregate
from preceptor.statistics import accuracy_against_consensus, estimate_mean, ppi_mean

WORKERS, ADJUDICATED, RUNS, HARD = 20, 150, 200, 0.2
INDEPENDENT = [(400, 3, 0.75, 0.85), (400, 3, 0.75, 0.95), (400, 5, 0.85, 0.90), (2000, 3, 0.75, 0.85)]
MISLED = [0.0, 0.2, 0.35, 0.45]  # how much of everyone's ability the hard items take


class Crowd(NamedTuple):
    """truth, model: answers (items,); votes (items, judgments) and who gave them."""

    truth: NDArray[np.int64]
    model: NDArray[np.int64]
    votes: NDArray[np.int64]
    people: NDArray[np.int64]


def draw(rng: np.random.Generator, items: int, judgments: int, worker: float, model: float, misled: float = 0.0) -> Crowd:
    """A crowd of like ability and a model; the means stay what they are when hard items take from both, and easy ones give."""
    truth, hard = rng.integers(2, size=items), rng.random(items) < HARD

    def right(mean_ability: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        ability = np.where(hard, mean_ability - misled, min(mean_ability + misled * HARD / (1 - HARD), 1.0))
        return rng.random(shape) < ability.reshape(-1, *(1,) * (len(shape) - 1))

    people = np.stack([rng.choice(WORKERS, judgments, replace=False) for _ in range(items)])
    votes = np.where(right(worker, (items, judgments)), truth[:, None], 1 - truth[:, None])
    return Crowd(truth, np.where(right(model, (items,)), truth, 1 - truth), votes, people)


def estimates(rng: np.random.Generator, crowd: Crowd) -> dict[str, float]:
    """What each estimator takes the model's accuracy to be, less what it is on these items."""
    rows, items = np.arange(len(crowd.truth)), len(crowd.truth)
    posterior = fitted(crowd.votes, crowd.people)
    agrees = (posterior.argmax(axis=1) == crowd.model).astype(float)
    with_model = fitted(np.column_stack([crowd.votes, crowd.model]), np.column_stack([crowd.people, np.full(items, WORKERS)]))
    chosen = rng.permutation(items)[:ADJUDICATED]
    rest, right = np.setdiff1d(rows, chosen), (crowd.model == crowd.truth).astype(float)
    alone, joint = estimate_mean(right[chosen]), ppi_mean(right[chosen], agrees[chosen], agrees[rest])
    ties = rng.random(items) < 0.5
    share = crowd.votes.mean(axis=1)
    majority = np.where(share == 0.5, ties, share > 0.5)
    found = {
        "MV truth": float((majority == crowd.model).mean()),
        "MAP": float(agrees.mean()),
        "mean T[m]": float(posterior[rows, crowd.model].mean()),
        "Rogan-Gladen": accuracy_against_consensus(agrees, posterior.max(axis=1), replicates=100).value,
        "model inside DS": float(with_model[rows, crowd.model].mean()),
        "experts alone": alone.value,
        "default design": joint.value,
    }
    more = {"experts' width": alone.high - alone.low, "default's width": joint.high - joint.low}
    more["default holds"] = float(joint.low <= right.mean() <= joint.high)
    return {**{name: value - right.mean() for name, value in found.items()}, **more}


def fitted(votes: NDArray[np.int64], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """Posteriors of the two answers, (items, 2)."""
    item = np.repeat(np.arange(len(votes)), votes.shape[1])
    judgments = Judgments.from_columns(item=item, annotator=people.ravel(), answer=votes.ravel(), answers=(0, 1))
    return np.asarray(aggregate(judgments, method="one_coin").posterior)


def table(settings: Iterable[tuple[Mapping[str, Any], tuple[Any, ...]]], runs: int = RUNS) -> list[dict[str, Any]]:
    """A row a setting: mean error of each estimator over the runs."""
    rows = []
    for names, setting in settings:
        rng = np.random.default_rng(0)
        found = [estimates(rng, draw(rng, *setting)) for _ in range(runs)]
        means = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        spread = {f"sd, {name}": float(np.std([each[name] for each in found])) for name in ("experts alone", "default design")}
        rows.append({**names, **{name: round(value, 3) for name, value in {**means, **spread}.items()}})
    return rows


def run() -> dict[str, Any]:
    """Both tables."""
    independent = [({"items": n, "judgments": j, "people": w, "model": m}, (n, j, w, m)) for n, j, w, m in INDEPENDENT]
    shared = [({"taken by hard items": s}, (1500, 3, 0.8, 0.85, s)) for s in MISLED]
    return {"independent errors": table(independent), "shared errors": table(shared)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(), indent=2, ensure_ascii=False) + "\n")
