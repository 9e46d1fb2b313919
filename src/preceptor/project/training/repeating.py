"""Training a model again, from the file of its run: what `preceptor train --from` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.assets import BASES
from preceptor.project.bases import MODEL, start_folder
from preceptor.project.general import general_of
from preceptor.project.training.training import load_model
from preceptor.recipes.run_file import RUN_FILE, RunFile, line_of
from preceptor.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Again:
    """What to train with: the arguments of `Project.train`."""

    recipe: str
    snapshot: Snapshot
    base: str | Path
    seed: int
    options: dict[str, Any]


def again(
    project: Project,
    source: str,
    *,
    recipe: str | None = None,
    snapshot: str | None = None,
    base: str | Path | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] = {},
) -> Again:
    """The run that a file (or a model's id) tells of; what is given besides takes the place of what stands there.

    UserError for a snapshot that this project doesn't have, for a base that isn't at hand or has other weights now, and for general
    texts that have changed.
    """
    path = Path(source) if Path(source).exists() else _of_model(project, source)
    found = RunFile.read(path)
    _check_general(project, found, path)
    return Again(
        recipe or found.recipe,
        project.load_snapshot(snapshot) if snapshot else _snapshot(project, found, path),
        base or _base(project, found, path),
        found.seed if seed is None else seed,
        {**found.options, **options},
    )


def _of_model(project: Project, name: str) -> Path:
    try:
        path = load_model(project, name).path / RUN_FILE
    except UserError as error:
        raise UserError(f"there is no file {name}, and {error.message}", f"give a model's {RUN_FILE}, or its id") from None
    if not path.is_file():
        raise UserError(f"{name} has no {RUN_FILE}: it was trained before runs left one", "name recipe, --snapshot and --base", where=name)
    return path


def _snapshot(project: Project, found: RunFile, path: Path) -> Snapshot:
    try:
        return project.load_snapshot(found.snapshot)
    except UserError:
        shown = found.snapshot if len(found.snapshot) < 20 else f"{found.snapshot[:12]}…"
        message, hint = f"snapshot {shown} isn't in this project", "open the project that has it (--project), or name one: --snapshot NAME"
        raise UserError(message, hint, where=_place(path, "snapshot")) from None


def _base(project: Project, found: RunFile, path: Path) -> str | Path:
    """A known base, a model trained here, or a folder; any that is named has the weights that it had then."""
    from preceptor.models.saving import weights_digest

    if found.base in BASES or found.base.startswith(MODEL) or Path(found.base).is_dir():
        if found.base_weights and weights_digest(start_folder(project, found.base)) != found.base_weights:
            message = f"{found.base} has other weights here than it had then"
            raise UserError(message, f"to train on those: --base {found.base}", where=_place(path, "base_weights"))
        return found.base
    raise UserError(f"the base {found.base!r} was a folder", "say where it lies: --base DIR", where=_place(path, "base"))


def _check_general(project: Project, found: RunFile, path: Path) -> None:
    now = general_of(project)
    if found.general and found.general != (now.validation.digest if now else ""):
        message, hint = "the general texts in preceptor.toml aren't those that it was held to", "name those, or take this line out"
        raise UserError(message, hint, where=_place(path, "general"))


def _place(path: Path, key: str) -> str:
    return f"{path}:{line_of(path.read_text(encoding='utf-8'), key)}"
