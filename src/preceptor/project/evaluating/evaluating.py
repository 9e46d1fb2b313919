"""Measuring a model on the rows of its snapshot that it never saw, as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor import __version__
from preceptor.domain import Model
from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.evaluation import Bound, Report, classification_estimates, confusion, reliability
from preceptor.project import answering, bases, lineage, proving
from preceptor.project.evaluating import adjudicating, labels, pairs, rewards, texts, thumbs
from preceptor.project.evaluating.forgetting import forgetting, of_classifier
from preceptor.project.evaluating.rows import Scored, row_sections
from preceptor.project.general import general_of
from preceptor.project.releasing import inputs, releasing
from preceptor.project.suites import running
from preceptor.project.suites.answering import recorded
from preceptor.snapshots import Row, Snapshot
from preceptor.statistics import compare_paired
from preceptor.store import events, gold, journal, questions, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

EXAMPLES = 12


def evaluate(
    project: Project,
    model: Model,
    *,
    truth: Mapping[str, Any] | None,
    split: str,
    base: str | Path | None,
    suites: Sequence[str] = (),
    wishes: running.Wishes | None = None,
) -> Report:
    """A report about one model on one split, with what suites find; its digest is noted, which counts an opening of the test split."""
    running.suites_named(project, suites)  # before anything takes its time
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    document = measure(project, model, snapshot, truth=truth, split=split, base=base)
    if suites:
        rows = held_out(snapshot, split)
        document["suites"] = running.sections(project, model, suites, wishes or running.Wishes(), rows=rows)
    return keep(project, model, snapshot, document, split)


def evaluate_recorded(project: Project, file: str, suites: Sequence[str], wishes: running.Wishes) -> Report:
    """What suites find in answers that were recorded in a file, as a report by which the gate checks the file as it is now."""
    if not suites:
        raise UserError("a file of answers is measured by suites", "name one: --suite faithfulness")
    found = running.sections(project, file, suites, wishes)
    name = Path(file).stem
    subject, asked = releasing.recorded_name(file), [each.prompt for each in recorded(file).asked]
    document: dict[str, Any] = {
        "title": f"{project.config.name}: answers of {name}", "preceptor": __version__, "subject": name, "suites": found,
    }  # fmt: skip
    document["inputs"] = inputs.measured(project, None, document)
    document["openings"] = inputs.opened(project, subject, None, document, prompts=asked)
    decision = releasing.judge_report(project, Report.from_document(document), None)
    report = Report.from_document({**document, "release": decision.to_dict()})
    digest = project.objects.put(report.to_json().encode())
    with project.database.writing() as connection:
        records.add_report(connection, digest=digest, model=subject, snapshot="", split=releasing.RECORDED)
        events.record(connection, "answers evaluated", {"answers": subject, "report": digest})
    return report


def measure(
    project: Project,
    model: Model,
    snapshot: Snapshot,
    *,
    truth: Mapping[str, Any] | None,
    split: str,
    base: str | Path | None = None,
) -> dict[str, Any]:
    """The document of a report about one model on one split, which `keep` notes."""
    rows = held_out(snapshot, split)
    if rewards.scores(model):
        measured = rewards.sections(project, model, snapshot, rows, truth=truth, base=base)
    elif thumbs.likes(model):
        measured = thumbs.sections(project, model, snapshot, rows, base=base)
    elif pairs.prefers(model, snapshot):
        measured = pairs.sections(project, model, snapshot, rows, truth=truth, base=base)
    elif answering.writes(model):
        measured = texts.sections(project, model, snapshot, rows, truth=truth, base=base)
    elif base is not None and not answering.is_shown(model) and general_of(project) is None:
        hint = "leave --base out, or name [general] texts"
        raise UserError(f"{model.id} chooses among answers, which its base can't: there is nothing to compare", hint)
    else:
        measured = _classified(project, model, snapshot, rows, truth, base)
    return about(project, snapshot) | {
        "seed": model.manifest["seed"],
        "training": training_section(model),
        **measured,
        "cost": cost(project, model),
        "lineage": _lineage(project, model),
        "split": {
            "name": split,
            "seen_before": bases.seen_before(project, model, rows),
        },
    }


def _classified(
    project: Project, model: Model, snapshot: Snapshot, rows: Sequence[Row], truth: Mapping[str, Any] | None, base: str | Path | None
) -> dict[str, Any]:
    """What a report says of a classifier's answers. UserError when parity fails."""
    proved = proving.proved(project, model, base)
    probabilities = answering.probabilities(project, model, [row.text for row in rows], base=base)
    if snapshot.target_kind == "multilabel":
        sets = labels.sets_of(project, snapshot, rows, truth)
        measured = labels.figures(snapshot, rows, sets, probabilities)
        shown = labels.examples(snapshot, rows, sets, probabilities)
        truths, right = sets.astype(int).tolist(), ((probabilities > 0.5) == sets.astype(bool)).all(axis=1)
        learnt = labels.sets_of(project, snapshot, list(snapshot.rows("train")), None)
        constant = (sets == (learnt.mean(axis=0) > 0.5)).all(axis=1)
    else:
        known = truth_of(project, snapshot, rows, truth)
        measured, shown = figures(snapshot, rows, known, probabilities), examples(snapshot, rows, known, probabilities)
        truths, right = [snapshot.answers[code] for code in known], probabilities.argmax(axis=1) == known
        constant = known == _commonest(snapshot)
        decided = None if truth is not None else adjudicating.against_experts(project, snapshot, rows, probabilities, rows[0].split)
        if decided is not None:
            measured |= {"accuracy": decided[0], "accuracy_by_consensus": measured["accuracy"], "experts": decided[1]}
    left = {} if answering.is_shown(model) else forgetting(project, model, bases.base_of(project, model, base), of_classifier)
    about_model = {"parameters": model.manifest["parameters"]} | ({"retention": left["kept"]} if "kept" in left else {})
    return {
        "parity": proved,
        "models": {"tuned": measured | about_model},
        "comparison": {
            "tuned_minus_commonest": compare_paired(right.astype(float), constant.astype(float), clusters=[row.group for row in rows])
        },
        "examples": shown,
        **({"forgetting": left} if left else {}),
        **row_sections(project, model, snapshot, Scored(rows, truths, {"accuracy": right.astype(float)}, given=truth is not None)),
    }


