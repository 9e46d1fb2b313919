"""Work in blocks on all cores: numpy lets go of Python's lock, so that threads share the arrays and need no copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Block = TypeVar("Block")
Done = TypeVar("Done")
_MOST = 8  # threads; more only hold more blocks in memory


def on_all_cores(work: Callable[[Block], Done], blocks: Iterable[Block]) -> Iterator[Done]:
    """What `work` makes of each block, in the order of the blocks."""
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST)) as pool:
        yield from pool.map(work, blocks)
