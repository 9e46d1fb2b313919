"""Self-training on the Amazon sentences: 100 labels and some 2,600 texts without one, against the 100 labels alone. How many layers,
how to sharpen and when to stop were chosen on other documents, which are in the pool here; nothing was chosen by these test documents.

A label is the class of the mean of all twenty people's ratings. Documents are on one side only: 162 validation rows, which both arms
have, 852 test rows, and 2,694 from which a draw takes 100 to label. Two ways to learn: `head`, a logistic head on what an
encoder says as it is (of MiniLM all six layers, and its first four, whose mean vectors tell sentiment better), and `tuned`, all weights
of the first four. The arm of labels alone is the same learner, with the same choice of penalty or step on validation.

`broken`: the first teacher is a model of the same 100 labels after a mistake. `swapped`: each "positive" was entered as "neutral" and the
other way round. `shrugged`: four in five sentences that are negative were called neutral. Once more without holding it against people's
labels before it teaches, which leaves all to the rounds' guard.

A difference's interval is over draws (t), which are what would be drawn anew; test rows are the same in all. What is done is kept in
bench-results/self_training and not done again. Run: python -m benches.self_training [head] [broken] [tuned]; without a name, what is
there is told.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.special import softmax

from preceptor import Estimate
from preceptor.models import class_probabilities, embed_texts, load_classifier
from preceptor.models.base_models import VADER_ASSET, fetch_asset, find_base_folder
from preceptor.models.loading import silence_transformers
from preceptor.pipeline.demo import SENTIMENT_LABELS, RecordedJudgments, code_sentiment, read_recorded_judgments
from preceptor.statistics import estimate_mean, log_loss_rows
from preceptor.training import TrainingRun, recipes
from preceptor.training import self_training as room
from preceptor.training.recipe import UnlabelledItem
from preceptor.training.run_folder import cached_json

KEPT = Path(__file__).parents[1] / "bench-results" / "self_training"
DRAWS, MORE, MISTAKEN, LABELLED = range(10), range(30), range(3), 100
PILOTED, VALIDATION, TEST = 1008, 150, 850  # rows at least, as documents stay whole; the settings were tried on the first
BROKEN = [("swapped", False), ("shrugged", False), ("shrugged", True)]  # mistakes, and whether the seed model is believed
BASES = {"minilm": None, "minilm, first 4 layers": 4}
RATE = 1e-4
MISTAKES: dict[str, tuple[dict[str, str], float]] = {  # what was entered as what, and in which share of cases
    "swapped": ({"positive": "neutral", "neutral": "positive"}, 1.0),
    "shrugged": ({"negative": "neutral"}, 0.8),
}
Table = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sentence:
    """A row of a snapshot."""

    id: str
    text: str
    group: str
    answer: str
    weight: float = 1.0

    @property
    def content(self) -> dict[str, Any]:
        return {"text": self.text}

    @property
    def target(self) -> dict[str, float]:
        return {self.answer: 1.0}


@dataclass(frozen=True)
class Draw:
    """A hundred labels as a snapshot, and the texts that are left."""

    train: list[Sentence]
    validation: list[Sentence]
    rest: list[Sentence]
    digest: str
    answers: tuple[str, ...] = SENTIMENT_LABELS
    target_kind: str = "nominal"
    test: list[Sentence] = field(default_factory=list)

    def rows(self, split: str) -> Iterator[Sentence]:
        return iter(getattr(self, split))

    def unlabelled(self) -> Iterator[UnlabelledItem]:
        return (UnlabelledItem(row.id, row.content, row.group) for row in self.rest)


@cache
def sides() -> tuple[list[Sentence], list[Sentence], list[Sentence]]:
    """Validation, test and the pool, each of whole documents; the first `PILOTED` rows' documents belong to the pool."""
    recorded: RecordedJudgments = read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon", seed=0)
    codes = code_sentiment(recorded.rating_matrix([row["id"] for row in recorded.rows]).mean(axis=1))
    rows = [Sentence(row["id"], row["text"], row["group"], SENTIMENT_LABELS[code]) for row, code in zip(recorded.rows, codes, strict=True)]
    documents = np.random.default_rng(0).permutation(sorted({row.group for row in rows}))
    place = {name: number for number, name in enumerate(documents.tolist())}
    rows = sorted(rows, key=lambda row: place[row.group])
    first = end_of_document(rows, PILOTED)
    middle = end_of_document(rows, first + VALIDATION)
    last = end_of_document(rows, middle + TEST)
    return rows[first:middle], rows[middle:last], [*rows[:first], *rows[last:]]


def end_of_document(rows: list[Sentence], at: int) -> int:
    """The first place from `at` on where a document ends."""
    return next(end for end in range(at, len(rows)) if rows[end].group != rows[end - 1].group)


