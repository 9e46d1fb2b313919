"""Posterior targets against majority labels in preference training: `dpo` and `reward` on pairs that noisy simulated
people compared. What is better was made easier to learn while piloting, until a model of this size could learn it at all: the figures are
of that task, and a real one may show less.

The texts are real, sentences of Amazon reviews; what is better is known: a reader's taste (`TASTE`), who likes sentences in which
somebody speaks of themselves and dislikes denials. 24 simulated people judge a pair: person w takes the
better side with probability η_w·σ(κ·gap) + (1 − η_w)·σ(−κ·gap) (CrowdBT; Chen et al. 2013), η_w = ½ + ½·Beta(2, 2), so that some
hardly know better than a coin. Of the same 1, 2, 3 or 5 judgments a pair each arm makes other targets:

posterior       what a snapshot of a compare question has: the consensus's probability that the one is better (dpo loss_type=soft)
posterior hard  its more probable side, as if that were sure
majority        the side that more of them took, a coin between equals, as if that were sure (dpo loss_type=hard)
smoothing       the majority's with one ε for all, the share of judgments that the consensus holds wrong (dpo loss_type=smoothing)
robust          the posterior's with the unbiased loss (dpo loss_type=robust), which leaves out pairs below 70 %

Who is asked, what they say and the training's order change with the seed; the test pairs, of other documents, are the same for all and
have their true side. Validation pairs, which choose the epoch, have the arm's own targets. A difference's interval has both parts:
test documents drawn anew, and seeds drawn anew. What is done is kept in bench-results/posterior_preferences and not done again; BUDGET
seconds a call, when given, and what isn't there then is left out and said.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from benches._small_model import small_decoder
from scipy.special import expit

from preceptor import Estimate
from preceptor.consensus import Judgments, aggregate
from preceptor.models.base_models import VADER_ASSET, fetch_asset, find_base_folder
from preceptor.pipeline.demo import read_recorded_judgments
from preceptor.statistics import bootstrap, calibration_estimates, compare_paired, estimate_mean, expected_calibration_error, log_loss_rows
from preceptor.storage import ObjectStore
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import write_snapshot
from preceptor.training import TrainingRun, recipes
from preceptor.types import Model, Question, json_digest

KEPT = Path(__file__).parents[1] / "bench-results" / "posterior_preferences"
TASTE = {r"\b(i|my|me|i'm|i've)\b": 2.0, r"\b(not|no|never|without)\b|n't\b": -2.0}  # what a sentence may hold, and what it is worth
PEOPLE, STEEP, LEAST_GAP = 24, 1.0, 1.0  # simulated people; κ, per point of taste; gap of a pair at least
SIZES = {"train": 300, "validation": 100, "test": 600}
SEEDS, COUNTS = range(3), (1, 2, 3, 5)
PROMPT = "Write a sentence of a product review."
QUESTION = Question("better", "compare", (), settings={"responses": 2, "ties": False, "reasons": False})
LOSSES = {"posterior": "soft", "posterior hard": "hard", "majority": "hard", "smoothing": "smoothing", "robust": "robust"}
SMALL = {"adapter": "none", "learning_rate": 1e-3, "epochs": 4, "dtype": "float32", "batch_size": 16}
LARGE = {"adapter": "lora-top", "learning_rate": 2e-4, "epochs": 1, "dtype": "float32"}
REWARD = {"learning_rate": 1e-4, "epochs": 4, "min_steps": 1, "dtype": "float32"}
Floats = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts (n, 2), the gap of what they are worth, first less second, and their block of documents, of one side of the split."""

    texts: list[tuple[str, str]]
    gaps: Floats
    blocks: list[str]


@cache
def pairs(side: str) -> Pairs:
    """Drawn once: two documents make a block, each text stands in one pair at most, which side comes first is a coin."""
    recorded, rng = read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon", seed=0), np.random.default_rng(0)
    groups = sorted({row["group"] for row in recorded.rows})
    order = [groups[at] for at in rng.permutation(len(groups))]
    parts = dict(zip(SIZES, np.split(np.array(order), [int(0.5 * len(order)), int(0.65 * len(order))]), strict=True))
    block = {group: f"{side}-{at // 2}" for at, group in enumerate(parts[side].tolist())}
    found = []
    for name in sorted(set(block.values())):
        rows = [row for row in recorded.rows if block.get(row["group"]) == name]
        rows = [rows[at] for at in rng.permutation(len(rows))]
        for one, other in zip(rows[::2], rows[1::2], strict=False):
            gap = taste(one["text"]) - taste(other["text"])
            if abs(gap) >= LEAST_GAP:
                found.append((one["text"], other["text"], gap, name))
    taken = [found[at] for at in rng.permutation(len(found))[: SIZES[side]]]
    return Pairs([(one, other) for one, other, _, _ in taken], np.array([row[2] for row in taken]), [row[3] for row in taken])


