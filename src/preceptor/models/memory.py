"""What doesn't fit into memory goes through it in halves."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

USUAL_MEMORY = 8 << 30  # bytes, where the machine doesn't say
# What torch says on CPUs (Linux, Windows) and on devices whose error has no class of its own.
_SAID = ("can't allocate memory", "not enough memory", "out of memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def free_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def machine_memory() -> int:
    """Bytes that this machine has for its processes, or the container that this one runs in (cgroup 2 and 1)."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        path = Path("/sys/fs/cgroup") / name
        if path.is_file() and (said := path.read_text().strip()).isdigit():
            found.append(int(said))
    return min(found, default=USUAL_MEMORY)


def in_halves(batches: Iterable[list[int]], run: Callable[[list[int]], None]) -> None:
    """`run` each batch of rows; one that memory doesn't hold is run as two halves. The error passes where a single row doesn't fit."""
    for batch in batches:
        waiting = [batch]
        while waiting:
            rows = waiting.pop()
            if not _fits(rows, run):
                free_memory()
                middle = len(rows) // 2
                waiting += [rows[middle:], rows[:middle]]


def _fits(rows: list[int], run: Callable[[list[int]], None]) -> bool:
    try:
        run(rows)
    except (RuntimeError, MemoryError) as error:
        if len(rows) == 1 or not out_of_memory(error):
            raise
        return False
    return True