def drawn(seed: int, mistake: str = "") -> Draw:
    """The labels of a draw, as they were entered with a mistake if one is named."""
    validation, _, pool = sides()
    order = np.random.default_rng(seed).permutation(len(pool))
    train = [pool[at] for at in order[:LABELLED]]
    if mistake:
        entered, share = MISTAKES[mistake]
        made = np.random.default_rng(seed + 1000).random(LABELLED) < share
        train = [replace(row, answer=entered.get(row.answer, row.answer)) if hit else row for row, hit in zip(train, made, strict=True)]
    return Draw(train, validation, [pool[at] for at in order[LABELLED:]], f"{seed}{mistake}".ljust(64, "0"))


def base_of(name: str) -> Path:
    """MiniLM's folder, or one with its first layers only."""
    layers, folder = BASES[name], find_base_folder("minilm")
    if layers is None:
        return folder
    cut = KEPT / f"minilm-{layers}"
    if not cut.exists():
        from transformers import AutoModel, AutoTokenizer

        staged = Path(tempfile.mkdtemp(dir=KEPT))
        with silence_transformers():
            AutoModel.from_pretrained(folder, num_hidden_layers=layers).save_pretrained(staged)
            AutoTokenizer.from_pretrained(folder).save_pretrained(staged)
        staged.rename(cut)
    return cut


@cache
def vectors(name: str) -> dict[str, Table]:
    """What a base says of each sentence, read once for all draws."""
    path, rows = KEPT / f"vectors-by-id-{base_of(name).name}.npy", sorted((row for side in sides() for row in side), key=lambda row: row.id)
    if not path.exists():
        np.save(path, embed_texts(base_of(name), [row.text for row in rows]))
    return dict(zip([row.id for row in rows], np.load(path), strict=True))


def learnt(recipe: str, draw: Draw, base: str, seed: int, folder: Path, **options: Any) -> Any:
    """A model by a recipe; a head finds the base's vectors as if it had read them before."""
    made = recipes.get(recipe)
    run = TrainingRun(folder, base_of(base), draw, seed, base, unlabelled=draw.unlabelled)  # type: ignore[arg-type]
    if options.get("adapter") == "head":
        ids = [row.id for rows in (draw.train, draw.validation, draw.rest) for row in rows]
        (folder / room.ROUNDS_FOLDER).mkdir(parents=True)
        np.savez(folder / room.ROUNDS_FOLDER / "vectors.npz", vectors=np.array([vectors(base)[id_] for id_ in ids]))
    return made(run, made.Options.parse(options, of=recipe))


def figures(model: Any, base: str = "") -> dict[str, Any]:
    """How a model does on the test rows; a head on a `base` that stayed as it is reads the vectors that are there."""
    test = sides()[1]
    if base:
        head = load_classifier(model.path).head
        weight, bias = (part.detach().double().numpy() for part in (head.weight, head.bias))
        said = softmax(np.array([vectors(base)[row.id] for row in test]) @ weight.T + bias, axis=1)
    else:
        said = class_probabilities(model.path, [row.text for row in test])
    truth = np.array([SENTIMENT_LABELS.index(row.answer) for row in test])
    return {"right": float((said.argmax(axis=1) == truth).mean()), "log_loss": float(log_loss_rows(said, truth).mean())}


