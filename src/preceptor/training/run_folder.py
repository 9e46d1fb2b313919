"""Manage a run's folder: one process at a time, one run only, small results kept between starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import file_lock
from preceptor.formats.durable_files import atomic_write, dump_sealed_json, load_sealed_json
from preceptor.models.atomic_folder import explain_full_disk
from preceptor.training.recipe import check_single_process

REMEDIES_FOLDER = "remedies"  # trainings with remedies against forgetting, each in a folder of its own


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