def taste(text: str) -> float:
    """How good a sentence is."""
    return sum(worth for pattern, worth in TASTE.items() if re.search(pattern, text.lower()))


@dataclass(frozen=True)
class Judged:
    """What simulated people said of all training and validation pairs: votes for the first (n,) and in all, and the posterior of it."""

    votes: Floats
    count: int
    posterior: Floats

    def target(self, arm: str, rng: np.random.Generator) -> Floats:
        """Probability that the first is better, (n,)."""
        if arm in ("posterior", "robust"):
            return self.posterior
        if arm == "posterior hard":
            return (self.posterior > 0.5).astype(np.float64)
        share = self.votes / self.count
        return np.where(share == 0.5, rng.random(len(share)) < 0.5, share > 0.5).astype(np.float64)

    @property
    def wrong(self) -> float:
        """Share of majority labels that the consensus holds wrong."""
        share = self.votes / self.count
        return float(np.mean(np.where(share > 0.5, 1 - self.posterior, np.where(share < 0.5, self.posterior, 0.5))))


def judged(count: int, seed: int) -> Judged:
    rng = np.random.default_rng((seed, count))
    gaps = np.concatenate([pairs(side).gaps for side in ("train", "validation")])
    able = 0.5 + 0.5 * np.random.default_rng(seed).beta(2, 2, PEOPLE)
    who = np.stack([rng.permutation(PEOPLE)[:count] for _ in gaps])
    clear = expit(STEEP * np.abs(gaps))[:, None]
    right = rng.random(who.shape) < able[who] * clear + (1 - able[who]) * (1 - clear)
    first = np.where(right, gaps[:, None] > 0, gaps[:, None] < 0)
    return Judged(first.sum(axis=1), count, agreed(first, who, KEPT / f"agreed-{count}-{seed}.npy"))


def agreed(first: Floats, who: Floats, path: Path) -> Floats:
    """The consensus's probability that a pair's first side is better, (n,); kept."""
    if not path.exists():
        items = np.repeat(np.arange(len(first)), first.shape[1])
        columns: dict[str, Any] = {"item": [f"p{at:05d}" for at in items], "annotator": [f"w{each:02d}" for each in who.ravel()]}
        answers = np.where(first.ravel(), "0", "1").tolist()
        found = aggregate(Judgments.from_columns(**columns, answer=answers, answers=("0", "1")), "auto")
        place = {item: at for at, item in enumerate(found.items)}
        KEPT.mkdir(parents=True, exist_ok=True)
        np.save(path, found.posterior[[place[f"p{at:05d}"] for at in range(len(first))], 0])
    return np.asarray(np.load(path))


def random(seed: int) -> np.random.Generator:
    """What settles a majority's ties."""
    return np.random.default_rng(seed)


def rows(side: str, chances: Floats) -> list[SnapshotRow]:
    found = pairs(side)
    return [
        SnapshotRow(f"{side}-{at}", {"prompt": PROMPT, "responses": list(texts)}, _target(chance), 1.0, side, block)
        for at, (texts, chance, block) in enumerate(zip(found.texts, chances.tolist(), found.blocks, strict=True))
    ]


def _target(first: float) -> dict[str, float]:
    return {answer: chance for answer, chance in (("0", first), ("1", 1 - first)) if chance > 0}


@cache
def base() -> Path:
    """About 1.3 million weights, taught on the training documents' sentences and on film reviews."""
    recorded = read_recorded_judgments(fetch_asset(VADER_ASSET), "movies", seed=0)
    known = [text for both in pairs("train").texts for text in both]
    texts = [*known, *(row["text"] for row in recorded.rows[:6000])]
    chats = [[{"role": "user", "content": PROMPT}, {"role": "assistant", "content": text}] for text in texts]
    return small_decoder(chats, KEPT / "base", steps=300, width=128)


@dataclass(frozen=True)
class Cell:
    """One training: of which recipe on which model, on how many judgments a pair, with which targets, by which seed."""

    recipe: str
    model: str
    count: int
    arm: str
    seed: int

    @property
    def path(self) -> Path:
        return KEPT / f"{self.recipe}-{self.model}-{self.count}-{self.arm.replace(' ', '-')}-{self.seed}.npy"

    @property
    def folder(self) -> Path:
        return base() if self.model == "small" else find_base_folder(self.model)


