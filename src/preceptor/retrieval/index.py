"""Index a project's chunks in immutable segments, and search it by words and vectors with reciprocal rank fusion.

The index is derived: it may be deleted at any time and is rebuilt. A segment is a folder that never changes once it has its name.
`index.json` names the segments. A segment is written under another name, then renamed, then named there: a kill leaves the index as it was
before or after. Which documents are active is never stored here: the caller of a search says which, so that what another process superseded
a moment ago isn't found.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write, explain_full_disk, sync_folder, verify_checksums, write_checksums
from preceptor.formats.file_lock import exclusive_lock
from preceptor.retrieval.bm25 import InvertedIndex, bm25_scores
from preceptor.retrieval.text_analysis import extract_terms
from preceptor.types import FloatArray, IntArray


class VectorStore(Protocol):
    """A store of chunk vectors outside the index's folder."""

    def find_vectors(self, marks: NDArray[np.uint64]) -> dict[int, NDArray[np.float32]]:
        """Return the vectors, (d,), of the texts whose fingerprints are known, by fingerprint."""

    def put(self, chunks: IntArray, documents: IntArray, marks: NDArray[np.uint64], made: NDArray[np.float32]) -> None:
        """Store the vectors `made`, (n, d), of n chunks."""

    def search(self, vector: NDArray[np.float32], documents: IntArray, most: int) -> list[tuple[int, float]]:
        """Return the `most` chunks of these documents nearest to a unit vector, (d,), with their cosines."""

    def retain_documents(self, documents: IntArray) -> None:
        """Remove the vectors of all documents but these."""

    def remove_documents(self, documents: IntArray) -> None:
        """Remove the vectors of these documents."""


