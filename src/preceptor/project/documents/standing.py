"""Which documents stand, and pass filters: looked up anew only when others stand than before, for everybody in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from preceptor.domain.results import IntArray
from preceptor.retrieval.filters import passes
from preceptor.store import Database, documents

Row = Mapping[str, Any]
_MOST = 64  # sets of filters whose documents are remembered
_KNOWN: WeakKeyDictionary[Database, Standing] = WeakKeyDictionary()


class Standing:
    """The documents of a database that stand, with their metadata read, and the keys of those that pass filters."""

    def __init__(self, state: tuple[int, int], rows: Sequence[Row]) -> None:
        self.state = state
        self.rows = [{**row, "metadata": json.loads(row["metadata"])} for row in rows]
        self._passing: dict[str, IntArray] = {}

    @classmethod
    def now(cls, database: Database) -> Standing:
        """As of now."""
        with database.reading() as connection:
            state, known = documents.state(connection), _KNOWN.get(database)
            if known is None or known.state != state:
                known = _KNOWN[database] = cls(state, documents.standing(connection))
        return known

    def keys(self, filters: Mapping[str, Any] | None = None) -> IntArray:
        """Keys of the documents that pass, in order of their names; without filters, of all that stand, valid today or not."""
        if filters is None:
            return np.array([row["pk"] for row in self.rows], dtype=np.int64)
        today = datetime.now(UTC).date().isoformat()
        asked = json.dumps([today, filters], sort_keys=True, default=str)
        if (found := self._passing.get(asked)) is None:
            passing = [row["pk"] for row in self.rows if passes(row["metadata"], filters, today=today)]
            found = np.array(passing, dtype=np.int64)
            if len(self._passing) >= _MOST:
                self._passing.clear()
            self._passing[asked] = found
        return found