def cells() -> Iterator[Cell]:
    """In the order in which they are wanted: first of what is claimed most."""
    for count in (3, 2):
        for seed in SEEDS:
            yield from (Cell("dpo", "small", count, arm, seed) for arm in ("posterior", "majority"))
    for count in (1, 5):
        for seed in SEEDS:
            yield from (Cell("dpo", "small", count, arm, seed) for arm in ("posterior", "majority"))
    for arm in ("posterior hard", "smoothing", "robust"):
        yield from (Cell("dpo", "small", 3, arm, seed) for seed in SEEDS)
    for seed in SEEDS:
        yield from (Cell("reward", "small", 3, arm, seed) for arm in ("posterior", "majority"))
    yield from (Cell("dpo", "smollm2", 3, arm, 0) for arm in ("posterior", "majority"))


def margins(cell: Cell) -> Floats:
    """Log-odds of each test pair's first side after training on the cell's targets; kept, and read again when they are there."""
    if not cell.path.exists():
        started = time.perf_counter()
        made = trained(cell)
        KEPT.mkdir(parents=True, exist_ok=True)
        with cell.path.with_suffix(".part").open("wb") as file:
            np.save(file, made)
        cell.path.with_suffix(".part").rename(cell.path)
        right = np.mean((made > 0) == (pairs("test").gaps > 0))
        print(f"{cell.path.stem}: accuracy {right:.3f}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return np.asarray(np.load(cell.path))


def trained(cell: Cell) -> Floats:
    said = judged(cell.count, cell.seed)
    chances, size = said.target(cell.arm, random(cell.seed)), len(pairs("train").texts)
    sides = {"train": rows("train", chances[:size]), "validation": rows("validation", chances[size:])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        snapshot = write_snapshot(
            ObjectStore(folder / "objects"), QUESTION, ("0", "1"), [*sides["train"], *sides["validation"]], {"checks": []}
        )
        recipe = recipes.get(cell.recipe)
        model = recipe(TrainingRun(folder / "run", cell.folder, snapshot, cell.seed), recipe.Options(**options(cell, said)))
        return (rewards if cell.recipe == "reward" else preferences)(model, cell.folder)


def options(cell: Cell, said: Judged) -> dict[str, Any]:
    if cell.recipe == "reward":
        return {**REWARD, "targets": "soft"}  # of the majority the target itself is hard
    chosen = {**(SMALL if cell.model == "small" else LARGE), "loss_type": LOSSES[cell.arm]}
    return {**chosen, "label_smoothing": round(min(said.wrong, 0.45), 3)} if cell.arm == "smoothing" else chosen


def rewards(model: Model, _: Path) -> Floats:
    from preceptor.models.classifier import RewardModel

    scored, asked = RewardModel(model.path), [{"role": "user", "content": PROMPT}]
    first, second = (scored.score([asked] * len(texts), texts) for texts in zip(*pairs("test").texts, strict=True))
    return first - second


def preferences(model: Model, base_of: Path) -> Floats:
    """What training moved: β times the change of log-probability of the first side, less that of the second."""
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.models.loading import load_causal

    tokenizer = ChatTokenizer(model.path).tokenizer
    after = _sums(load_causal(model.path), tokenizer)
    before = KEPT / f"before-{base_of.name}-{json_digest(pairs('test').texts)[:8]}.npy"
    if not before.exists():
        from preceptor.models.causal_lm import prepare_causal

        np.save(before, _sums(prepare_causal(base_of, tokenizer).eval(), tokenizer))
    moved = after - np.load(before)
    return np.asarray(model.manifest["beta"] * (moved[:, 0] - moved[:, 1]))


def _sums(model: Any, tokenizer: Any) -> Floats:
    from preceptor.models.chat_template import build_conversation, render_conversation
    from preceptor.models.completion_scoring import completion_log_probabilities

    cut = [
        render_conversation(tokenizer, build_conversation({"prompt": PROMPT}, text), 512) for both in pairs("test").texts for text in both
    ]
    found = completion_log_probabilities(model, [c.tokens for c in cut], [c.supervised for c in cut], tokenizer.pad_token_id)
    return np.array([each.sum() for each in found]).reshape(-1, 2)


class Held:
    """The test pairs' better sides and blocks, and figures of margins against them, means over seeds."""

    def __init__(self) -> None:
        self.truth, self.blocks = (pairs("test").gaps > 0).astype(int), np.array(pairs("test").blocks)

    def scores(self, said: Floats) -> dict[str, Floats]:
        chances = np.stack([expit(-said), expit(said)], axis=1)
        return {"accuracy": ((said > 0) == self.truth).astype(np.float64), "log_loss": log_loss_rows(chances, self.truth)}

    def calibration(self, said: Floats, weights: Any = None) -> Any:
        return expected_calibration_error(np.stack([expit(-said), expit(said)], axis=1), self.truth, weights)

    def figures(self, runs: Sequence[Floats]) -> dict[str, Any]:
        """calibration_error: of all runs' certainties together."""
        chances, times = expit(np.concatenate(runs)), len(runs)
        both_sides = np.stack([1 - chances, chances], axis=1)
        error = calibration_estimates(both_sides, np.tile(self.truth, times), np.tile(self.blocks, times))
        return {
            **{name: estimate_mean(each, clusters=self.blocks) for name, each in self._averaged(runs).items()},
            "calibration_error": error,
        }

    def difference(self, ones: Sequence[Floats], others: Sequence[Floats]) -> dict[str, Estimate]:
        """one − other, seed by seed on the same judgments."""
        a, b = self._averaged(ones), self._averaged(others)
        over = {name: compare_paired(a[name], b[name], clusters=self.blocks) for name in a}
        over["calibration_error"] = self._redrawn(
            lambda weights: np.mean([self._less(one, other, weights) for one, other in zip(ones, others, strict=True)], axis=0)
        )
        seeds = {
            name: [float((self.scores(one)[name] - self.scores(other)[name]).mean()) for one, other in zip(ones, others, strict=True)]
            for name in a
        }
        seeds["calibration_error"] = [float(self._less(one, other)) for one, other in zip(ones, others, strict=True)]
        return {name: both(over[name], seeds[name]) for name in over}

    def _averaged(self, runs: Sequence[Floats]) -> dict[str, Floats]:
        each = [self.scores(said) for said in runs]
        return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}

    def _less(self, one: Floats, other: Floats, weights: Any = None) -> Any:
        return self.calibration(one, weights) - self.calibration(other, weights)

    def _redrawn(self, figure: Callable[[Any], Any]) -> Estimate:
        return bootstrap(figure, clusters=self.blocks, replicates=400)


def both(over: Estimate, seeds: Sequence[float]) -> Estimate:
    """One interval from two sources of chance: half-widths add as squares; of one seed, that of the documents alone."""
    if len(seeds) == 1:
        return over
    apart = estimate_mean(np.asarray(seeds))
    below, above = np.hypot(over.value - over.low, apart.value - apart.low), np.hypot(over.high - over.value, apart.high - apart.value)
    return Estimate(over.value, float(over.value - below), float(over.value + above), len(seeds), "documents by cluster, seeds by t")


def run() -> dict[str, Any]:
    """Figures of each recipe, model, number of judgments and arm that is there, and its difference from the majority's."""
    budget, started = float(os.environ.get("BUDGET", "inf")), time.perf_counter()
    found: dict[tuple[str, str, int, str], dict[int, Floats]] = {}
    missing = 0
    for cell in cells():
        if not cell.path.exists() and time.perf_counter() - started > budget:
            missing += 1
            continue
        found.setdefault((cell.recipe, cell.model, cell.count, cell.arm), {})[cell.seed] = margins(cell)
    held, figures, differences = Held(), [], []
    for (recipe, model, count, arm), runs in sorted(found.items()):
        about = {"recipe": recipe, "model": model, "judgments": count}
        figures.append({**about, "targets": arm, "seeds": len(runs), **plain(held.figures(list(runs.values())))})
        other = found.get((recipe, model, count, "majority"), {})
        shared = sorted(runs.keys() & other.keys())
        if arm != "majority" and shared:
            less = held.difference([runs[seed] for seed in shared], [other[seed] for seed in shared])
            differences.append({**about, "of": f"{arm} − majority", "seeds": len(shared), **plain(less)})
    return {
        "figures": figures,
        "differences": differences,
        "labels": [labels(count) for count in COUNTS],
        "pairs": {side: len(pairs(side).texts) for side in SIZES},
        "test_blocks": len(set(pairs("test").blocks)),
        "people": PEOPLE,
        "missing": missing,
        "options": {"small": SMALL, "smollm2": LARGE, "reward": REWARD},
    }


def labels(count: int) -> dict[str, Any]:
    """How often the targets take the right side, and how sure the posterior is; means over the seeds."""
    truth = np.concatenate([pairs(side).gaps for side in ("train", "validation")]) > 0
    each = [judged(count, seed) for seed in SEEDS]
    right = {
        f"{arm}_right": round(float(np.mean([(one.target(arm, random(seed)) > 0.5) == truth for seed, one in enumerate(each)])), 3)
        for arm in ("posterior", "majority")
    }
    sure = np.mean([np.maximum(one.posterior, 1 - one.posterior).mean() for one in each])
    return {"judgments": count, **right, "posterior_sure": round(float(sure), 3)}


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates as JSON values."""
    return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in row.items()}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
