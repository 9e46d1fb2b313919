"""Writing rows as a file of any known format, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.formats.format import Format, Target, by_extension, formats


def write(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike[str], format: str = "auto", excel_safe: bool = False) -> int:
    """Write rows of JSON values and return how many; `format` "auto" goes by the extension.

    excel_safe: in CSV and TSV, put an apostrophe before a text that a spreadsheet would run as a formula.
    UserError for a row that the format can't hold, for no rows at all, and for a full disk; the target
    is then as it was before.
    """
    chosen = _by_extension(Path(path)) if format == "auto" else formats.get(format)
    with atomic_write(path) as file:
        count = chosen.write(iter(rows), Target(file, excel_safe))
        if not count:
            raise UserError("there are no rows to write", "nothing was written; check what was selected", where=str(path))
    return count


def _by_extension(path: Path) -> Format:
    chosen = by_extension(path.suffix)
    if chosen is None:
        known = ", ".join(formats.names())
        raise UserError(f"can't tell the format from the extension {path.suffix!r}", f"name one: {known}", where=str(path))
    return chosen
