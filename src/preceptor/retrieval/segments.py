"""The index's files: segments, each a folder that never changes once it has its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preceptor.domain.results import IntArray
from preceptor.formats.atomic import sync_folder
from preceptor.formats.checksums import check_folder, write_checksums
from preceptor.retrieval.lexical import Postings


@dataclass(frozen=True)
class Segment:
    """n chunks, a row each: their keys, their documents' keys, marks of their words, unit vectors (n, d; d is 0 without), postings.

    held: keys of the documents that it has, also of those without any chunk.
    """

    chunks: IntArray
    documents: IntArray
    marks: NDArray[np.uint64]
    vectors: NDArray[np.float32]
    held: IntArray
    postings: Postings

    def __len__(self) -> int:
        return len(self.chunks)

    def save(self, folder: Path) -> None:
        """As files of a folder."""
        for name in ("chunks", "documents", "marks", "vectors", "held"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        self.postings.save(folder)
        write_checksums(folder)
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(folder)

    @classmethod
    def load(cls, folder: Path) -> Segment:
        """What `save` left; vectors stay on the disk until they are multiplied. UserError where it was altered."""
        check_folder(folder)
        small = {name: np.load(folder / f"{name}.npy") for name in ("chunks", "documents", "marks", "held")}
        return cls(**small, vectors=np.load(folder / "vectors.npy", mmap_mode="r"), postings=Postings.load(folder))


def mark(text: str) -> int:
    """64 bits that tell texts apart, so that what was encoded once isn't again."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def merged(segments: Sequence[Segment], documents: IntArray) -> Segment:
    """Several as one, of these documents only; what else they hold is left out."""
    kept = [np.isin(segment.documents, documents) for segment in segments]
    together = {
        name: np.concatenate([getattr(segment, name)[rows] for segment, rows in zip(segments, kept, strict=True)])
        for name in ("chunks", "documents", "marks", "vectors")
    }
    held = np.concatenate([segment.held for segment in segments])
    return Segment(**together, held=held[np.isin(held, documents)], postings=_merged([each.postings for each in segments], kept))


def _merged(parts: Sequence[Postings], kept: Sequence[NDArray[np.bool_]]) -> Postings:
    numbers: dict[str, int] = {}
    columns, rows, counts, lengths, before = [], [], [], [], 0
    for part, keep in zip(parts, kept, strict=True):
        new = np.array([numbers.setdefault(term, len(numbers)) for term in part.numbers], dtype=np.int32)
        column = np.repeat(new, np.diff(part.begins))
        stays = keep[part.rows]
        places = np.cumsum(keep) - 1 + before
        columns.append(column[stays])
        rows.append(places[np.asarray(part.rows)[stays]].astype(np.int32))
        counts.append(np.asarray(part.counts)[stays])
        lengths.append(part.lengths[keep])
        before += int(keep.sum())
    terms = list(numbers)
    used, place = np.unique(np.concatenate(columns), return_inverse=True)  # a term that only stood in what is left out goes with it
    order = np.argsort(place, kind="stable")
    begins = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(used)))]).astype(np.int64)
    return Postings(
        {terms[term]: at for at, term in enumerate(used)},
        begins,
        np.concatenate(rows)[order],
        np.concatenate(counts)[order],
        np.concatenate(lengths),
    )