def _commonest(snapshot: Snapshot) -> int:
    """The code of the answer that most training rows have, by their targets: what who learnt nothing else would always say."""
    totals = Counter(dict.fromkeys(snapshot.answers, 0.0))
    for row in snapshot.rows("train"):
        totals.update(row.target)
    return max(range(len(snapshot.answers)), key=lambda code: totals[snapshot.answers[code]])


def keep(project: Project, model: Model, snapshot: Snapshot, document: Mapping[str, Any], split: str) -> Report:
    """A report from a document, with what the gate says of it, kept among the project's objects and noted."""
    own = _of_its_own(project, model)
    if own and "bounds" not in document:
        document = {**document, "bounds": own["bounds"], "comparison": {**(document.get("comparison") or {}), **own["comparison"]}}
    document = {**document, "inputs": inputs.measured(project, snapshot, document)}
    if split == "test":
        document["openings"] = inputs.opened(project, model.id, snapshot, document)
    release = releasing.section(project, model, Report.from_document(document))
    report = Report.from_document({**document, "release": release})
    digest = project.objects.put(report.to_json().encode())
    with project.database.writing() as connection:
        records.add_report(connection, digest=digest, model=model.id, snapshot=snapshot.digest, split=split)
        events.record(connection, "model evaluated", {"model": model.id, "report": digest, "split": split})
    return report


def _of_its_own(project: Project, model: Model) -> dict[str, Any]:
    """The bounds that a model has for itself, as a successor has, with the comparisons that they are about: they go with it."""
    with project.database.reading() as connection:
        digest = records.latest_report(connection, model.id, "test")
    if digest is None:
        return {}
    before = releasing.load_report(project, digest).document
    if not (bounds := before.get("bounds")):
        return {}
    about = {Bound.parse(text).figure for text in bounds}
    return {"bounds": bounds, "comparison": {name: found for name, found in before["comparison"].items() if name in about}}


def held_out(snapshot: Snapshot, split: str) -> list[Row]:
    """The rows of a split; UserError when there are none."""
    rows = list(snapshot.rows(split))
    if not rows:
        raise UserError(f"the {split} split of snapshot {snapshot.digest[:12]} is empty", "judge more items, or choose another split")
    return rows


