"""Trace a model, snapshot or answer upstream to judgments, people and documents, and those downstream to what depends on them.

For each snapshot an index of (row, judgment) pairs is stored when it is first needed, so that tracing downstream reads no rows; it is
deleted with the snapshot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write, dump_sealed_json, load_sealed_json, verify_checksums
from preceptor.storage import aliases, artifacts, curations, documents, erasures, items, judgment_log, people, provenance, questions
from preceptor.storage.curations import CurationDecision
from preceptor.types import IntArray, Judgment

if TYPE_CHECKING:
    from pathlib import Path

    from preceptor.project import Project
    from preceptor.storage import Connection


_LINEAGE_FOLDER = "lineage"


def count_dependent_rows(project: Project, digest: str, numbers: Collection[int]) -> int:
    """Count the rows of a snapshot, by its digest, that rest on any of these judgments."""
    rows, judgments = _load_row_index(project, digest)
    return len(np.unique(rows[np.isin(judgments, np.fromiter(numbers, dtype=np.int64, count=len(numbers)))]))


def list_snapshot_judgments(project: Project, digest: str) -> list[int]:
    """List the numbers of the judgments that a snapshot rests on, ascending."""
    found: list[int] = np.unique(_load_row_index(project, digest)[1]).tolist()
    return found


def forget_row_index(project: Project, digest: str) -> None:
    """Delete the row index of a snapshot that is deleted, or whose rows rest on other judgments now."""
    _row_index_path(project, digest).unlink(missing_ok=True)


def _load_row_index(project: Project, digest: str) -> tuple[IntArray, IntArray]:
    """Load the (row, judgment) pairs of a snapshot as two arrays of the same length, building them where needed."""
    path = _row_index_path(project, digest)
    with suppress(FileNotFoundError, ValueError):  # never made, or altered on disk since
        pairs = load_sealed_json(path.read_bytes())
        return np.array(pairs[0], dtype=np.int64), np.array(pairs[1], dtype=np.int64)
    made = _row_judgment_pairs(project.objects.path(digest))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(dump_sealed_json(made.tolist()))
    return made[0], made[1]


def _row_judgment_pairs(folder: Path) -> IntArray:
    pairs, rows = [], folder / "rows.jsonl"
    verify_checksums(folder, rows.name)
    if rows.is_file():  # it is missing where objects/ was restored in part
        with rows.open(encoding="utf-8", newline="\n") as file:
            pairs = [(place, number) for place, line in enumerate(file) for number in json.loads(line)["lineage"]]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _row_index_path(project: Project, digest: str) -> Path:
    return project.folder / _LINEAGE_FOLDER / f"{digest}.json"


_MODEL_ID = re.compile(r"m-[0-9a-zA-Z]+")


@dataclass(frozen=True)
class DependentArtifacts:
    """The artifacts that depend on something.

    snapshots: name, digest, and how many rows depend. models: ids, in order of creation. aliases: name -> model, for aliases that name one
    of the models now. answers: how many logged answers the models gave. decided_about: models with a release decision.
    """

    snapshots: Sequence[Mapping[str, Any]]
    models: Sequence[str]
    aliases: Mapping[str, str]
    answers: int
    decided_about: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the artifacts as a JSON object."""
        return {
            "snapshots": [dict(each) for each in self.snapshots],
            "models": list(self.models),
            "aliases": dict(self.aliases),
            "answers": self.answers,
            "decided_about": list(self.decided_about),
        }


