"""Writing rows as a file of any known format, whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write, full_disk_in_words, sync_folder
from preceptor.formats.format import Format, Target, by_extension, formats


def write(
    rows: Iterable[Mapping[str, Any]],
    path: str | os.PathLike[str],
    format: str = "auto",
    excel_safe: bool = False,
    on_fault: Callable[[UserError], None] | None = None,
) -> int:
    """Write rows of JSON values and return how many; `format` "auto" goes by the extension.

    excel_safe: in CSV and TSV, put an apostrophe before a text that a spreadsheet would run as a formula. on_fault: told of each row
    that the format can't hold, which is then left out.
    UserError for a row that the format can't hold, for no rows at all, and for a full disk; the target
    is then as it was before.
    """
    chosen = _by_extension(Path(path)) if format == "auto" else formats.get(format)
    if chosen.writes_folder:
        return _write_folder(rows, Path(path), chosen, Target(io.BytesIO(), excel_safe, on_fault=on_fault))
    with atomic_write(path) as file:
        count = chosen.write(iter(rows), Target(file, excel_safe, on_fault=on_fault, suffix=Path(path).suffix.lower()))
        if not count:
            raise UserError("there are no rows to write", "nothing was written; check what was selected", where=str(path))
    return count


def _write_folder(rows: Iterable[Mapping[str, Any]], path: Path, chosen: Format, target: Target) -> int:
    """Write a format that is a folder of files; it appears whole or not at all."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path.name} is there already", f"{chosen.name} is a folder of files: name a new one", where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".preceptor-", dir=path.parent))
    try:
        with full_disk_in_words(path):
            count = chosen.write(iter(rows), replace(target, folder=staged))
            if not count:
                raise UserError("there are no rows to write", "nothing was written; check what was selected", where=str(path))
            staged.chmod(0o755)
            staged.replace(path)  # over an empty folder too
            sync_folder(path.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return count


def _by_extension(path: Path) -> Format:
    chosen = by_extension(path.suffix)
    if chosen is None:
        known = ", ".join(formats.names())
        raise UserError(f"can't tell the format from the extension {path.suffix!r}", f"name one: {known}", where=str(path))
    return chosen
