"""Which accounts of the machine may read what a project writes: the one that runs Preceptor, and its group where that is wanted.

Modes are given to each file or folder by itself: the process's umask would change beneath other threads.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
_OTHERS, _GROUP = 0o007, 0o070


def make_private_file(path: str | os.PathLike[str]) -> None:
    """Make an empty file that only this account may read and write; one that is there stays as it is. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))


def make_private_folder(path: Path) -> None:
    """Make a folder that only this account may look into, and those above it as usual; one that is there stays as it is."""
    path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)


def restrict_access(path: Path, *, group: bool) -> None:
    """Close a file or folder to other accounts, and open it to its group if it is to share it; nothing where it can't be changed."""
    with suppress(OSError):  # it isn't there, isn't ours, or lies where there are no modes: `is_exposed` says so
        mode = path.stat().st_mode
        wanted = mode & ~(_OTHERS if group else _OTHERS | _GROUP)
        if group:
            wanted |= stat.S_ISGID | 0o070 if stat.S_ISDIR(mode) else 0o060
        if stat.S_IMODE(wanted) != stat.S_IMODE(mode):
            path.chmod(stat.S_IMODE(wanted))


def is_exposed(path: Path, *, group: bool) -> bool:
    """Tell whether accounts may come at a file or folder that shouldn't."""
    try:
        return bool(path.stat().st_mode & (_OTHERS if group else _OTHERS | _GROUP))
    except OSError:
        return False
