"""Run a recipe in its folder: one process at a time, one run only, finished once, small results kept between starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import file_lock
from preceptor.formats.durable_files import atomic_write, dump_sealed_json, load_sealed_json, read_json
from preceptor.models.atomic_folder import explain_full_disk, weights_digest
from preceptor.registry import OptionsBase
from preceptor.training.recipe import TrainingRun, check_single_process
from preceptor.types import Model

REMEDIES_FOLDER = "remedies"  # trainings with remedies against forgetting, each in a folder of its own


def run_recipe(run: TrainingRun, recipe: str, options: OptionsBase, train: Callable[[], Model], **identity: Any) -> Model:
    """Return the model of a run: the one that it has finished with already, or the one that `train` leaves in its folder.

    All recipes share this skeleton. A recipe first checks its base and rows, so that what it can't use is refused before the folder is
    created. The folder is then locked, and bound to the run's recipe, snapshot, base, seed, options, and further `identity` (a teacher's
    digest, say): it resumes only a run that has all of them. `train` prepares the rows, resolves the hyperparameters, trains, and saves.

    Raises UserError when another process or another run holds the folder, and whatever `train` raises.
    """
    with lock_run_folder(run.folder):
        bind_run_folder(run.folder, {**run_identity(run, recipe, options), **identity})
        return load_finished_model(run) or train()


def run_identity(run: TrainingRun, recipe: str, options: OptionsBase) -> dict[str, Any]:
    """Return what identifies this run: resuming it requires all of these unchanged."""
    return {
        "recipe": recipe,
        "snapshot": run.snapshot.digest,
        "base": weights_digest(run.base),
        "seed": run.seed,
        "options": options.model_dump(mode="json"),
    }


def load_finished_model(run: TrainingRun) -> Model | None:
    """Return the model that this run ended with, if it has finished."""
    path = run.folder / "model" / "manifest.json"
    if not path.is_file():
        return None
    manifest = read_json(path)
    return Model(manifest["id"], path.parent, manifest)


@contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Hold the run's folder, which is created if need be; a kill releases it.

    Raises UserError when another process holds it, or when this process is one of several.
    """
    check_single_process()
    with explain_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    refusal = UserError(f"another process is training in {folder.name}", "wait for it to end, or give this run its own folder")
    with file_lock.exclusive_lock(folder / "lock", refusal):
        yield


def bind_run_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write the run's identity into its folder; raises UserError when the folder belongs to another run."""
    path = folder / "run.json"
    if not path.exists():
        _write_json(path, identity)
        return
    earlier = _read_json(path)
    changed = sorted(key for key in {*earlier, *identity} if earlier.get(key) != identity.get(key))
    if changed:
        raise UserError(
            f"{folder.name} holds another run: {', '.join(changed)} differ", "give this run a folder of its own, or delete that one"
        )


def cached_json(path: Path, compute: Callable[[], Any]) -> Any:
    """Return the JSON value that an earlier start left in `path`, or `compute()`, kept there for the next."""
    if not path.exists():
        _write_json(path, compute())
    return _read_json(path)


def _read_json(path: Path) -> Any:
    try:
        return load_sealed_json(path.read_bytes())
    except ValueError as error:
        raise UserError(
            f"what the run keeps can't be read: {error}", "remove the run's folder, and start it again", where=str(path)
        ) from None


def _write_json(path: Path, value: Any) -> None:
    with atomic_write(path) as file:
        file.write(dump_sealed_json(value))
