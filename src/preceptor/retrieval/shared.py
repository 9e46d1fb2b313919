"""Vectors that several servers share in PostgreSQL, in place of files of each."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from preceptor.domain.results import IntArray
from preceptor.store import Database, vectors


class SharedVectors:
    """The vectors of one encoder in one database. schema: where its pgvector is."""

    def __init__(self, database: Database, encoder: str, schema: str) -> None:
        self._database, self._encoder, self._schema = database, encoder, schema

    @classmethod
    def of(cls, database: Database, encoder: str) -> Self | None:
        """Those of a database; None where it isn't PostgreSQL with pgvector."""
        if database.one_writer:
            return None
        with database.writing() as connection:
            schema = vectors.prepare(connection)
        return cls(database, encoder, schema) if schema else None

    def known(self, marks: NDArray[np.uint64]) -> dict[int, NDArray[np.float32]]:
        """The vectors of words that were encoded before, by their marks."""
        with self._database.reading() as connection:
            found = vectors.known(connection, self._encoder, _signed(marks))
        return {mark % (1 << 64): vector for mark, vector in found.items()}

    def put(self, chunks: IntArray, documents: IntArray, marks: NDArray[np.uint64], made: NDArray[np.float32]) -> None:
        """Keep vectors, (n, d), of chunks."""
        rows = list(zip(chunks.tolist(), documents.tolist(), _signed(marks), strict=True))
        with self._database.writing() as connection:
            vectors.put(connection, self._schema, self._encoder, rows, made)

    def best(self, vector: NDArray[np.float32], documents: IntArray, most: int) -> list[tuple[int, float]]:
        """(chunk, cosine) of the best chunks of these documents, best first; equal ones in order of their keys."""
        with self._database.reading() as connection:
            return vectors.best(connection, self._schema, self._encoder, vector, documents, most)

    def keep(self, documents: IntArray) -> None:
        """Remove what isn't of these documents."""
        with self._database.writing() as connection:
            vectors.keep(connection, documents)

    def forget(self, documents: IntArray) -> None:
        """Remove what is of these documents."""
        with self._database.writing() as connection:
            vectors.forget(connection, documents)


def _signed(marks: NDArray[np.uint64]) -> list[int]:
    """PostgreSQL's whole numbers have a sign."""
    return [int(mark) for mark in marks.view(np.int64)]
