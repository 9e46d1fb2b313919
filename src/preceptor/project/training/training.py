"""Running a recipe for a project: one run a set of options, resumed when interrupted, kept when done."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model, Run, digest_of
from preceptor.errors import UserError
from preceptor.evaluation.curves import curves_svg
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import write_checksums
from preceptor.project.assets import BASES
from preceptor.project.bases import earlier, start_folder
from preceptor.project.consulting import Consultants, Wishes, consulted, has_come_since, unlabelled_now
from preceptor.project.documents.searched import Searched
from preceptor.project.general import general_of
from preceptor.project.training.loggers import loggers
from preceptor.project.training.reward_checks import reward_checks
from preceptor.recipes import Progress, recipes
from preceptor.recipes import Run as RecipeRun
from preceptor.recipes.processes import refuse_several_processes
from preceptor.snapshots import Snapshot
from preceptor.store import events, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

Listener = Callable[[Progress], None]


def train(
    project: Project,
    recipe: str,
    snapshot: Snapshot,
    base: str | Path,
    *,
    seed: int,
    progress: Listener | None,
    options: Mapping[str, Any],
    wishes: Wishes | None = None,
) -> Model:
    """Run a recipe to its end and keep the model; a run that was done before gives its model at once.

    wishes: whom the run may ask. WaitsForPeople where it can't go on before people have answered; the same again goes on.
    """
    refuse_several_processes()
    chosen = recipes.get(recipe)
    parsed = chosen.Options.parse(options, of=f"recipe {recipe!r}")
    general, told = general_of(project), parsed.model_dump(mode="json")
    consultants = Consultants.of(project, wishes or Wishes(), told)
    searched = Searched.of(project) if getattr(chosen, "reads_documents", False) else Searched()
    apart = [*([general.validation.digest] if general else []), *consultants.identity, *searched.identity]
    run = _run(project, recipe, snapshot, base, told, seed, apart)
    while (came := _outcome(project, run)) is not None:
        done, looked_at = came
        if not has_come_since(project, looked_at):
            return done
        run = replace(run, id=digest_of([run.id, done.id])[:16])  # which goes on by this name too, for its predecessor stays
    context = RecipeRun(project.folder / "runs" / run.id, start_folder(project, base), snapshot, seed, run.base)
    context = replace(context, folder_of=partial(start_folder, project), checks=reward_checks(project))
    context = replace(context, loggers=loggers(project.config.training), general=general.validation if general else None)
    context = replace(context, sources=searched.find)
    if progress is not None:
        context = replace(context, progress=progress)
    with project.database.writing() as connection:
        records.put_run(connection, run, {})
    origin = {"run": run.id, "recipe": recipe}
    made = consulted(project, consultants, context, snapshot, origin, lambda asking: chosen(asking, parsed))
    draw(made)
    return _keep(project, run, made)


def draw(model: Model) -> None:
    """The training's curves, beside the model."""
    if (picture := curves_svg(model.manifest)) is not None:
        with atomic_write(model.path / "curves.svg") as file:
            file.write(picture.encode())


def dry_run(
    project: Project, recipe: str, snapshot: Snapshot, base: str | Path, *, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What training would see: counts by reason, and a few rows token by token; nothing is trained. UserError where it can't tell."""
    chosen = recipes.get(recipe)
    if not hasattr(chosen, "preview"):
        raise UserError(f"recipe {recipe!r} has nothing to show before it trains", "sft and classify have")
    parsed = chosen.Options.parse(options, of=f"recipe {recipe!r}")
    folder = start_folder(project, base)
    run = RecipeRun(project.folder / "runs" / "dry-run", folder, snapshot, seed, folder.name, folder_of=partial(start_folder, project))
    if getattr(chosen, "reads_documents", False):
        run = replace(run, sources=Searched.of(project).find)
    shown = chosen.preview(replace(run, unlabelled=partial(unlabelled_now, project, snapshot), checks=reward_checks(project)), parsed)
    return {"recipe": recipe, "snapshot": snapshot.digest, **shown}


def summary(model: Model) -> dict[str, Any]:
    """What `preceptor train --json` ends with."""
    manifest = model.manifest
    wanted = (
        "seconds",
        "texts_per_second",
        "supervised_tokens",
        "supervised_tokens_per_second",
        "tokens_per_second",
        "peak_memory_bytes",
        "people",
    )
    best = min((step["validation_loss"] for step in manifest["history"]), default=None)
    return {
        "model": model.id,
        "path": str(model.path),
        "metrics": {"history": manifest["history"], "learning_rate": manifest["learning_rate"], "words": manifest["words"]},
        "validation": {"log_loss": best},
        **{name: manifest[name] for name in wanted if name in manifest},
    }


def load_model(project: Project, name: str) -> Model:
    """A model by its id or the beginning of it; UserError when there is none."""
    with project.database.reading() as connection:
        row = records.model_row(connection, name)
    return _from_row(project, row)


def _run(
    project: Project, recipe: str, snapshot: Snapshot, base: str | Path, options: dict[str, Any], seed: int, apart: Sequence[str]
) -> Run:
    """Known by what goes into it: the weights of a base of one's own, since many a folder is called model. apart: what else does."""
    name = weights = str(base)
    if (model := earlier(project, base)) is not None:
        name, weights = model.id, model.manifest["weights"]
    elif name not in BASES:
        from preceptor.models.saving import weights_digest

        folder = start_folder(project, base).resolve()
        name, weights = folder.name, weights_digest(folder)
    identity = digest_of([recipe, snapshot.digest, weights, options, seed, *apart])
    return Run(identity[:16], recipe, snapshot.digest, name, options, seed, "running")


def _outcome(project: Project, run: Run) -> tuple[Model, int | None] | None:
    """The model that a run ended with, and how many items the project had when the run looked at them, if it did; None where it didn't end.

    Two runs may end with the very same model (no round of self-training helped): it is noted as the first one's, and known to both.
    """
    with project.database.reading() as connection:
        rows = [row for row in records.models(connection) if row["run"] == run.id]
        came = records.outcome(connection, run.id)
        rows = rows or ([records.model_row(connection, came["model"])] if "model" in came else [])
    if not rows:
        return None
    model = _from_row(project, rows[0])
    return model, came.get("unlabelled", model.manifest.get("unlabelled"))


def _keep(project: Project, run: Run, made: Model) -> Model:
    """Move a finished model under its digest and note it; the run's checkpoints have served."""
    model_id = f"m-{made.manifest['id'][:12]}"
    path = project.objects.adopt(_copy(project.objects.root, made.path), digest_of(model_id))
    model = Model(model_id, path, made.manifest)
    with project.database.writing() as connection:
        records.put_run(connection, replace(run, status="done"), {"model": model.id, "unlabelled": made.manifest.get("unlabelled")})
        records.add_model(connection, model, run=run.id, snapshot=run.snapshot)
        events.record(connection, "model trained", {"model": model.id, "run": run.id, "snapshot": run.snapshot})
    shutil.rmtree(project.folder / "runs" / run.id, ignore_errors=True)
    return model


def _copy(root: Path, folder: Path) -> Path:
    """A second name for a folder's files, to be moved away whole while the first stays until the model is noted."""
    root.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix="model-", dir=root))
    shutil.copytree(folder, staged, copy_function=os.link, dirs_exist_ok=True)
    write_checksums(staged)
    return staged


def _from_row(project: Project, row: Mapping[Any, Any]) -> Model:
    return Model(row["id"], project.objects.path(digest_of(row["id"])), json.loads(row["manifest"]))
