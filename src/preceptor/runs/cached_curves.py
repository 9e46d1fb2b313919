"""Find the learning curves that were measured earlier in a project."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.durable_files import read_json
from preceptor.planning.data_scaling import MeasuredMethod
from preceptor.planning.learning_curves import effective_rows
from preceptor.storage import artifacts
from preceptor.storage.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project import Project


_METHOD_RECIPES = {"full": "classify", "lora": "classify"}  # methods whose recipe has another name


@dataclass(frozen=True, eq=False)
class CachedCurves:
    """The complete learning curves of one snapshot.

    current_method: the method of the newest model of the snapshot, else the cheapest method.
    """

    snapshot: Snapshot
    methods: tuple[MeasuredMethod, ...]
    current_method: MeasuredMethod


def load_cached_curves(project: Project, question: str) -> CachedCurves | None:
    """Load the curves of the newest snapshot of a question that has any; None where none was measured completely."""
    named = [row["digest"] for row in project.snapshots() if row["question"] == question]
    for digest in reversed(list(dict.fromkeys(named))):
        folder = _curves_folder(project, digest)
        if not folder.is_dir():
            continue
        snapshot = project.load_snapshot(digest)
        groups = [row.group for row in snapshot.rows("validation")]
        learners = [learner for points in _newest_points(folder).values() if (learner := _fit_curve(points, groups)) is not None]
        if learners:
            return CachedCurves(snapshot, tuple(learners), _current_method(project, digest, learners))
    return None


def describe_measurement(project: Project, question: str) -> str:
    """Return the hint for a question without a learning curve: the commands that measure one."""
    named = [row["name"] or row["digest"][:12] for row in project.snapshots() if row["question"] == question]
    first = "" if named else f"preceptor snapshot create {question} --name v1, then "
    start = f"{first}preceptor learning-curve {named[-1] if named else 'v1'}"
    return f"No learning curve is measured yet, so what more rows would do for a model isn't known: {start} --method linear_probe"


def _curves_folder(project: Project, digest: str) -> Path:
    return project.folder / "runs" / f"choose-{digest[:12]}"


def _newest_points(folder: Path) -> Mapping[str, list[Mapping[str, Any]]]:
    """Return the points of each method, from its newest version only (files name-key-size-seed.json)."""
    files = defaultdict[str, dict[str, list[Path]]](lambda: defaultdict(list))
    for path in sorted(folder.glob("*.json")):
        name, key, _, _ = path.stem.rsplit("-", 3)
        files[name][key].append(path)
    return {name: _read_points(max(by_key.values(), key=_last_modified)) for name, by_key in files.items()}


def _last_modified(paths: list[Path]) -> float:
    return max(path.stat().st_mtime for path in paths)


def _read_points(paths: list[Path]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for path in paths:
        name, _, size, seed = path.stem.rsplit("-", 3)
        found.append({"name": name, "size": int(size), "seed": int(seed), **read_json(path)})
    return found


def _fit_curve(points: list[Mapping[str, Any]], groups: list[str]) -> MeasuredMethod | None:
    """Fit a curve to its points; None where some are still missing."""
    sizes, seconds = ([point[name] for point in points] for name in ("size", "seconds"))
    errors = [1 - sum(point["right"]) / len(point["right"]) for point in points]
    worth = effective_rows([point["right"] for point in points if point["size"] == max(sizes)], groups)
    try:
        return MeasuredMethod.from_runs(points[0]["name"], sizes, errors, seconds, len(set(groups)), worth)
    except UserError:
        return None


def _current_method(project: Project, digest: str, learners: list[MeasuredMethod]) -> MeasuredMethod:
    with project.database.reading() as connection:
        trained = [json.loads(row["manifest"])["recipe"] for row in artifacts.list_models(connection) if row["snapshot"] == digest]
    for recipe in reversed(trained):
        if same := [each for each in learners if _METHOD_RECIPES.get(each.name, each.name) == recipe]:
            return same[0]
    return min(learners, key=lambda each: each.training_seconds(each.curve.measured.largest))
