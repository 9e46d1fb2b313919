"""Keep chunk vectors in PostgreSQL with pgvector, shared by several servers."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from preceptor.storage import Database, chunk_vectors
from preceptor.types import IntArray


class PgVectorStore:
    """The vectors of one encoder in one database. schema: the one that holds the pgvector extension."""

    def __init__(self, database: Database, encoder: str, schema: str) -> None:
        self._database, self._encoder, self._schema = database, encoder, schema

    @classmethod
    def from_database(cls, database: Database, encoder: str) -> Self | None:
        """Open the vectors of a database, or return None where it isn't PostgreSQL with pgvector."""
        if database.is_single_writer:
            return None
        with database.writing() as connection:
            schema = chunk_vectors.prepare_table(connection)
        return cls(database, encoder, schema) if schema else None

    def find_vectors(self, marks: NDArray[np.uint64]) -> dict[int, NDArray[np.float32]]:
        """Return the vectors of texts that were encoded before, by their fingerprints."""
        with self._database.reading() as connection:
            found = chunk_vectors.find_vectors(connection, self._encoder, _to_signed(marks))
        return {mark % (1 << 64): vector for mark, vector in found.items()}

    def put(self, chunks: IntArray, documents: IntArray, marks: NDArray[np.uint64], made: NDArray[np.float32]) -> None:
        """Store the vectors of chunks, (n, d)."""
        rows = list(zip(chunks.tolist(), documents.tolist(), _to_signed(marks), strict=True))
        with self._database.writing() as connection:
            chunk_vectors.add_vectors(connection, self._schema, self._encoder, rows, made)

    def search(self, vector: NDArray[np.float32], documents: IntArray, most: int) -> list[tuple[int, float]]:
        """Return (chunk, cosine) of the best chunks of these documents, best first; ties are in order of their keys."""
        with self._database.reading() as connection:
            return chunk_vectors.search_vectors(connection, self._schema, self._encoder, vector, documents, most)

    def retain_documents(self, documents: IntArray) -> None:
        """Remove the vectors of all other documents."""
        with self._database.writing() as connection:
            chunk_vectors.retain_documents(connection, documents)

    def remove_documents(self, documents: IntArray) -> None:
        """Remove the vectors of these documents."""
        with self._database.writing() as connection:
            chunk_vectors.remove_documents(connection, documents)


def _to_signed(marks: NDArray[np.uint64]) -> list[int]:
    """Return fingerprints as signed integers, since PostgreSQL has no unsigned ones."""
    return [int(mark) for mark in marks.view(np.int64)]
