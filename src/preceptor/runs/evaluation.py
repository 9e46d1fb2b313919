"""Evaluate a model on held-out rows of its snapshot and store the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor import __version__, model_ancestry
from preceptor.errors import UserError
from preceptor.evaluation import (
    ReleaseBound,
    classification_estimates,
    confusion_matrix,
    label_estimates,
    label_reliability,
    reliability_points,
)
from preceptor.release import gate, lineage, report_inputs
from preceptor.reporting.report import Report
from preceptor.runs import expert_audit, generation_evaluation, parity_check, prediction, preference_evaluation, suite_runner
from preceptor.runs.evaluation_sections import ScoredRows, build_row_sections, measure_classifier, measure_forgetting
from preceptor.runs.general_eval_data import load_general_data
from preceptor.runs.suite_answers import read_recorded_answers
from preceptor.statistics import compare_paired
from preceptor.storage import artifacts, events, gold, judgment_log, questions
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import FloatArray, IntArray, Model

if TYPE_CHECKING:
    from preceptor.project import Project


_MAX_LABEL_EXAMPLES = 12


def _true_label_sets(project: Project, snapshot: Snapshot, rows: Sequence[SnapshotRow], given: Mapping[str, Any] | None) -> FloatArray:
    """Return the true labels of each row, 0 or 1, (rows, labels): as given, else gold, else those with a probability above one half."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.list_answers(connection, key), **(given or {})}
    place = {label: column for column, label in enumerate(snapshot.answers)}
    truth = np.zeros((len(rows), len(place)))
    for at, row in enumerate(rows):
        for label in _as_label_list(known.get(row.id, row.labels)):
            if label not in place:
                raise UserError(f"the true label {label!r} of item {row.id!r} is not one of the snapshot", f"labels: {', '.join(place)}")
            truth[at, place[label]] = 1
    return truth


def _label_figures(snapshot: Snapshot, rows: Sequence[SnapshotRow], truth: FloatArray, probabilities: FloatArray) -> dict[str, Any]:
    """Return the estimates with their intervals, and the reliability curve of all label decisions."""
    found = label_estimates(probabilities, truth, [row.group for row in rows], labels=snapshot.answers)
    return {**found, "reliability": label_reliability(probabilities, truth)}


def _label_examples(snapshot: Snapshot, rows: Sequence[SnapshotRow], truth: FloatArray, probabilities: FloatArray) -> list[dict[str, Any]]:
    """Return the rows whose predicted labels differ from the true ones, the least probable truth first, with people's probabilities."""
    said = probabilities > 0.5
    wrong = np.flatnonzero((said != truth.astype(bool)).any(axis=1))
    likely = np.where(truth[wrong] > 0, probabilities[wrong], 1 - probabilities[wrong]).prod(axis=1)
    return [
        {
            "id": rows[row].id,
            "text": rows[row].text,
            "people": {label: rows[row].target.get(label, 0.0) for label in snapshot.answers},
            "model": dict(zip(snapshot.answers, probabilities[row].round(4).tolist(), strict=True)),
            "judgments": len(rows[row].lineage),
            "truth": _format_labels(snapshot.answers, truth[row]),
            "said": _format_labels(snapshot.answers, said[row]),
        }
        for row in wrong[np.argsort(likely, kind="stable")][:_MAX_LABEL_EXAMPLES].tolist()
    ]


def _as_label_list(answer: Any) -> list[str]:
    return [answer] if isinstance(answer, str) else [str(label) for label in answer]


def _format_labels(labels: Sequence[str], applies: Any) -> str:
    return ", ".join(label for label, yes in zip(labels, applies, strict=True) if yes) or "none of the labels"


_MAX_EXAMPLES = 12


def evaluate_model(
    project: Project,
    model: Model,
    *,
    truth: Mapping[str, Any] | None,
    split: str,
    base: str | Path | None,
    suites: Sequence[str] = (),
    suite_options: suite_runner.SuiteOptions | None = None,
) -> Report:
    """Evaluate a model on one split, with suites, and store the report; a report on the test split counts as an opening of it."""
    suite_runner.find_suites(project, suites)  # before anything slow
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    document = measure_model(project, model, snapshot, truth=truth, split=split, base=base)
    if suites:
        rows = load_split(snapshot, split)
        document["suites"] = suite_runner.run_suites(project, model, suites, suite_options or suite_runner.SuiteOptions(), rows=rows)
    return store_report(project, model, snapshot, document, split)