def find_dependents(
    project: Project, numbers: Collection[int], *, snapshots: Collection[str] = (), documents: Collection[str] = ()
) -> DependentArtifacts:
    """Find what depends on judgments (by number), on snapshots, or on documents that models were trained with (both by digest)."""
    with project.database.reading() as connection:
        rows, models, left = (
            artifacts.list_snapshots(connection),
            artifacts.list_models(connection),
            erasures.snapshot_successors(connection),
        )
    counted = {digest: count_dependent_rows(project, digest, numbers) for digest in dict.fromkeys(row["digest"] for row in rows)}
    resting = [
        {"name": row["name"], "digest": row["digest"], "rows": counted[row["digest"]]}
        for row in rows if counted[row["digest"]] or row["digest"] in snapshots
    ]  # fmt: skip
    digests = {each["digest"] for each in resting}
    direct = {
        row["id"] for row in models
        if left.get(row["snapshot"], row["snapshot"]) in digests or any(digest in row["manifest"] for digest in documents)
    }  # fmt: skip
    parents = {row["id"]: list_parents(row) for row in models}
    learnt = [row["id"] for row in models if row["id"] in direct or direct & set(iterate_ancestor_ids(parents, row["id"]))]
    with project.database.reading() as connection:
        named = {alias: model for alias, model in aliases.models_by_alias(connection).items() if model in learnt}
        answers = sum(provenance.count_answers_by_model(connection, learnt).values())
        decided = [release.model for release in artifacts.list_releases(connection) if release.model in learnt]
    return DependentArtifacts(resting, learnt, named, answers, decided)


def list_parents(model: Mapping[Any, Any]) -> tuple[str, ...]:
    """List the models that a model was made with: its base, and those in its options (a teacher, a reward model, an encoder)."""
    manifest = json.loads(model["manifest"])
    return tuple(dict.fromkeys([manifest["base"], *find_model_ids(manifest.get("options", {}))]))


def find_model_ids(options: Mapping[str, Any]) -> list[str]:
    """List the ids of models of the project that options contain: a teacher, a reward model, an encoder."""
    return _MODEL_ID.findall(json.dumps(options))


def iterate_ancestor_ids(parents: Mapping[str, Sequence[str]], model: str) -> Iterator[str]:
    """Yield all models of the project that a model was made with, directly or indirectly."""
    seen, left = {model}, list(parents[model])
    while left:
        if (parent := left.pop(0)) in parents and parent not in seen:
            seen.add(parent)
            left += parents[parent]
            yield parent


def _bases_by_model(connection: Connection) -> dict[str, str]:
    """Return the base of each model, by its id."""
    return {row["id"]: json.loads(row["manifest"])["base"] for row in artifacts.list_models(connection)}


_PASSAGE_KEYS = ("document", "version", "chunk")


def _trace_model(project: Project, name: str) -> dict[str, Any]:
    """Trace a model, by its id or a prefix of it, upstream."""
    with project.database.reading() as connection:
        row = artifacts.model_row(connection, name)
    return {"model": row["id"], **_trace_snapshot(project, row["snapshot"]), **_describe_model_run(project, row["id"])}


def _trace_snapshot(project: Project, snapshot: str) -> dict[str, Any]:
    """Trace a snapshot to its judgments and the people who gave them."""
    loaded = project.load_snapshot(snapshot)
    rows = list(loaded.rows())
    numbers = sorted({number for row in rows for number in row.lineage})
    with project.database.reading() as connection:
        judged = provenance.count_valid_judgments_by_annotator(connection, numbers)
    return {
        "snapshot": loaded.digest,
        "question": loaded.question["name"],
        "consensus_method": loaded.manifest["method"],
        "rows": len(rows),
        "judgments": {"count": len(numbers), "numbers": numbers},
        "annotators": judged,
        "retracted_since": len(numbers) - sum(judged.values()),
    }


