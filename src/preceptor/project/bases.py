"""What training starts from: a known base, a folder, or a model that was trained here before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.curation import exact_key
from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.project.assets import BASES, base_folder
from preceptor.snapshots import Row

if TYPE_CHECKING:
    from preceptor.project.project import Project

MODEL = "m-"  # how the ids of models trained here begin


def earlier(project: Project, base: str | Path) -> Model | None:
    """The model of this project that a base's name stands for (its id or the beginning of it), None for other bases."""
    name = str(base)
    if not name.startswith(MODEL) or name in BASES or Path(name).is_dir():
        return None
    model = project.model(name)
    if model.manifest["recipe"] == "few_shot":
        raise UserError(f"{model.id} was made by few_shot and has no weights of its own", f"start from its base: {model.manifest['base']}")
    return model


def start_folder(project: Project, base: str | Path) -> Path:
    """The folder of a base: of a known name (fetched when needed), of a model trained here, or the folder that is named."""
    model = earlier(project, base)
    return base_folder(base) if model is None else model.path


def line(project: Project, model: Model) -> Iterator[Model]:
    """The models that a model was trained from, the latest first."""
    while (before := earlier(project, model.manifest["base"])) is not None:
        yield before
        model = before


def seen_before(project: Project, model: Model, rows: Iterable[Row]) -> int:
    """How many of these rows stand, by their text, among those that an earlier model of this one's line was trained on."""
    taught = (project.load_snapshot(each.manifest["snapshot"]) for each in line(project, model))
    seen = {exact_key(row.text) for snapshot in taught for row in snapshot.rows("train")}
    return sum(exact_key(row.text) in seen for row in rows) if seen else 0


def base_of(project: Project, model: Model, given: str | Path | None) -> Path | None:
    """The folder of a model's base: as given, else of a known one or a model trained here, else None.

    UserError for a base that the model wasn't trained from.
    """
    from preceptor.models.saving import weights_digest

    recorded = model.manifest["base"]
    name = given or (recorded if recorded in BASES or recorded.startswith(MODEL) else None)
    if name is None:
        return None
    folder = start_folder(project, name)
    if weights_digest(folder) != model.manifest["base_weights"]:
        raise UserError(f"{folder.name} is not the base of {model.id}: its weights differ", f"its base is {recorded!r}")
    return folder
