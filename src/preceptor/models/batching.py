"""Turn texts into padded token batches of similar length, and halve a batch that doesn't fit in memory."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

DEFAULT_MEMORY_BYTES = 8 << 30  # assumed where the machine doesn't say
# torch's messages on CPUs (Linux, Windows) and on devices whose error has no class of its own.
_OUT_OF_MEMORY_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY_MESSAGES)


def free_memory() -> None:
    """Free unreferenced memory on the host and the accelerator."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container that this process runs in (cgroup 2 and 1)."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        path = Path("/sys/fs/cgroup") / name
        if path.is_file() and (said := path.read_text().strip()).isdigit():
            found.append(int(said))
    return min(found, default=DEFAULT_MEMORY_BYTES)


def run_with_halving(batches: Iterable[list[int]], run: Callable[[list[int]], None]) -> None:
    """Run each batch of rows; one that doesn't fit in memory is run as two halves. Re-raises the error where a single row doesn't fit."""
    for batch in batches:
        waiting = [batch]
        while waiting:
            rows = waiting.pop()
            if not _run_if_fits(rows, run):
                free_memory()
                middle = len(rows) // 2
                waiting += [rows[middle:], rows[:middle]]


def _run_if_fits(rows: list[int], run: Callable[[list[int]], None]) -> bool:
    try:
        run(rows)
    except (RuntimeError, MemoryError) as error:
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
        return False
    return True


TokenIds = Sequence[int]
# These families number positions from the pad token's id on, so that some of their positions are never used.
_POSITIONS_AFTER_PADDING = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text"}


def get_max_input_tokens(tokenizer: Any, config: Any) -> int:
    """Return how many tokens the model reads at once: its tokenizer's limit or its positions, whichever is less."""
    body = config.body if isinstance(getattr(config, "body", None), dict) else config.to_dict()
    positions = body.get("max_position_embeddings") or body.get("n_positions") or tokenizer.model_max_length
    if body.get("model_type") in _POSITIONS_AFTER_PADDING:
        positions -= tokenizer.pad_token_id + 1
    return int(min(tokenizer.model_max_length, positions))


def encode_texts(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Return the token ids of each text with the model's special tokens, truncated to `max_tokens` (special tokens included)."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False, return_token_type_ids=False)
    return list(encoded["input_ids"])


def pad_sequences(sequences: Sequence[TokenIds], pad_id: int) -> dict[str, Any]:
    """Return `input_ids` and `attention_mask`, both (rows, longest) int64, padded on the right."""
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence)
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield row numbers from the longest rows to the shortest, in batches of at most `batch_tokens` tokens with padding.

    The longest come first so that memory runs out at once or never. A row longer than `batch_tokens` is a batch by itself.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield [int(row) for row in order[start : start + size]]
        start += size