def _trace_answer(project: Project, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Trace a served answer to its model and what that rests on, to the passages that it cites or was shown, and to feedback about it."""
    document = json.loads(row["document"])
    with project.database.reading() as connection:
        about = provenance.list_responses_to_answer(connection, row["id"])
    cited = collect_passages(document.get("citations", []))
    shown = [each for each in collect_passages(document) if each not in cited]
    served = {"id": row["model"], "alias": row["alias"], "created": row["created"], "confidence": row["confidence"]}
    found = {"answer": row["id"], "served": served, "cited": cited, "shown": shown, **about}
    try:
        return {**found, **_trace_model(project, row["model"])}
    except UserError:  # a base model, or a model of another server
        return {**found, "model": row["model"], "judgments": {"count": 0, "numbers": []}, "annotators": {}}


def collect_passages(value: Any) -> list[dict[str, Any]]:
    """Collect the passages that an answer's document, or a part of it, names, each once: document, version, chunk."""
    found = {tuple(each[name] for name in _PASSAGE_KEYS): each for each in _iterate_passages(value)}
    return [dict(zip(_PASSAGE_KEYS, key, strict=True)) for key in found]


def _iterate_passages(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if all(name in value for name in _PASSAGE_KEYS):
            yield value
        for part in value.values():
            yield from _iterate_passages(part)
    elif isinstance(value, list):
        for part in value:
            yield from _iterate_passages(part)


def _describe_model_run(project: Project, model: str) -> dict[str, Any]:
    """Describe how a model was made, and the decisions about it."""
    with project.database.reading() as connection:
        row = artifacts.model_row(connection, model)
        run = artifacts.get_run(connection, row["run"])
        decisions = [release for release in artifacts.list_releases(connection) if release.model == model]
        known = _bases_by_model(connection)
    return {
        "earlier": list(_iterate_bases(known, model)),
        "run": {"id": run.id, "recipe": run.recipe, "base": run.base, "seed": run.seed, "options": dict(run.options)},
        "releases": [{"by": release.by, "decision": release.decision, "report": release.report} for release in decisions],
    }


def _iterate_bases(known: Mapping[str, str], model: str) -> Iterator[str]:
    """Yield the models that a model was trained from, the latest first."""
    while (model := known[model]) in known:
        yield model


def _trace_judgments(project: Project, kind: str, name: str, judgments: Sequence[Judgment]) -> dict[str, Any]:
    """Trace judgments to the snapshots and models that use them; for an item also to the deferrals about it."""
    listed = [{"number": j.id, "item": j.item, "question": j.question, "annotator": j.annotator, "answer": j.answer} for j in judgments]
    with project.database.reading() as connection:
        deferred = provenance.list_deferrals_about(
            connection, {judgment.item for judgment in judgments} | ({name} if kind == "item" else set())
        )
    return {
        kind: name,
        "judgments": listed,
        **find_dependents(project, {judgment.id for judgment in judgments}).to_dict(),
        "deferrals": deferred,
    }


def _trace_document(project: Project, name: str, versions: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """Trace a document to the answers that cite it or were shown it, and to the models trained on it. versions: its rows."""
    with project.database.reading() as connection:
        likely = provenance.list_answers_containing(connection, json.dumps(name))
    of = {row["id"]: json.loads(row["document"]) for row in likely}
    cite = [id_ for id_, answer in of.items() if _names_document(name, answer.get("citations", []))]
    shown = [id_ for id_, answer in of.items() if id_ not in cite and _names_document(name, answer)]
    told = [{key: row[key] for key in ("version", "digest", "created", "superseded", "erased")} for row in versions]
    learnt = find_dependents(project, (), documents={row["digest"] for row in versions}).to_dict()
    return {"document": name, "versions": told, "cited_by": cite, "shown_to": shown, "judgments": [], **learnt}


def _names_document(document: str, value: Any) -> bool:
    return any(each["document"] == document for each in collect_passages(value))


def _trace_feedback(project: Project, kind: str, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Trace feedback or a deferral to the item that it became, and on to what people's judgments of that went into."""
    with project.database.reading() as connection:
        item = provenance.item_id(connection, row["item"])
        judgments = [] if item is None else list(judgment_log.list_by_item(connection, row["item"]))
    known = {name: row[name] for name in ("kind", "by", "status", "created", "answered") if name in row}
    onward = _trace_judgments(project, "item", item or "", judgments)
    return {kind: row["id"], "answer": row["answer"], **known, **onward, "item": item}


def _list_decisions(project: Project, kind: str, name: str) -> dict[str, Any]:
    """List the curation decisions about an item, or by a person, the newest last; empty where there are none."""
    with project.database.reading() as connection:
        names = {key: asked.name for key, asked in questions.list_active(connection)}
        found = {"person": _decisions_of_person, "item": _decisions_about_item}.get(kind, _no_decisions)(connection, names, name)
    told = [
        {
            "item": each.item,
            "question": question,
            "action": "undo" if "undoes" in each.document else each.action,
            "by": each.by,
            "reason": each.reason,
            **{part: each.document[part] for part in ("answer", "into") if part in each.document},
            **({"new item": each.document["item"]} if "item" in each.document else {}),
        }
        for question, each in found
    ]
    return {"decisions": told} if told else {}


def _decisions_of_person(connection: Connection, names: Mapping[int, str], name: str) -> list[tuple[str, CurationDecision]]:
    return [(names.get(key, ""), decision) for key, _, decision in curations.list_by_author(connection, name)]


def _decisions_about_item(connection: Connection, names: Mapping[int, str], name: str) -> list[tuple[str, CurationDecision]]:
    found, place = list[tuple[str, CurationDecision]](), items.keys(connection, [name])[name]
    for key in names:
        maker = curations.rewritten_items(connection, key)[0].get(name)
        about = reversed(curations.list_by_item(connection, key, place))
        found += [(names[key], decision) for decision in ([maker] if maker else []) + list(about)]
    return found


def _no_decisions(connection: Connection, names: Mapping[int, str], name: str) -> list[tuple[str, CurationDecision]]:
    return []


_NAME_HINT = "give a model, a snapshot, an answer's or feedback's id, a judgment's number, a person, an item or a document"


def trace_lineage(project: Project, name: str) -> dict[str, Any]:
    """Trace a model, snapshot or answer upstream, or a judgment (by number), person, item, document or feedback downstream.

    A model may be named by an alias. Whole names take precedence over prefixes of ids, and a judgment's number over an item of that name.
    Raises UserError where nothing has that name.
    """
    with project.database.reading() as connection:
        models = [row["id"] for row in artifacts.list_models(connection)]
        snapshots = {known for row in artifacts.list_snapshots(connection) for known in (row["name"], row["digest"]) if known}
        served = provenance.find_served(connection, name)
        judgments = _find_judgments(connection, name)
        versions, alias = documents.list_versions(connection, name), aliases.models_by_alias(connection).get(name)
        gone = {kind: taken for kind in (erasures.ITEM, erasures.DOCUMENT) if (taken := erasures.find_erasure(connection, kind, name))}
    if name in models:
        return _trace_model(project, name)
    if name in snapshots:
        return _trace_snapshot(project, name)
    if served is not None:
        kind, row = served
        return _trace_answer(project, row) if kind == "answer" else _trace_feedback(project, kind, row)
    for kind, found in judgments.items():
        return {**_trace_judgments(project, kind, name, found), **_list_decisions(project, kind, name)}
    if any(row["erased"] is None for row in versions):
        return _trace_document(project, name, versions)
    for kind, taken in gone.items():
        return {"erased": name, "kind": kind, **taken}
    if alias is not None and alias in models:
        return {"alias": name, **_trace_model(project, alias)}
    if any(model.startswith(name) for model in models):
        return _trace_model(project, name)
    if any(snapshot.startswith(name) for snapshot in snapshots):
        return _trace_snapshot(project, name)
    raise UserError(f"nothing here is called {name!r}", _NAME_HINT)


def _find_judgments(connection: Connection, name: str) -> dict[str, list[Judgment]]:
    """Find the judgment of that number, the person's of that name, and those about the item of that name: what exists, in this order."""
    found: dict[str, list[Judgment]] = {}
    if name.isdecimal() and len(name) < 19 and (judgment := judgment_log.find_judgment(connection, int(name))) is not None:
        found["judgment"] = [judgment]
    if (person := people.find_key(connection, name)) is not None:
        found["person"] = list(judgment_log.list_by_annotator(connection, person))
    elif curations.list_by_author(connection, name):
        found["person"] = []
    if (item := items.keys(connection, [name]).get(name)) is not None:
        found["item"] = list(judgment_log.list_by_item(connection, item))
    return found