def kept(name: str, compute: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before under a name, or now."""

    def measure() -> dict[str, Any]:
        print(name, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            return compute(Path(folder))

    KEPT.mkdir(parents=True, exist_ok=True)
    return dict(cached_json(KEPT / f"{name}.json", measure))


def head(base: str, seed: int, folder: Path, mistake: str = "", believed: bool = False) -> dict[str, Any]:
    """One draw by heads. Labels alone: `linear_probe`, whose head is that of a self-training that keeps no round. believed: a seed
    model isn't held against them before it teaches, so that only the rounds are."""
    draw, options = drawn(seed), {"dtype": "float32", "max_tokens": 256}
    alone = learnt("linear_probe", draw, base, seed, folder / "alone", **options)
    teacher = learnt("linear_probe", drawn(seed, mistake), base, seed, folder / "teacher", **options) if mistake else None
    more = {"adapter": "head", **({"teacher": str(teacher.path)} if teacher else {})}
    with patch.object(room.SelfTrainingRounds, "_misleads", lambda *_: False) if believed else nullcontext():
        found = _trained(learnt("self_training", draw, base, seed, folder / "self", **options, **more), base)
    return {"alone": figures(alone, base), **found, **({"seed_model": figures(teacher, base)} if teacher else {})}


def tuned(base: str, seed: int, folder: Path) -> dict[str, Any]:
    """One draw by tuning all weights."""
    draw = drawn(seed)
    options = {"learning_rate": RATE, "max_tokens": 48, "dtype": "auto"}
    alone = learnt("classify", draw, base, seed, folder / "alone", **options)
    return {"alone": figures(alone), **_trained(learnt("self_training", draw, base, seed, folder / "self", **options))}


def _trained(model: Any, base: str = "") -> dict[str, Any]:
    rounds = model.manifest["self_training"]["rounds"]
    about = [{name: each.get(name) for name in ("pseudo_labels", "confidence", "validation_change", "hurts")} for each in rounds]
    told = {name: model.manifest["self_training"].get(name) for name in ("kept", "teacher")}
    return {"self": figures(model, base), **told, "rounds": about}


def compared(found: list[dict[str, Any]], one: str, other: str) -> dict[str, Estimate]:
    """Differences over draws in points of accuracy and in nats of log loss."""
    each = {name: np.array([draw[one][name] - draw[other][name] for draw in found]) for name in ("right", "log_loss")}
    return {"accuracy, points": estimate_mean(100 * each["right"]), "log_loss": estimate_mean(each["log_loss"])}


def beside(found: list[dict[str, Any]], about: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: both arms' means over draws and their difference."""
    means = {
        f"{name}_{arm}": round(float(np.mean([draw[arm][key] for draw in found])), 4)
        for name, key in (("accuracy", "right"), ("log_loss", "log_loss"))
        for arm in ("alone", "self")
    }
    differences = {name: value.to_dict() for name, value in compared(found, "self", "alone").items()} if len(found) > 1 else {}
    return {**about, "draws": len(found), **means, **differences, "no_round_kept": sum(draw["kept"] is None for draw in found)}


def stopped(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of a broken seed model."""
    held = [draw["teacher"]["loss"]["value"] for draw in found if draw["teacher"]]
    first = [draw["rounds"][0] for draw in found if draw["rounds"]]
    taught = [each for each in first if each["validation_change"]]
    return {
        "draws": len(found),
        "accuracy_of_the_seed_model": round(float(np.mean([draw["seed_model"]["right"] for draw in found])), 4),
        **{name: value for name, value in beside(found, {}).items() if name.startswith("accuracy_")},
        "seed_model_over_labels_alone_on_validation, nats": estimate_mean(held).to_dict() if len(held) > 1 else None,
        "refused_as_a_teacher": len(found) - len(first),
        "sure_of_no_text": len(first) - len(taught),
        "stopped_at_round_1": sum(bool(each["hurts"]) for each in taught),
        "no_round_kept": sum(draw["kept"] is None for draw in found),
    }


def run(parts: list[str]) -> dict[str, Any]:
    """The parts that were asked for are measured; of the others what is there is told."""
    KEPT.mkdir(parents=True, exist_ok=True)
    four = "minilm, first 4 layers"
    if "head" in parts:
        for seed, base in product(MORE, reversed(BASES)):
            kept(f"head-{base_of(base).name}-{seed}", partial(head, base, seed))
    if "broken" in parts:
        for seed, (mistake, believed) in product(MISTAKEN, BROKEN):
            kept(f"{_broken(mistake, believed)}-{seed}", partial(head, four, seed, mistake=mistake, believed=believed))
    if "tuned" in parts:
        for seed in DRAWS:
            kept(f"tuned-{seed}", partial(tuned, four, seed))
    about = [("head", base, f"head-{base_of(base).name}") for base in BASES] + [("tuned", four, "tuned")]
    heads = [measured(f"head-{base_of(base).name}") for base in BASES]
    return {
        "self_training": [beside(found, {"learnt": way, "base": base}) for way, base, name in about if (found := measured(name))],
        "ten_draws": [
            beside(found[: len(DRAWS)], {"learnt": "head", "base": base}) for base, found in zip(BASES, heads, strict=True) if found
        ],
        "broken_seed_model": [
            {"mistake": name, "held_against_labels_alone_first": not believed, **stopped(found)}
            for name, believed in BROKEN
            if (found := measured(_broken(name, believed)))
        ],
        "labels": LABELLED,
        "texts": len(sides()[2]) - LABELLED,
        "validation_rows": len(sides()[0]),
        "test_rows": len(sides()[1]),
    }


def _broken(mistake: str, believed: bool) -> str:
    return f"{mistake}-believed" if believed else mistake


def measured(name: str) -> list[dict[str, Any]]:
    """What is there of a part, draw by draw."""
    return [kept(f"{name}-{seed}", lambda _: {}) for seed in MORE if (KEPT / f"{name}-{seed}.json").exists()]


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1:]), indent=2))
