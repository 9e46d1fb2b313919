"""A run's folder: one process at a time, one run for ever, small results kept between starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import locking
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import sealed_json, unsealed_json
from preceptor.models.saving import full_disk_explained
from preceptor.recipes.processes import refuse_several_processes

REMEDIES = "remedies"  # trainings with remedies against forgetting, each in a folder of its own


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's folder (made if need be); UserError when another process holds it, or this is one of several. A kill releases it."""
    refuse_several_processes()
    with full_disk_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    refusal = UserError(f"another process is training in {folder.name}", "wait for it to end, or give this run its own folder")
    with locking.locked(folder / "lock", refusal):
        yield


def claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write what this run is into its folder; UserError when the folder belongs to a run of something else."""
    path = folder / "run.json"
    if not path.exists():
        _write(path, identity)
        return
    earlier = _read(path)
    changed = sorted(key for key in {*earlier, *identity} if earlier.get(key) != identity.get(key))
    if changed:
        raise UserError(
            f"{folder.name} holds another run: {', '.join(changed)} differ", "give this run a folder of its own, or delete that one"
        )


def remembered(path: Path, compute: Callable[[], Any]) -> Any:
    """The JSON value that an earlier start left in `path`, or `compute()`, kept there for the next."""
    if not path.exists():
        _write(path, compute())
    return _read(path)


def _read(path: Path) -> Any:
    try:
        return unsealed_json(path.read_bytes())
    except ValueError as error:
        raise UserError(
            f"what the run keeps can't be read: {error}", "remove the run's folder, and start it again", where=str(path)
        ) from None


def _write(path: Path, value: Any) -> None:
    with atomic_write(path) as file:
        file.write(sealed_json(value))
