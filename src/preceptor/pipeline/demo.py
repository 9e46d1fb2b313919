"""Replay the whole pipeline on recorded human judgments and compare it with baselines.

The demo runs the loop of a live project with recorded annotators in place of people. The tuned model is compared with hard labels, with
fewer rows, and with a larger model that was only prompted. What adaptive redundancy saved is measured against all recorded judgments; only
there are judgments used that weren't bought.

The data are the sets of Hutto and Gilbert (2014), "VADER: A parsimonious rule-based model for sentiment analysis of social media text":
texts with 14 to 99 anonymous ratings each, from −4 (very negative) to 4 (very positive).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from preceptor import __version__
from preceptor.config import CONFIG_FILE
from preceptor.consensus import Judgments, aggregate
from preceptor.errors import UserError
from preceptor.evaluation import classification_estimates, paired_classification_estimates
from preceptor.models.base_models import VADER_ASSET, fetch_asset, find_base_folder
from preceptor.project import Project
from preceptor.questions import kinds
from preceptor.registry import suggest_name
from preceptor.reporting.report import Report
from preceptor.runs import evaluation, training
from preceptor.statistics import estimate_mean
from preceptor.storage import judgment_log, questions
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingProgress
from preceptor.types import Consensus, Estimate, FloatArray, IntArray, Model, Question

_PROMPTED_BASE = "smollm2"
_DEMONSTRATIONS_PER_ANSWER = 3  # examples of each answer in the few-shot prompt
_DemoListener = Callable[[TrainingProgress], None]


def _compare_with_baselines(
    project: Project,
    snapshot: Snapshot,
    tuned: Model,
    hard: Model,
    curve: Sequence[tuple[int, Model]],
    truth: Mapping[str, Any],
    tell: _DemoListener,
) -> dict[str, Any]:
    """Build the report's sections `models` (all but the tuned one), `comparison` and `learning_curve`, on the test rows."""
    rows = evaluation.load_split(snapshot, "test")
    held = _TestRows(snapshot, rows, evaluation.true_answer_codes(project, snapshot, rows, truth))
    ours, theirs = held.predict(tuned), held.predict(hard)
    zero, few = (_predict_by_prompt(snapshot, rows, shots, tell) for shots in (0, _DEMONSTRATIONS_PER_ANSWER))
    named = {"tuned_hard_labels": theirs, "zero_shot": zero, "few_shot": few}
    sizes = {"tuned_hard_labels": hard.manifest["parameters"]}
    against = {name: paired_classification_estimates(ours, other, held.truth, held.groups) for name, other in named.items()}
    return {
        "models": {
            name: held.measure(found) | {"parameters": sizes.get(name, _count_prompted_parameters())} for name, found in named.items()
        },
        "comparison": {
            "tuned_minus_zero_shot": against["zero_shot"]["accuracy"],
            "tuned_minus_few_shot": against["few_shot"]["accuracy"],
            "soft_minus_hard_accuracy": against["tuned_hard_labels"]["accuracy"],
            "soft_minus_hard_log_loss": against["tuned_hard_labels"]["log_loss"],
        },
        "learning_curve": [{"rows": size, **held.curve_point(held.predict(model))} for size, model in curve],
    }


def _predict_by_prompt(snapshot: Snapshot, rows: Sequence[SnapshotRow], shots: int, tell: _DemoListener) -> FloatArray:
    """Predict the answers' probabilities with the larger model, prompted with the question and `shots` training examples of each answer."""
    from preceptor.generation import LocalProvider, classify_by_prompt

    stage = f"{_PROMPTED_BASE}, {'few' if shots else 'zero'}-shot"
    tell(TrainingProgress(stage, 0, 1))
    return classify_by_prompt(
        LocalProvider(find_base_folder(_PROMPTED_BASE)),
        question=snapshot.question,
        texts=[row.text for row in rows],
        train=list(snapshot.rows("train")),
        shots=shots,
    )


def _count_prompted_parameters() -> int:
    """Return the number of parameters of the larger model."""
    from preceptor.models import count_parameters

    return count_parameters(find_base_folder(_PROMPTED_BASE))