def truth_of(project: Project, snapshot: Snapshot, rows: Sequence[Row], given: Mapping[str, Any] | None) -> IntArray:
    """The code of each row's true answer: as given, else gold, else the consensus's top answer."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.answers(connection, key), **(given or {})}
    place = {answer: code for code, answer in enumerate(snapshot.answers)}
    answers = [str(known.get(row.id, row.answer)) for row in rows]
    for row, answer in zip(rows, answers, strict=True):
        if answer not in place:
            raise UserError(
                f"the true answer {answer!r} of item {row.id!r} is not an answer of the snapshot", f"answers: {', '.join(place)}"
            )
    return np.array([place[answer] for answer in answers], dtype=np.int64)


def figures(snapshot: Snapshot, rows: Sequence[Row], truth: IntArray, probabilities: FloatArray) -> dict[str, Any]:
    """Estimates with their intervals, the confusion table and the reliability curve of one model's probabilities."""
    groups = np.array([row.group for row in rows])
    ordered = snapshot.target_kind == "ordinal"
    estimates = classification_estimates(probabilities, truth, groups, answers=snapshot.answers, ordered=ordered)
    return {
        **estimates,
        "confusion": confusion(probabilities, truth, snapshot.answers),
        "reliability": reliability(probabilities, truth),
    }


def examples(snapshot: Snapshot, rows: Sequence[Row], truth: IntArray, probabilities: FloatArray) -> list[dict[str, Any]]:
    """What the model gets wrong, surest first, beside what people said."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != truth)
    worst = sorted(wrong.tolist(), key=lambda row: -float(probabilities[row].max()))[:EXAMPLES]
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


def about(project: Project, snapshot: Snapshot) -> dict[str, Any]:
    """What every report says first: what was asked, about what, and how it was split."""
    rows = list(snapshot.rows())
    return {
        "title": f"{project.config.name}: {snapshot.question['name']}",
        "preceptor": __version__,
        "question": dict(snapshot.question),
        "data": {"items": len(rows), "groups": len({row.group for row in rows})},
        "snapshot": snapshot.digest,
        "snapshot_summary": snapshot.summary(),
    }


def training_section(model: Model) -> dict[str, Any]:
    """How the model came about, from its manifest."""
    names = (
        "recipe",
        "base",
        "dtype",
        "learning_rate",
        "best_step",
        "words",
        "seconds",
        "texts_per_second",
        "peak_memory_bytes",
        "history",
    )
    more = ("rows", "left_out", "rendered", "retention", "reward", "looks", "stopped", "samples")
    some = {name: model.manifest[name] for name in more if model.manifest.get(name)}
    if "left_out" in some:
        some["left_out"] = _in_words(model.manifest["recipe"], some["left_out"])
    return {**{name: model.manifest[name] for name in names}, "sweep": model.manifest.get("sweep", []), **some}


def _in_words(recipe: str, left_out: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Rows left out of each split by reason, the reasons in words, which are others where a recipe reads prompts alone."""
    from preceptor.models.template import REASONS
    from preceptor.recipes.meta.tasks import REASONS as OF_TASKS
    from preceptor.recipes.preferring.pairs import REASONS as OF_PAIRS
    from preceptor.recipes.preferring.thumbs import REASONS as OF_THUMBS
    from preceptor.recipes.reinforcing.prompts import REASONS as OF_PROMPTS

    words = {**OF_PAIRS, **OF_THUMBS, **OF_TASKS, **REASONS, **(OF_PROMPTS if recipe in ("grpo", "rloo") else {})}
    return {split: {words.get(reason, reason): count for reason, count in found.items()} for split, found in left_out.items()}


def cost(project: Project, model: Model) -> dict[str, Any]:
    """What the judgments behind a model and its training cost, by the project's prices."""
    prices = project.config.cost
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    numbers = {number for row in snapshot.rows() for number in row.lineage}
    total = _spent(project, numbers)
    seconds = float(model.manifest.get("seconds", 0.0))
    return {
        "judgments": {
            "used": len(numbers),
            "price_each": round(total / len(numbers), 4) if numbers else prices.judgment,
            "total": round(total, 2),
            "currency": prices.currency,
        },
        "run": {"seconds": seconds, "price_per_hour": prices.hour, "total": round(seconds / 3600 * prices.hour, 4)},
    }


def _spent(project: Project, numbers: Set[int]) -> float:
    """Price of these judgments; one that was retracted since counts at the usual price, for it was paid."""
    prices = project.config.cost
    with project.database.reading() as connection:
        kind = {asked.name: asked.kind for _, asked in questions.active(connection)}
        paid = [prices.price(each.annotator, kind.get(each.question, "")) for each in journal.stream(connection, numbers=sorted(numbers))]
    return sum(paid) + (len(numbers) - len(paid)) * prices.judgment


def _lineage(project: Project, model: Model) -> dict[str, Any]:
    traced = lineage.trace(project, model.id)
    return {
        "model": model.id,
        "weights": model.manifest["weights"],
        "snapshot": traced["snapshot"],
        "consensus_method": traced["consensus_method"],
        "judgments": traced["judgments"]["count"],
        "annotators": len(traced["annotators"]),
        "run": traced["run"]["id"],
    }