def evaluate_recorded_answers(project: Project, file: str, suites: Sequence[str], suite_options: suite_runner.SuiteOptions) -> Report:
    """Evaluate the recorded answers in a file with suites, and store a report by which the gate checks the file as it is now."""
    if not suites:
        raise UserError("a file of answers is measured by suites", "name one: --suite faithfulness")
    found = suite_runner.run_suites(project, file, suites, suite_options)
    name = Path(file).stem
    subject, asked = gate.recorded_answers_name(file), [each.prompt for each in read_recorded_answers(file).prompts]
    document: dict[str, Any] = {
        "title": f"{project.config.name}: answers of {name}", "preceptor": __version__, "subject": name, "suites": found,
    }  # fmt: skip
    document["inputs"] = report_inputs.digest_measured_sources(project, None, document)
    document["openings"] = report_inputs.record_openings(project, subject, None, document, prompts=asked)
    decision = gate.decide_on_report(project, Report.from_document(document), None)
    report = Report.from_document({**document, "release": decision.to_dict()})
    digest = project.objects.put(report.to_json().encode())
    with project.database.writing() as connection:
        artifacts.add_report(connection, digest=digest, model=subject, snapshot="", split=gate.RECORDED_SPLIT)
        events.record_event(connection, "answers evaluated", {"answers": subject, "report": digest})
    return report