@dataclass(frozen=True)
class _TestRows:
    """Held-out rows with their true answers."""

    snapshot: Snapshot
    rows: Sequence[SnapshotRow]
    truth: IntArray

    @property
    def groups(self) -> np.ndarray[Any, Any]:
        return np.array([row.group for row in self.rows])

    def predict(self, model: Model) -> FloatArray:
        from preceptor.models import class_probabilities

        return class_probabilities(model.path, [row.text for row in self.rows])

    def measure(self, probabilities: FloatArray) -> dict[str, Any]:
        return evaluation.classifier_figures(self.snapshot, self.rows, self.truth, probabilities)

    def curve_point(self, probabilities: FloatArray) -> dict[str, Any]:
        found = classification_estimates(probabilities, self.truth, self.groups, answers=self.snapshot.answers)
        return {name: found[name] for name in ("accuracy", "log_loss")}


RATERS_PER_TEXT = 20
VADER_FILES = {
    "amazon": "amazonReviewSnippets",
    "movies": "movieReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}
SENTIMENT_SCALE = tuple(range(-4, 5))
SENTIMENT_CUTS, SENTIMENT_LABELS = (-0.5, 0.5), ("negative", "neutral", "positive")


@dataclass(frozen=True)
class RecordedJudgments:
    """Texts and, for each, the answers of `RATERS_PER_TEXT` people in a seeded random order.

    rows: dicts for Project.add_items (id, text, group). answers: item id -> int ratings, shape (RATERS_PER_TEXT,). excluded_count: texts
    with fewer ratings.
    """

    name: str
    rows: list[dict[str, Any]]
    answers: dict[str, np.ndarray[Any, np.dtype[np.int64]]]
    excluded_count: int

    def get_answer(self, item: str, ordinal: int) -> int:
        """Return the answer of the `ordinal`-th person (from 0) who is asked about an item."""
        return int(self.answers[item][ordinal])

    def rating_matrix(self, items: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the ratings of these items, shape (items, RATERS_PER_TEXT)."""
        return np.array([self.answers[item] for item in items], dtype=np.float64)

    def true_answers(self) -> dict[str, str]:
        """Return the answer of all `RATERS_PER_TEXT` people about each item, which only evaluation may use."""
        items = list(self.answers)
        return dict(zip(items, (SENTIMENT_LABELS[code] for code in code_sentiment(self.rating_matrix(items).mean(axis=1))), strict=True))


def read_recorded_judgments(folder: Path, name: str, *, seed: int = 0) -> RecordedJudgments:
    """Read one of the recorded sets from the folder of its files; of more than `RATERS_PER_TEXT` ratings, that many are sampled by seed.

    Raises UserError where the set isn't known.
    """
    if name not in VADER_FILES:
        raise UserError(f"no recorded data is called {name!r}", f"known: {', '.join(VADER_FILES)}")
    texts = dict(_read_columns(folder / f"{VADER_FILES[name]}_GroundTruth.txt", 0, 2))
    ratings = _read_columns(folder / f"{VADER_FILES[name]}_anonDataRatings.txt", 0, 3)
    enough = {item: given for item, cell in ratings if len(given := json.loads(cell)) >= RATERS_PER_TEXT}
    draw = np.random.default_rng(seed)
    answers = {item: draw.permutation(np.array(given, dtype=np.int64))[:RATERS_PER_TEXT] for item, given in enough.items()}
    rows = [{"id": item, "text": texts[item], "group": _item_group(item)} for item in answers]
    return RecordedJudgments(name, rows, answers, len(ratings) - len(rows))


def code_sentiment(means: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the index into `SENTIMENT_LABELS` of each mean rating: beyond the cuts, or between them (on a cut is between)."""
    low, high = SENTIMENT_CUTS
    hair = 1e-9  # tolerance: the sum of a few whole numbers is exact, its division is not
    return (means > low - hair).astype(np.int64) + (means > high + hair)


def _item_group(item: str) -> str:
    """Return the document of an item: ids like 12_3 name document 12; an id without a document is its own group."""
    return item.rpartition("_")[0] or item


def _read_columns(path: Path, *wanted: int) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    cells = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    first, second = wanted
    return [(row[first].strip(), row[second]) for row in cells]


_FIXED_COUNTS = (2, 3, 4, 5, 6, 8, 10, 14, RATERS_PER_TEXT)


def measure_replay(project: Project, question: str, recorded: RecordedJudgments) -> dict[str, Any]:
    """Build the report's sections on judgments and consensus, each figure with its interval clustered by group."""
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        what, _, _, _ = judgment_log.judgment_columns(connection, key)
    replay = _RedundancyReplay(asked, recorded)
    bought = replay.count_judgments(what)
    fitted = project.consensus(question)
    adaptive = replay.consensus_codes(fitted)
    available = bought.size * RATERS_PER_TEXT
    return {
        "judgments": {
            "available": available,
            "used": int(bought.sum()),
            "fraction": float(bought.sum() / available),
            "fraction_estimate": replay.clustered_mean(bought / RATERS_PER_TEXT),
            "per_item_histogram": sorted(Counter(bought.tolist()).items()),
        },
        "consensus": {
            "accuracy": replay.clustered_mean(adaptive == replay.truth),
            "unbought_accuracy": replay.unbought_agreement(adaptive, bought),
            "fixed_same_cost_accuracy": replay.clustered_mean(replay.aggregate_first(replay.fixed_counts(bought.sum())) == replay.truth),
            "curve": [replay.curve_point(np.minimum(bought, most)) for most in range(int(bought.min()), int(bought.max()) + 1)],
            "fixed_curve": [replay.curve_point(np.full(bought.size, each)) for each in _FIXED_COUNTS],
            "certainty": {"claimed": float(fitted.certainty.mean()), "realised": replay.clustered_mean(adaptive == replay.truth)},
        },
    }


class _RedundancyReplay:
    """The recorded ratings as a matrix, and what would have been concluded from any part of them."""

    def __init__(self, question: Question, recorded: RecordedJudgments) -> None:
        self.question = question
        self.items = sorted(recorded.answers)
        self.ratings = recorded.rating_matrix(self.items)
        group = {row["id"]: row["group"] for row in recorded.rows}
        self.groups = np.array([group[item] for item in self.items])
        self.truth = code_sentiment(self.ratings.mean(axis=1))

    def count_judgments(self, items: Sequence[str]) -> IntArray:
        """Count the judgments bought of each item."""
        bought = Counter(items)
        return np.array([bought[item] for item in self.items], dtype=np.int64)

    def clustered_mean(self, values: Any) -> Estimate:
        """Estimate a mean over items, clustered by group."""
        return estimate_mean(np.asarray(values, dtype=np.float64), clusters=self.groups)

    def consensus_codes(self, fitted: Consensus) -> IntArray:
        """Return the class codes of a consensus in the order of the replay's items."""
        place = {item: index for index, item in enumerate(fitted.items)}
        order = [place[item] for item in self.items]
        return np.asarray(fitted.posterior.argmax(axis=1)[order], dtype=np.int64)

    def aggregate_first(self, bought: IntArray) -> IntArray:
        """Aggregate the first `bought` ratings of each item with the question's own aggregator, to class codes."""
        row = np.repeat(np.arange(bought.size), bought)
        column = np.concatenate([np.arange(count) for count in bought])
        judgments = Judgments.from_columns(
            item=row, annotator=column, answer=self.ratings[row, column].astype(int), answers=self.question.options
        )
        kind = kinds.get(self.question.kind)
        fitted = aggregate(judgments, kind.aggregator, **kind.aggregator_options(self.question))
        return np.asarray(fitted.posterior.argmax(axis=1), dtype=np.int64)

    def fixed_counts(self, total: int) -> IntArray:
        """Spread as many judgments evenly over the items (one more for the first few of a shuffled order)."""
        each, more = divmod(int(total), self.truth.size)
        order = np.random.default_rng(0).permutation(self.truth.size)
        counts = np.full(self.truth.size, each)
        counts[order[:more]] += 1
        return counts

    def curve_point(self, bought: IntArray) -> dict[str, Any]:
        """Return one point of a curve: the share of the judgments, and the agreement with all of them."""
        agrees = self.clustered_mean(self.aggregate_first(bought) == self.truth)
        return {"fraction": float(bought.mean() / RATERS_PER_TEXT), "accuracy": agrees.value, "low": agrees.low, "high": agrees.high}

    def unbought_agreement(self, codes: IntArray, bought: IntArray) -> Estimate:
        """Estimate the agreement with the people who were never asked about the item."""
        left = bought < RATERS_PER_TEXT
        rest = np.arange(RATERS_PER_TEXT) >= bought[:, None]
        means = np.where(rest, self.ratings, 0).sum(axis=1)[left] / rest.sum(axis=1)[left]
        return estimate_mean((codes[left] == code_sentiment(means)).astype(np.float64), clusters=self.groups[left])


DEMO_STAGES = ("guidance", "snapshot", "training", "evaluation")
DEMO_QUESTION = "sentiment"
_DEMO_INSTRUCTIONS = "How positive or negative is the sentence? Rate it from -4 (very negative) to 4 (very positive)."
_CURVE_SHARES = (0.04, 0.1, 0.25, 0.5)  # shares of the training rows; the main run has all of them
_DEMO_EPOCHS = 2.5
DEMO_SETTINGS: dict[str, Any] = {
    "redundancy": {"confidence_threshold": 0.98, "min_judgments": 2, "max_judgments": RATERS_PER_TEXT, "audit_share": 0.0},
    "gate": {"bounds": ["accuracy.low >= 0.72"]},
}


@dataclass
class DemoRun:
    """The stages of one demo, in a folder where an interrupted one continues.

    listener: called with each step of progress. finished_stages: those that are done, by name.
    """

    folder: Path
    data: str = "amazon"
    seed: int = 0
    listener: Callable[[TrainingProgress], None] = lambda progress: None
    finished_stages: list[str] = field(default_factory=list)

    def run(self, stop_after: str | None = None) -> Report:
        """Run all stages, or those up to `stop_after`, and write report.html and report.json into the folder.

        Raises UserError where no stage has that name.
        """
        if stop_after is not None and stop_after not in DEMO_STAGES:
            raise UserError(
                f"no stage is called {stop_after!r}{suggest_name(stop_after, DEMO_STAGES)}", f"stages: {', '.join(DEMO_STAGES)}"
            )
        started = time.monotonic()
        document: dict[str, Any] = {}
        stages = (self._collect_judgments, self._create_snapshot, self._train_models, self._evaluate_models)
        for name, stage in zip(DEMO_STAGES, stages, strict=True):
            document |= stage(document)
            self.finished_stages.append(name)
            if name == stop_after:
                break
        document |= {"stages": self.finished_stages, "seconds": round(time.monotonic() - started, 1), "seed": self.seed}
        report = Report.from_document(document)
        report.save_json(self.folder / "report.json")
        report.save_html(self.folder / "report.html")
        return report

    def _collect_judgments(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the recorded annotators through the calls that live annotators use, until every answer is certain."""
        self.listener(TrainingProgress("fetching the recorded judgments", 0, 1))
        self.recorded = read_recorded_judgments(fetch_asset(VADER_ASSET), self.data, seed=self.seed)
        self.project = self._open_project()
        self.project.add_items(self.recorded.rows)
        settings = {"cuts": SENTIMENT_CUTS, "labels": SENTIMENT_LABELS, "panel": RATERS_PER_TEXT}
        self.project.add_question(DEMO_QUESTION, "rating", SENTIMENT_SCALE, _DEMO_INSTRUCTIONS, **settings)
        replay_annotators(self.project, self.recorded, self.listener)
        self.listener(TrainingProgress("comparing with all recorded judgments", 0, 1))
        return {
            "title": f"Demo: sentiment of {self.data}",
            "preceptor": __version__,
            "question": {"name": DEMO_QUESTION, "kind": "rating", "instructions": _DEMO_INSTRUCTIONS, "answers": list(SENTIMENT_LABELS)},
            "data": self._data_section(),
            **measure_replay(self.project, DEMO_QUESTION, self.recorded),
        }

    def _create_snapshot(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self.listener(TrainingProgress("taking a snapshot", 0, 1))
        self.snapshot = self.project.snapshot(DEMO_QUESTION, name="demo")
        return {"snapshot": self.snapshot.digest, "snapshot_summary": self.snapshot.summary()}

    def _train_models(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Train the main run, then with hard labels and with fewer rows, at the learning rate that it chose."""
        self.tuned = self._train_classifier("training")
        rate = self.tuned.manifest["learning_rate"]
        self.hard = self._train_classifier("training on hard labels", targets="hard", learning_rate=rate)
        total = sum(1 for _ in self.snapshot.rows("train"))
        sizes = [max(round(share * total), 40) for share in _CURVE_SHARES]
        self.curve = [(size, self._train_classifier(f"training on {size} rows", max_train_rows=size, learning_rate=rate)) for size in sizes]
        self.curve.append((total, self.tuned))
        return {"training": evaluation.build_training_section(self.tuned)}

    def _evaluate_models(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate on the test documents, used once: the tuned model, its variants and the larger un-tuned one."""
        self.listener(TrainingProgress("evaluating", 0, 1))
        truth = self.recorded.true_answers()
        measured = evaluation.measure_model(self.project, self.tuned, self.snapshot, truth=truth, split="test")
        sections = _compare_with_baselines(self.project, self.snapshot, self.tuned, self.hard, self.curve, truth, self.listener)
        models = {**measured["models"], **sections.pop("models")}
        sections["comparison"] = {**measured["comparison"], **sections["comparison"]}
        whole = {**document, **measured, "title": document["title"], "data": document["data"], "models": models, **sections}
        return dict(evaluation.store_report(self.project, self.tuned, self.snapshot, whole, "test").document)

    def _train_classifier(self, stage: str, **options: Any) -> Model:
        return self.project.train(
            "classify", snapshot=self.snapshot, base="minilm", seed=self.seed, epochs=_DEMO_EPOCHS, progress=self._relay(stage), **options
        )

    def _relay(self, stage: str) -> training.TrainingListener:
        return lambda progress: self.listener(
            TrainingProgress(f"{stage}: {progress.stage}", progress.done, progress.total, progress.fields)
        )

    def _data_section(self) -> dict[str, Any]:
        left_out = self.recorded.excluded_count
        reason = f"{left_out} texts have fewer than {RATERS_PER_TEXT} ratings"
        return {
            "source": (
                f"{self.data}, from vaderSentiment 3.3.2 on PyPI (Hutto and Gilbert 2014): {RATERS_PER_TEXT} people each rated from -4 to 4"
            ),
            "items": len(self.recorded.rows),
            "groups": len({row["group"] for row in self.recorded.rows}),
            "skipped": [{"count": left_out, "reason": reason}] if left_out else [],
        }

    def _open_project(self) -> Project:
        if not (self.folder / CONFIG_FILE).exists():
            return Project.create(self.folder, name=f"demo-{self.data}-{self.seed}", **DEMO_SETTINGS)
        project = Project.open(self.folder)
        if project.config.name != f"demo-{self.data}-{self.seed}":
            raise UserError(f"{self.folder} holds another project ({project.config.name})", "choose another folder: --out DIR")
        return project


def replay_annotators(project: Project, recorded: RecordedJudgments, tell: Callable[[TrainingProgress], None]) -> None:
    """Let the recorded annotators answer, each in turn, until none of them is asked anything more.

    The ratings are anonymous: the k-th person who is asked about an item gives the k-th of its shuffled ratings. What was answered
    therefore depends on how often each item was asked about, and not on when the demo was interrupted.
    """
    answered = sum(part["judgment_count"] for part in project.status()["questions"])
    most, idle = len(recorded.rows) * RATERS_PER_TEXT, 0
    for seat in cycle(range(RATERS_PER_TEXT)):
        person = f"person-{seat + 1:02}"
        project.add_annotator(person)
        slot = project.next(person, DEMO_QUESTION)
        if slot is None:
            idle += 1
            if idle == RATERS_PER_TEXT:
                return
            continue
        idle = 0
        answer = recorded.get_answer(slot.item, slot.judgment_count)
        project.submit(slot.slot, person, answer, key=f"{slot.item}/{slot.judgment_count}")
        answered += 1
        if answered % 50 == 0:
            tell(TrainingProgress("asking people", answered, most))
