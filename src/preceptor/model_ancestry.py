"""Resolve a base's name to a model or a folder, and find the models that a model was trained from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.errors import UserError
from preceptor.models.base_models import BASE_ASSETS, find_base_folder
from preceptor.quality import exact_key
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.types import Model

if TYPE_CHECKING:
    from preceptor.project import Project


MODEL_ID_PREFIX = "m-"  # how the ids of models trained here begin


def find_parent_model(project: Project, base: str | Path) -> Model | None:
    """Return the project's model that a base's name refers to (its id or the beginning of it), None for other bases."""
    name = str(base)
    if not name.startswith(MODEL_ID_PREFIX) or name in BASE_ASSETS or Path(name).is_dir():
        return None
    model = project.model(name)
    if model.manifest["recipe"] == "in_context":
        raise UserError(
            f"{model.id} is an in_context model and has no weights of its own", f"start from its base: {model.manifest['base']}"
        )
    return model


def resolve_base_folder(project: Project, base: str | Path) -> Path:
    """Return the folder of a base: of a known name (fetched when needed), of a model trained here, or the named folder."""
    model = find_parent_model(project, base)
    return find_base_folder(base) if model is None else model.path


def iterate_ancestors(project: Project, model: Model) -> Iterator[Model]:
    """Yield the models that a model was trained from, the latest first."""
    while (before := find_parent_model(project, model.manifest["base"])) is not None:
        yield before
        model = before


def count_rows_seen_by_ancestors(project: Project, model: Model, rows: Iterable[SnapshotRow]) -> int:
    """Count the rows whose text is among the rows that an ancestor of this model was trained on."""
    taught = (project.load_snapshot(each.manifest["snapshot"]) for each in iterate_ancestors(project, model))
    seen = {exact_key(row.text) for snapshot in taught for row in snapshot.rows("train")}
    return sum(exact_key(row.text) in seen for row in rows) if seen else 0


def find_recorded_base(project: Project, model: Model, given: str | Path | None) -> Path | None:
    """Return the folder of a model's base: as given, else of a known base or a model trained here, else None.

    Raises UserError for a base that the model wasn't trained from.
    """
    from preceptor.models.atomic_folder import weights_digest

    recorded = model.manifest["base"]
    name = given or (recorded if recorded in BASE_ASSETS or recorded.startswith(MODEL_ID_PREFIX) else None)
    if name is None:
        return None
    folder = resolve_base_folder(project, name)
    if weights_digest(folder) != model.manifest["base_weights"]:
        raise UserError(f"{folder.name} is not the base of {model.id}: its weights differ", f"its base is {recorded!r}")
    return folder
