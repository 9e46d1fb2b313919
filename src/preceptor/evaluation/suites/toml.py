"""Reading the small files that people write: suites and policies."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.toml import parse_toml


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file's values; UserError where it is missing or can't be read. what: "a suite", for the message."""
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file for {what} here", "check the path", where=str(path)) from None
    except OSError as error:
        raise UserError(f"can't be read: {error.strerror}", "check the name and the permissions", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"can't be read: {error}", "mend the line; texts stand in quotes, patterns in single ones", where=str(path)
        ) from None
