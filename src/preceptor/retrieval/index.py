"""The index of a project's chunks: a derived thing, which may be deleted at any time and is made again.

`index.json` names the segments. A segment is written under another name, then renamed, then named there: a kill leaves the index as
it was before or after. Which documents stand is never kept here: who searches says which, so that what was superseded a moment ago by
another process isn't found.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write, full_disk_in_words
from preceptor.formats.locking import locked
from preceptor.retrieval.fusion import reciprocal_ranks
from preceptor.retrieval.lexical import Postings, bm25
from preceptor.retrieval.segments import Segment, mark, merged
from preceptor.retrieval.shared import SharedVectors
from preceptor.retrieval.terms import terms

FORM = 1  # of the files, the terms and the chunks' words; another one is made anew
BATCH = 2048  # chunks of one segment, about: what a kill costs at most
MANY = 8  # segments of about one size that become one
CANDIDATES = 100  # that words and meaning each bring to the fusion
DIGITS = 6  # of a cosine; what differs later is rounding, and equal chunks shall be equal
MANIFEST = "index.json"

Encode = Callable[[Sequence[str]], FloatArray]
Chunks = Sequence[tuple[int, str]]  # (key, words to be found by)


class Index:
    """An index in a folder. encoder: what tells the encoder apart, empty where there are no vectors; encode: texts to vectors (n, d).

    shared: where the vectors lie, when they don't lie in the folder.
    """

    def __init__(self, folder: Path, encoder: str, encode: Encode | None, shared: SharedVectors | None = None) -> None:
        self.folder, self.encode, self.shared = folder, encode, shared
        self.encoder = f"{encoder}, in PostgreSQL" if shared else encoder
        self._segments: dict[str, Segment] = {}  # as of the last look

    def missing(self, documents: IntArray) -> IntArray:
        """Which of these documents aren't in it yet."""
        held = [segment.held for segment in self._open().values()]
        return documents[~np.isin(documents, np.concatenate(held))] if held else documents

    def holds(self, documents: IntArray) -> bool:
        """Whether anything of these documents is in it."""
        return any(np.isin(documents, segment.held).any() for segment in self._open().values()) if len(documents) else False

    def add(
        self, standing: Callable[[], IntArray], chunks_of: Callable[[int], Chunks], *, tell: Callable[[int, int], None] | None = None
    ) -> None:
        """Take up what is missing of the documents that stand; one process does so at a time, others wait for it.

        standing: asked when it is this one's turn. chunks_of: of a document, at least one, or none if it is gone meanwhile.
        """
        with self._locked():
            documents = standing()
            new, done = self.missing(documents), 0
            for batch in _batches((int(document), chunks_of(int(document))) for document in new):
                self._append(batch)
                done += len(batch)
                if tell is not None:
                    tell(done, len(new))
            self._merge(documents)
            if self.shared is not None and len(new):
                self.shared.keep(documents)

    def forget(self, documents: IntArray) -> None:
        """Leave nothing of these documents in it; what else their segments hold stays, with its vectors."""
        with self._locked():
            for name, segment in list(self._segments.items()):
                if (gone := np.isin(segment.held, documents)).any():
                    made = merged([segment], segment.held[~gone])
                    self._put([*(each for each in self._segments if each != name), *self._write(made)])
            if self.shared is not None:
                self.shared.forget(documents)

    def search(self, query: str, documents: IntArray, most: int, *, way: str = "fused") -> list[tuple[int, float]]:
        """(chunk, score) of the best chunks in these documents, best first; equal ones in order of their keys.

        way: lexical (BM25), dense (cosine), or fused (reciprocal ranks of the 100 best of each, or of `most` where that is more). A
        query without any word finds nothing.
        """
        segments = [segment for segment in self._open().values() if len(segment)]
        if not terms(query) or not len(documents) or not segments:
            return []
        stands = np.zeros(max(int(documents.max()), *(int(each.documents.max()) for each in segments)) + 1, dtype=bool)
        stands[documents] = True
        live = [stands[segment.documents] for segment in segments]
        keys = np.concatenate([segment.chunks for segment in segments])
        depth = max(most, CANDIDATES) if way == "fused" else most
        rankings = []
        if way != "dense":
            scores = np.concatenate(bm25([segment.postings for segment in segments], live, query))
            rankings.append(_best(keys, scores, depth, scores > 0))
        if way != "lexical" and self.encode is not None:
            vector = unit(self.encode([query]))[0]
            if self.shared is not None:
                rankings.append(self.shared.best(vector, documents, depth))
            else:
                scores = np.round(np.concatenate([segment.vectors @ vector for segment in segments]), DIGITS)
                rankings.append(_best(keys, scores, depth, np.concatenate(live)))
        if way != "fused":
            return rankings[0] if rankings else []
        return reciprocal_ranks([[key for key, _ in ranking] for ranking in rankings])[:most]

    def size(self) -> dict[str, int]:
        """How many chunks and segments it has, and bytes on the disk."""
        segments = self._open()
        files = [path for name in segments for path in (self.folder / name).iterdir()]
        return {
            "chunks": sum(map(len, segments.values())),
            "segments": len(segments),
            "bytes": sum(path.stat().st_size for path in files),
        }

    def _open(self) -> dict[str, Segment]:
        """What is there now; another process may have added, merged, or deleted everything."""
        while True:
            names = self._named()
            try:
                segments = {name: self._segments.get(name) or Segment.load(self.folder / name) for name in names}
            except (OSError, ValueError, EOFError, UserError):
                if self._named() == names:  # nobody merged meanwhile: somebody has deleted or harmed a part of it
                    (self.folder / MANIFEST).unlink(missing_ok=True)
                continue
            self._segments = segments
            return segments

    def _named(self) -> list[str]:
        try:
            kept = json.loads((self.folder / MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError):
            return []
        known = kept.get("form") == FORM and kept.get("encoder") == self.encoder
        return list(kept["segments"]) if known else []

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.folder / "lock"):
            self._put(list(self._open()))
            yield

    def _append(self, batch: Sequence[tuple[int, Chunks]]) -> None:
        words = [text for _, chunks in batch for _, text in chunks]
        marks = np.array([mark(text) for text in words], dtype=np.uint64)
        keys = np.array([key for _, chunks in batch for key, _ in chunks], dtype=np.int64)
        documents = np.array([document for document, chunks in batch for _ in chunks], dtype=np.int64)
        vectors = self._vectors(words, marks)
        if self.shared is not None:
            self.shared.put(keys, documents, marks, vectors)
            vectors = vectors[:, :0]
        held = np.array([document for document, _ in batch], dtype=np.int64)
        self._put([*self._segments, *self._write(Segment(keys, documents, marks, vectors, held, Postings.of(words)))])

    def _vectors(self, words: Sequence[str], marks: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Unit vectors, (n, d); of words that were encoded before, those of then."""
        if self.encode is None:
            return np.zeros((len(words), 0), dtype=np.float32)
        known = self.shared.known(marks) if self.shared is not None else self._known(marks)
        new = {int(each): text for each, text in zip(marks, words, strict=True) if int(each) not in known}
        if new:
            known |= dict(zip(new, unit(self.encode(list(new.values()))), strict=True))
        return np.stack([known[int(each)] for each in marks])

    def _known(self, marks: NDArray[np.uint64]) -> dict[int, NDArray[np.float32]]:
        known: dict[int, NDArray[np.float32]] = {}
        for segment in self._segments.values():
            _, rows, _ = np.intersect1d(segment.marks, marks, return_indices=True)
            known |= {int(segment.marks[row]): np.asarray(segment.vectors[row]) for row in rows}
        return known

    def _merge(self, documents: IntArray) -> None:
        """Make one of many segments of about the same size, and leave out what no longer stands where that is most of a segment."""
        while together := self._to_merge(documents):
            made = merged([self._segments[name] for name in together], documents)
            self._put([*(name for name in self._segments if name not in together), *self._write(made)])

    def _to_merge(self, documents: IntArray) -> list[str]:
        levels: dict[int, list[str]] = {}
        for name, segment in self._segments.items():
            if np.isin(segment.documents, documents).sum() * 2 < len(segment):
                return [name]
            levels.setdefault(max(len(segment), BATCH // 8).bit_length() // 3, []).append(name)
        return next((names for names in levels.values() if len(names) >= MANY), [])

    def _write(self, segment: Segment) -> list[str]:
        """The new name of a segment, whole; none where it has no rows."""
        if not len(segment):
            return []
        name = f"segment-{secrets.token_hex(8)}"
        staged = self.folder / f"incoming-{secrets.token_hex(8)}"
        with full_disk_in_words(staged):
            staged.mkdir()
            segment.save(staged)
            os.replace(staged, self.folder / name)
        return [name]

    def _put(self, names: Sequence[str]) -> None:
        """Let the index be these segments; what else lies there (kills leave it, and merges) goes."""
        with atomic_write(self.folder / MANIFEST) as file:
            file.write(json.dumps({"form": FORM, "encoder": self.encoder, "segments": list(names)}, indent=1).encode())
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in names:
                shutil.rmtree(path, ignore_errors=True)
        self._open()


def unit(vectors: FloatArray) -> NDArray[np.float32]:
    """Vectors, (n, d), at length 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def _batches(documents: Iterable[tuple[int, Chunks]]) -> Iterator[list[tuple[int, Chunks]]]:
    """Documents together until they have BATCH chunks; those without any are gone, and left out."""
    batch, size = list[tuple[int, Chunks]](), 0
    for document, chunks in documents:
        if chunks:
            batch.append((document, chunks))
            size += len(chunks)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _best(keys: IntArray, scores: FloatArray | NDArray[np.float32], most: int, allowed: NDArray[np.bool_]) -> list[tuple[int, float]]:
    rows = np.flatnonzero(allowed)
    if len(rows) > most:
        values = scores[rows]
        rows = rows[values >= np.partition(values, len(rows) - most)[len(rows) - most]]
    order = np.lexsort((keys[rows], -scores[rows]))[:most]
    return [(int(keys[row]), float(scores[row])) for row in rows[order]]
