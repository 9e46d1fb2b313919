"""Store vectors of chunks in PostgreSQL with pgvector: one copy for all servers, searched in the database.

The table isn't part of the schema, since it is derived, and its column's type is the extension's; it is created when it is first
needed, and rebuilt when it was dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from preceptor.storage.connection import batched
from preceptor.types import IntArray

VectorArray = NDArray[np.float32]
_LOCK = 727276
_WHERE = "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
_TABLE = """
CREATE TABLE IF NOT EXISTS chunk_vectors (
  chunk bigint NOT NULL, encoder text NOT NULL, document bigint NOT NULL, mark bigint NOT NULL, vector {type} NOT NULL,
  PRIMARY KEY (encoder, chunk)
)
"""


def prepare_table(connection: Connection) -> str:
    """Create the extension and the table where they are missing; return the extension's schema, empty where it isn't available."""
    if connection.dialect.name != "postgresql":
        return ""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not (schema := connection.execute(text(_WHERE)).scalar()):
        try:
            with connection.begin_nested():
                connection.execute(text("CREATE EXTENSION vector SCHEMA public"))
        except DBAPIError:  # it isn't installed on that machine, or this account may not create it
            return ""
        schema = "public"
    connection.execute(text(_TABLE.format(type=_type(schema))))
    connection.execute(text("CREATE INDEX IF NOT EXISTS chunk_vectors_mark ON chunk_vectors (mark)"))
    return str(schema)


def find_vectors(connection: Connection, encoder: str, marks: Sequence[int]) -> dict[int, VectorArray]:
    """Return the stored vectors of texts with these marks, by mark."""
    query = text("SELECT DISTINCT ON (mark) mark, vector::text FROM chunk_vectors WHERE encoder = :encoder AND mark = ANY(:marks)")
    found: dict[int, VectorArray] = {}
    for batch in batched(marks):
        rows = connection.execute(query, {"encoder": encoder, "marks": list(batch)}).all()
        found |= {mark: np.array(written[1:-1].split(","), dtype=np.float32) for mark, written in rows}
    return found


def add_vectors(connection: Connection, schema: str, encoder: str, rows: Sequence[tuple[int, int, int]], vectors: VectorArray) -> None:
    """Store the vectors of chunks, (chunk, document, mark) each; existing ones stay."""
    statement = text(
        f"INSERT INTO chunk_vectors VALUES (:chunk, :encoder, :document, :mark, CAST(:vector AS {_type(schema)})) ON CONFLICT DO NOTHING"
    )
    values = [
        {"chunk": chunk, "encoder": encoder, "document": document, "mark": mark, "vector": _format_vector(vector)}
        for (chunk, document, mark), vector in zip(rows, vectors, strict=True)
    ]
    if values:
        connection.execute(statement, values)


def search_vectors(
    connection: Connection, schema: str, encoder: str, vector: VectorArray, documents: IntArray, most: int
) -> list[tuple[int, float]]:
    """Return (chunk, inner product) of the `most` best chunks of these documents, best first, by exact search over all of them."""
    apart = f'vector OPERATOR("{schema}".<#>) CAST(:vector AS {_type(schema)})'
    query = text(
        f"SELECT chunk, {apart} AS apart FROM chunk_vectors WHERE encoder = :encoder AND document = ANY(:documents)"
        " ORDER BY apart, chunk LIMIT :most"
    )
    given: dict[str, Any] = {"vector": _format_vector(vector), "encoder": encoder, "documents": documents.tolist(), "most": most}
    return [(int(chunk), -float(far)) for chunk, far in connection.execute(query, given)]


def retain_documents(connection: Connection, documents: IntArray) -> None:
    """Remove the vectors of all other documents."""
    connection.execute(text("DELETE FROM chunk_vectors WHERE NOT document = ANY(:documents)"), {"documents": documents.tolist()})


def remove_documents(connection: Connection, documents: IntArray) -> None:
    """Remove the vectors of these documents."""
    connection.execute(text("DELETE FROM chunk_vectors WHERE document = ANY(:documents)"), {"documents": documents.tolist()})


def _type(schema: str) -> str:
    return f'"{schema}".vector'


def _format_vector(vector: VectorArray) -> str:
    return f"[{','.join(map(repr, vector.tolist()))}]"
