"""Restrict a project's files to the account that runs Preceptor, and to its group where that is wanted.

Modes are given to each file or folder by itself: changing the process's umask would affect other threads.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
_OTHERS, _GROUP = 0o007, 0o070


def make_private_file(path: str | os.PathLike[str]) -> None:
    """Create an empty file that only this account may read and write; an existing one stays as it is. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))


def make_private_folder(path: Path) -> None:
    """Create a folder that only this account may look into, and its parents as usual; an existing one stays as it is."""
    path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)


def restrict_access(path: Path, *, group: bool) -> None:
    """Close a file or folder to other accounts, and open it to its group if it is to share it.

    Does nothing where the mode can't be changed.
    """
    with suppress(OSError):  # it doesn't exist, isn't ours, or lies where there are no modes: `is_exposed` tells
        mode = path.stat().st_mode
        wanted = mode & ~(_OTHERS if group else _OTHERS | _GROUP)
        if group:
            wanted |= stat.S_ISGID | 0o070 if stat.S_ISDIR(mode) else 0o060
        if stat.S_IMODE(wanted) != stat.S_IMODE(mode):
            path.chmod(stat.S_IMODE(wanted))


def is_exposed(path: Path, *, group: bool) -> bool:
    """Tell whether other accounts may access a file or folder that they shouldn't."""
    try:
        return bool(path.stat().st_mode & (_OTHERS if group else _OTHERS | _GROUP))
    except OSError:
        return False