@dataclass(frozen=True)
class IndexSegment:
    """An immutable segment of n chunks, a row each.

    chunks, documents: their keys and their documents' keys; marks: fingerprints of their texts (`fingerprint_text`); vectors: unit vectors
    (n, d; d is 0 without); held: keys of the documents in it, also of those without any chunk; postings: the inverted index of their terms.
    """

    chunks: IntArray
    documents: IntArray
    marks: NDArray[np.uint64]
    vectors: NDArray[np.float32]
    held: IntArray
    postings: InvertedIndex

    def __len__(self) -> int:
        return len(self.chunks)

    def save(self, folder: Path) -> None:
        """Save the segment as files of a folder, with checksums, synced to disk."""
        for name in ("chunks", "documents", "marks", "vectors", "held"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        self.postings.save(folder)
        write_checksums(folder)
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(folder)

    @classmethod
    def load(cls, folder: Path) -> IndexSegment:
        """Load what `save` wrote; vectors stay on disk until they are multiplied.

        Raises UserError where a file was altered.
        """
        verify_checksums(folder)
        small = {name: np.load(folder / f"{name}.npy") for name in ("chunks", "documents", "marks", "held")}
        return cls(**small, vectors=np.load(folder / "vectors.npy", mmap_mode="r"), postings=InvertedIndex.load(folder))


def fingerprint_text(text: str) -> int:
    """Return a 64-bit fingerprint of a text, so that a text is encoded only once."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def merge_segments(segments: Sequence[IndexSegment], documents: IntArray) -> IndexSegment:
    """Merge several segments into one of these documents only; other documents are dropped."""
    kept = [np.isin(segment.documents, documents) for segment in segments]
    together = {
        name: np.concatenate([getattr(segment, name)[rows] for segment, rows in zip(segments, kept, strict=True)])
        for name in ("chunks", "documents", "marks", "vectors")
    }
    held = np.concatenate([segment.held for segment in segments])
    return IndexSegment(
        **together, held=held[np.isin(held, documents)], postings=_merge_postings([each.postings for each in segments], kept)
    )


def _merge_postings(parts: Sequence[InvertedIndex], kept: Sequence[NDArray[np.bool_]]) -> InvertedIndex:
    numbers: dict[str, int] = {}
    columns, rows, counts, lengths, before = [], [], [], [], 0
    for part, keep in zip(parts, kept, strict=True):
        new = np.array([numbers.setdefault(term, len(numbers)) for term in part.term_ids], dtype=np.int32)
        column = np.repeat(new, np.diff(part.begins))
        stays = keep[part.rows]
        places = np.cumsum(keep) - 1 + before
        columns.append(column[stays])
        rows.append(places[np.asarray(part.rows)[stays]].astype(np.int32))
        counts.append(np.asarray(part.counts)[stays])
        lengths.append(part.lengths[keep])
        before += int(keep.sum())
    terms = list(numbers)
    used, place = np.unique(np.concatenate(columns), return_inverse=True)  # drops terms that occur only in dropped documents
    order = np.argsort(place, kind="stable")
    begins = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(used)))]).astype(np.int64)
    return InvertedIndex(
        {terms[term]: at for at, term in enumerate(used)},
        begins,
        np.concatenate(rows)[order],
        np.concatenate(counts)[order],
        np.concatenate(lengths),
    )


T = TypeVar("T", bound=Hashable)
RRF_CONSTANT = 60


def fuse_rankings(rankings: Sequence[Sequence[T]], *, constant: int = RRF_CONSTANT) -> list[tuple[T, float]]:
    """Fuse rankings into (id, score), best first, by reciprocal rank fusion (Cormack et al. 2009).

    Σ over rankings of 1 / (constant + rank), ranks from 1, nothing where an id is absent. Equal scores are ordered by their ids, which must
    be comparable.
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, each in enumerate(ranking, start=1):
            scores[each] = scores.get(each, 0.0) + 1 / (constant + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


INDEX_FORMAT = 1  # of the files, the terms and the chunks' words; an index of another format is rebuilt
SEGMENT_CHUNKS = 2048  # approximate chunks of a new segment: the most work that a kill can lose
MERGE_FACTOR = 8  # segments of about the same size that are merged into one
CANDIDATES = 100  # the candidates that BM25 and cosine each contribute to the fusion
COSINE_DIGITS = 6  # digits of a cosine; later ones are rounding errors, and equal chunks must have equal scores
MANIFEST = "index.json"

EncodeFunction = Callable[[Sequence[str]], FloatArray]
KeyedChunks = Sequence[tuple[int, str]]  # (key, text that is indexed)


class ChunkIndex:
    """A searchable index in a folder.

    encoder: the identity of the encoder, empty where there are no vectors; encode: texts to vectors (n, d). shared: the store of the
    vectors, where they aren't in the folder.
    """

    def __init__(self, folder: Path, encoder: str, encode: EncodeFunction | None, shared: VectorStore | None = None) -> None:
        self.folder, self.encode, self.vector_store = folder, encode, shared
        self.encoder = f"{encoder}, in PostgreSQL" if shared else encoder
        self._segments: dict[str, IndexSegment] = {}  # as last loaded

    def find_missing(self, documents: IntArray) -> IntArray:
        """Return which of these documents aren't indexed yet."""
        held = [segment.held for segment in self._load_segments().values()]
        return documents[~np.isin(documents, np.concatenate(held))] if held else documents

    def holds(self, documents: IntArray) -> bool:
        """Return whether any of these documents is indexed."""
        return any(np.isin(documents, segment.held).any() for segment in self._load_segments().values()) if len(documents) else False

    def add(
        self, standing: Callable[[], IntArray], chunks_of: Callable[[int], KeyedChunks], *, tell: Callable[[int, int], None] | None = None
    ) -> None:
        """Index the active documents that are missing; one process does so at a time, others wait for it.

        standing: returns the active documents, called once the lock is held. chunks_of: the chunks of a document, at least one, or none if
        it was removed meanwhile. tell: called with the documents done and their total.
        """
        with self._locked():
            documents = standing()
            new, done = self.find_missing(documents), 0
            for batch in _batch_documents((int(document), chunks_of(int(document))) for document in new):
                self._append(batch)
                done += len(batch)
                if tell is not None:
                    tell(done, len(new))
            self._merge(documents)
            if self.vector_store is not None and len(new):
                self.vector_store.retain_documents(documents)

    def remove_documents(self, documents: IntArray) -> None:
        """Remove all traces of these documents; the rest of their segments stays, with its vectors."""
        with self._locked():
            for name, segment in list(self._segments.items()):
                if (gone := np.isin(segment.held, documents)).any():
                    made = merge_segments([segment], segment.held[~gone])
                    self._publish_segments([*(each for each in self._segments if each != name), *self._write(made)])
            if self.vector_store is not None:
                self.vector_store.remove_documents(documents)

    def search(self, query: str, documents: IntArray, most: int, *, way: str = "fused") -> list[tuple[int, float]]:
        """Return (chunk, score) of the best chunks in these documents, best first; equal ones in order of their keys.

        way: lexical (BM25), dense (cosine), or fused (reciprocal ranks of the 100 best of each, or of `most` where that is more). A query
        without any word finds nothing.
        """
        segments = [segment for segment in self._load_segments().values() if len(segment)]
        if not extract_terms(query) or not len(documents) or not segments:
            return []
        stands = np.zeros(max(int(documents.max()), *(int(each.documents.max()) for each in segments)) + 1, dtype=bool)
        stands[documents] = True
        live = [stands[segment.documents] for segment in segments]
        keys = np.concatenate([segment.chunks for segment in segments])
        depth = max(most, CANDIDATES) if way == "fused" else most
        rankings = []
        if way != "dense":
            scores = np.concatenate(bm25_scores([segment.postings for segment in segments], live, query))
            rankings.append(_top_rows(keys, scores, depth, scores > 0))
        if way != "lexical" and self.encode is not None:
            vector = normalize_vectors(self.encode([query]))[0]
            if self.vector_store is not None:
                rankings.append(self.vector_store.search(vector, documents, depth))
            else:
                scores = np.round(np.concatenate([segment.vectors @ vector for segment in segments]), COSINE_DIGITS)
                rankings.append(_top_rows(keys, scores, depth, np.concatenate(live)))
        if way != "fused":
            return rankings[0] if rankings else []
        return fuse_rankings([[key for key, _ in ranking] for ranking in rankings])[:most]

    def size(self) -> dict[str, int]:
        """Return the number of chunks and segments, and the bytes on disk."""
        segments = self._load_segments()
        files = [path for name in segments for path in (self.folder / name).iterdir()]
        return {
            "chunks": sum(map(len, segments.values())),
            "segments": len(segments),
            "bytes": sum(path.stat().st_size for path in files),
        }

    def _load_segments(self) -> dict[str, IndexSegment]:
        """Load the current segments; another process may have added, merged, or deleted everything."""
        while True:
            names = self._segment_names()
            try:
                segments = {name: self._segments.get(name) or IndexSegment.load(self.folder / name) for name in names}
            except (OSError, ValueError, EOFError, UserError):
                if self._segment_names() == names:  # no merge happened meanwhile: a part was deleted or damaged
                    (self.folder / MANIFEST).unlink(missing_ok=True)
                continue
            self._segments = segments
            return segments

    def _segment_names(self) -> list[str]:
        try:
            kept = json.loads((self.folder / MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError):
            return []
        known = kept.get("form") == INDEX_FORMAT and kept.get("encoder") == self.encoder
        return list(kept["segments"]) if known else []

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with exclusive_lock(self.folder / "lock"):
            self._publish_segments(list(self._load_segments()))
            yield

    def _append(self, batch: Sequence[tuple[int, KeyedChunks]]) -> None:
        words = [text for _, chunks in batch for _, text in chunks]
        marks = np.array([fingerprint_text(text) for text in words], dtype=np.uint64)
        keys = np.array([key for _, chunks in batch for key, _ in chunks], dtype=np.int64)
        documents = np.array([document for document, chunks in batch for _ in chunks], dtype=np.int64)
        vectors = self._encode_texts(words, marks)
        if self.vector_store is not None:
            self.vector_store.put(keys, documents, marks, vectors)
            vectors = vectors[:, :0]
        held = np.array([document for document, _ in batch], dtype=np.int64)
        self._publish_segments(
            [*self._segments, *self._write(IndexSegment(keys, documents, marks, vectors, held, InvertedIndex.from_texts(words)))]
        )

    def _encode_texts(self, words: Sequence[str], marks: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Return unit vectors, (n, d); texts that were encoded before keep their vectors."""
        if self.encode is None:
            return np.zeros((len(words), 0), dtype=np.float32)
        known = self.vector_store.find_vectors(marks) if self.vector_store is not None else self._known_vectors(marks)
        new = {int(each): text for each, text in zip(marks, words, strict=True) if int(each) not in known}
        if new:
            known |= dict(zip(new, normalize_vectors(self.encode(list(new.values()))), strict=True))
        return np.stack([known[int(each)] for each in marks])

    def _known_vectors(self, marks: NDArray[np.uint64]) -> dict[int, NDArray[np.float32]]:
        known: dict[int, NDArray[np.float32]] = {}
        for segment in self._segments.values():
            _, rows, _ = np.intersect1d(segment.marks, marks, return_indices=True)
            known |= {int(segment.marks[row]): np.asarray(segment.vectors[row]) for row in rows}
        return known

    def _merge(self, documents: IntArray) -> None:
        """Merge many segments of about the same size into one, and drop inactive documents where they are most of a segment."""
        while together := self._to_merge(documents):
            made = merge_segments([self._segments[name] for name in together], documents)
            self._publish_segments([*(name for name in self._segments if name not in together), *self._write(made)])

    def _to_merge(self, documents: IntArray) -> list[str]:
        levels: dict[int, list[str]] = {}
        for name, segment in self._segments.items():
            if np.isin(segment.documents, documents).sum() * 2 < len(segment):
                return [name]
            levels.setdefault(max(len(segment), SEGMENT_CHUNKS // 8).bit_length() // 3, []).append(name)
        return next((names for names in levels.values() if len(names) >= MERGE_FACTOR), [])

    def _write(self, segment: IndexSegment) -> list[str]:
        """Write a segment and return its new name; none where it has no rows."""
        if not len(segment):
            return []
        name = f"segment-{secrets.token_hex(8)}"
        staged = self.folder / f"incoming-{secrets.token_hex(8)}"
        with explain_full_disk(staged):
            staged.mkdir()
            segment.save(staged)
            os.replace(staged, self.folder / name)
        return [name]

    def _publish_segments(self, names: Sequence[str]) -> None:
        """Make the index consist of these segments; all other segment folders (left by kills and merges) are deleted."""
        with atomic_write(self.folder / MANIFEST) as file:
            file.write(json.dumps({"form": INDEX_FORMAT, "encoder": self.encoder, "segments": list(names)}, indent=1).encode())
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in names:
                shutil.rmtree(path, ignore_errors=True)
        self._load_segments()


def normalize_vectors(vectors: FloatArray) -> NDArray[np.float32]:
    """Scale vectors, (n, d), to length 1; zero vectors stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def _batch_documents(documents: Iterable[tuple[int, KeyedChunks]]) -> Iterator[list[tuple[int, KeyedChunks]]]:
    """Yield batches of documents with about `SEGMENT_CHUNKS` chunks each; documents without any were removed, and are skipped."""
    batch, size = list[tuple[int, KeyedChunks]](), 0
    for document, chunks in documents:
        if chunks:
            batch.append((document, chunks))
            size += len(chunks)
        if size >= SEGMENT_CHUNKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _top_rows(keys: IntArray, scores: FloatArray | NDArray[np.float32], most: int, allowed: NDArray[np.bool_]) -> list[tuple[int, float]]:
    rows = np.flatnonzero(allowed)
    if len(rows) > most:
        values = scores[rows]
        rows = rows[values >= np.partition(values, len(rows) - most)[len(rows) - most]]
    order = np.lexsort((keys[rows], -scores[rows]))[:most]
    return [(int(keys[row]), float(scores[row])) for row in rows[order]]
