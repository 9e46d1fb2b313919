"""What was taken out, as lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.cli.output import table


def told(document: Mapping[str, Any]) -> str:
    """A document of `retracting` or `erasing`."""
    from preceptor.project.erasing import wording

    rows = wording.affected(document)
    lines = [wording.headline(document), table(wording.HEAD, rows) if rows else wording.NOTHING, *wording.further(document)]
    again = [f"{wording.AGAIN}: the same command with --remake"] if wording.may_be_made_again(document) else []
    return "\n".join([*lines, *again])


def exit_code(document: Mapping[str, Any]) -> int:
    """0: nothing was found, or nothing was to be done yet; 3: something was, or the search isn't whole."""
    from preceptor.project.erasing import wording

    return 3 if wording.is_left(document) else 0