def measure_model(
    project: Project,
    model: Model,
    snapshot: Snapshot,
    *,
    truth: Mapping[str, Any] | None,
    split: str,
    base: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a model on one split and return the document of its report, which `store_report` stores.

    Raises UserError where parity fails, or where `base` is given for a model that can't be compared with its base.
    """
    rows = load_split(snapshot, split)
    if preference_evaluation.is_reward_model(model):
        measured = preference_evaluation.measure_reward_model(project, model, snapshot, rows, truth=truth, base=base)
    elif preference_evaluation.is_binary_feedback_model(model):
        measured = preference_evaluation.measure_binary_feedback_model(project, model, snapshot, rows, base=base)
    elif preference_evaluation.is_preference_model(model, snapshot):
        measured = preference_evaluation.measure_preference_model(project, model, snapshot, rows, truth=truth, base=base)
    elif prediction.is_generative(model):
        measured = generation_evaluation.measure_generative_model(project, model, snapshot, rows, truth=truth, base=base)
    elif base is not None and not prediction.is_few_shot(model) and load_general_data(project) is None:
        hint = "leave --base out, or name [forgetting] texts"
        raise UserError(f"{model.id} chooses among answers, which its base can't: there is nothing to compare", hint)
    else:
        measured = _measure_classifier(project, model, snapshot, rows, truth, base)
    return build_report_header(project, snapshot) | {
        "seed": model.manifest["seed"],
        "training": build_training_section(model),
        **measured,
        "cost": measure_cost(project, model),
        "lineage": _lineage_section(project, model),
        "split": {
            "name": split,
            "seen_before": model_ancestry.count_rows_seen_by_ancestors(project, model, rows),
        },
    }


def _measure_classifier(
    project: Project,
    model: Model,
    snapshot: Snapshot,
    rows: Sequence[SnapshotRow],
    truth: Mapping[str, Any] | None,
    base: str | Path | None,
) -> dict[str, Any]:
    """Return the report sections of a classifier. Raises UserError where parity fails."""
    proved = parity_check.require_parity(project, model, base)
    probabilities = prediction.predict_probabilities(project, model, [row.text for row in rows], base=base)
    if snapshot.target_kind == "multilabel":
        sets = _true_label_sets(project, snapshot, rows, truth)
        measured = _label_figures(snapshot, rows, sets, probabilities)
        shown = _label_examples(snapshot, rows, sets, probabilities)
        truths, right = sets.astype(int).tolist(), ((probabilities > 0.5) == sets.astype(bool)).all(axis=1)
        learnt = _true_label_sets(project, snapshot, list(snapshot.rows("train")), None)
        constant = (sets == (learnt.mean(axis=0) > 0.5)).all(axis=1)
    else:
        known = true_answer_codes(project, snapshot, rows, truth)
        measured, shown = (
            classifier_figures(snapshot, rows, known, probabilities),
            classifier_examples(snapshot, rows, known, probabilities),
        )
        truths, right = [snapshot.answers[code] for code in known], probabilities.argmax(axis=1) == known
        constant = known == _most_frequent_answer(snapshot)
        decided = None if truth is not None else expert_audit.measure_against_experts(project, snapshot, rows, probabilities, rows[0].split)
        if decided is not None:
            measured |= {"accuracy": decided[0], "accuracy_by_consensus": measured["accuracy"], "experts": decided[1]}
    left = (
        {}
        if prediction.is_few_shot(model)
        else measure_forgetting(project, model, model_ancestry.find_recorded_base(project, model, base), measure_classifier)
    )
    about_model = {"parameters": model.manifest["parameters"]} | ({"retention": left["kept"]} if "kept" in left else {})
    return {
        "parity": proved,
        "models": {"tuned": measured | about_model},
        "comparison": {
            "tuned_minus_commonest": compare_paired(right.astype(float), constant.astype(float), clusters=[row.group for row in rows])
        },
        "examples": shown,
        **({"forgetting": left} if left else {}),
        **build_row_sections(
            project, model, snapshot, ScoredRows(rows, truths, {"accuracy": right.astype(float)}, is_truth_given=truth is not None)
        ),
    }


def _most_frequent_answer(snapshot: Snapshot) -> int:
    """Return the code of the most frequent answer of the training rows, by their targets: the majority baseline."""
    totals = Counter(dict.fromkeys(snapshot.answers, 0.0))
    for row in snapshot.rows("train"):
        totals.update(row.target)
    return max(range(len(snapshot.answers)), key=lambda code: totals[snapshot.answers[code]])


def store_report(project: Project, model: Model, snapshot: Snapshot, document: Mapping[str, Any], split: str) -> Report:
    """Store a report of a document, with its inputs and the gate's decision, and record it."""
    own = _model_bounds(project, model)
    if own and "bounds" not in document:
        document = {**document, "bounds": own["bounds"], "comparison": {**(document.get("comparison") or {}), **own["comparison"]}}
    document = {**document, "inputs": report_inputs.digest_measured_sources(project, snapshot, document)}
    if split == "test":
        document["openings"] = report_inputs.record_openings(project, model.id, snapshot, document)
    release = gate.release_section(project, model, Report.from_document(document))
    report = Report.from_document({**document, "release": release})
    digest = project.objects.put(report.to_json().encode())
    with project.database.writing() as connection:
        artifacts.add_report(connection, digest=digest, model=model.id, snapshot=snapshot.digest, split=split)
        events.record_event(connection, "model evaluated", {"model": model.id, "report": digest, "split": split})
    return report


def _model_bounds(project: Project, model: Model) -> dict[str, Any]:
    """Return the bounds of the model itself, as a successor has, with the comparisons that they refer to, from its latest report."""
    with project.database.reading() as connection:
        digest = artifacts.latest_report(connection, model.id, "test")
    if digest is None:
        return {}
    before = gate.load_report(project, digest).document
    if not (bounds := before.get("bounds")):
        return {}
    about = {ReleaseBound.parse(text).figure for text in bounds}
    return {"bounds": bounds, "comparison": {name: found for name, found in before["comparison"].items() if name in about}}


def load_split(snapshot: Snapshot, split: str) -> list[SnapshotRow]:
    """Load the rows of a split. Raises UserError where there are none."""
    rows = list(snapshot.rows(split))
    if not rows:
        raise UserError(f"the {split} split of snapshot {snapshot.digest[:12]} is empty", "judge more items, or choose another split")
    return rows


def true_answer_codes(project: Project, snapshot: Snapshot, rows: Sequence[SnapshotRow], given: Mapping[str, Any] | None) -> IntArray:
    """Return the code of each row's true answer: as given, else gold, else the consensus's top answer."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.list_answers(connection, key), **(given or {})}
    place = {answer: code for code, answer in enumerate(snapshot.answers)}
    answers = [str(known.get(row.id, row.answer)) for row in rows]
    for row, answer in zip(rows, answers, strict=True):
        if answer not in place:
            raise UserError(
                f"the true answer {answer!r} of item {row.id!r} is not an answer of the snapshot", f"answers: {', '.join(place)}"
            )
    return np.array([place[answer] for answer in answers], dtype=np.int64)


def classifier_figures(snapshot: Snapshot, rows: Sequence[SnapshotRow], truth: IntArray, probabilities: FloatArray) -> dict[str, Any]:
    """Return estimates with their intervals, the confusion matrix and the reliability curve of a classifier's probabilities."""
    groups = np.array([row.group for row in rows])
    ordered = snapshot.target_kind == "ordinal"
    estimates = classification_estimates(probabilities, truth, groups, answers=snapshot.answers, ordered=ordered)
    return {
        **estimates,
        "confusion": confusion_matrix(probabilities, truth, snapshot.answers),
        "reliability": reliability_points(probabilities, truth),
    }


def classifier_examples(
    snapshot: Snapshot, rows: Sequence[SnapshotRow], truth: IntArray, probabilities: FloatArray
) -> list[dict[str, Any]]:
    """Return the rows that the model gets wrong, the most confident errors first, with people's probabilities."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)
    worst = sorted(wrong.tolist(), key=lambda row: -float(probabilities[row].max()))[:_MAX_EXAMPLES]
    return [
        {
            "id": rows[row].id,
            "text": rows[row].text,
            "people": {answer: rows[row].target.get(answer, 0.0) for answer in snapshot.answers},
            "model": dict(zip(snapshot.answers, probabilities[row].round(4).tolist(), strict=True)),
            "judgments": len(rows[row].lineage),
            "truth": snapshot.answers[truth[row]],
        }
        for row in worst
    ]


def build_report_header(project: Project, snapshot: Snapshot) -> dict[str, Any]:
    """Build the common head of a report: the question, the data, and the split."""
    rows = list(snapshot.rows())
    return {
        "title": f"{project.config.name}: {snapshot.question['name']}",
        "preceptor": __version__,
        "question": dict(snapshot.question),
        "data": {"items": len(rows), "groups": len({row.group for row in rows})},
        "snapshot": snapshot.digest,
        "snapshot_summary": snapshot.summary(),
    }


def build_training_section(model: Model) -> dict[str, Any]:
    """Build the section about a model's training, from its manifest."""
    names = (
        "recipe",
        "base",
        "dtype",
        "learning_rate",
        "best_step",
        "summary",
        "seconds",
        "texts_per_second",
        "peak_memory_bytes",
        "history",
    )
    more = ("rows", "left_out", "rendered", "retention", "reward", "looks", "stopped", "samples")
    some = {name: model.manifest[name] for name in more if model.manifest.get(name)}
    if "left_out" in some:
        some["left_out"] = _describe_excluded(model.manifest["recipe"], some["left_out"])
    return {**{name: model.manifest[name] for name in names}, "sweep": model.manifest.get("sweep", []), **some}


def _describe_excluded(recipe: str, left_out: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Return the rows left out of each split by reason, as text; the reasons differ where a recipe reads only prompts."""
    from preceptor.models.chat_template import RENDER_ERROR_REASONS
    from preceptor.training.kto import FEEDBACK_EXCLUSION_REASONS as OF_THUMBS
    from preceptor.training.meta_tasks import TASK_EXCLUSION_REASONS as OF_TASKS
    from preceptor.training.preference_pairs import PAIR_EXCLUSION_REASONS as OF_PAIRS
    from preceptor.training.rl.rollouts import PROMPT_EXCLUSION_REASONS as OF_PROMPTS

    words = {**OF_PAIRS, **OF_THUMBS, **OF_TASKS, **RENDER_ERROR_REASONS, **(OF_PROMPTS if recipe in ("grpo", "rloo") else {})}
    return {split: {words.get(reason, reason): count for reason, count in found.items()} for split, found in left_out.items()}


def measure_cost(project: Project, model: Model) -> dict[str, Any]:
    """Return the cost of the judgments behind a model and of its training, by the project's prices."""
    prices = project.config.cost
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    numbers = {number for row in snapshot.rows() for number in row.lineage}
    total = _judgment_cost(project, numbers)
    seconds = float(model.manifest.get("seconds", 0.0))
    return {
        "judgments": {
            "used": len(numbers),
            "price_each": round(total / len(numbers), 4) if numbers else prices.judgment,
            "total": round(total, 2),
            "currency": prices.currency,
        },
        "run": {"seconds": seconds, "price_per_hour": prices.machine_hour, "total": round(seconds / 3600 * prices.machine_hour, 4)},
    }


def _judgment_cost(project: Project, numbers: Set[int]) -> float:
    """Return the price of these judgments; one that was retracted since counts at the usual price, since it was paid."""
    prices = project.config.cost
    with project.database.reading() as connection:
        kind = {asked.name: asked.kind for _, asked in questions.list_active(connection)}
        paid = [
            prices.judgment_price(each.annotator, kind.get(each.question, ""))
            for each in judgment_log.stream_judgments(connection, numbers=sorted(numbers))
        ]
    return sum(paid) + (len(numbers) - len(paid)) * prices.judgment


def _lineage_section(project: Project, model: Model) -> dict[str, Any]:
    traced = lineage.trace_lineage(project, model.id)
    return {
        "model": model.id,
        "weights": model.manifest["weights"],
        "snapshot": traced["snapshot"],
        "consensus_method": traced["consensus_method"],
        "judgments": traced["judgments"]["count"],
        "annotators": len(traced["annotators"]),
        "run": traced["run"]["id"],
    }
