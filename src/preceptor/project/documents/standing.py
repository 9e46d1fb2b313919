"""Which documents stand, and pass filters: kept for everybody in this process, and only what came or went since is looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from preceptor.domain.results import IntArray
from preceptor.retrieval.filters import passes
from preceptor.store import Connection, Database, documents

_MOST = 64  # sets of filters whose documents are remembered
_KNOWN: WeakKeyDictionary[Database, Standing] = WeakKeyDictionary()


class Standing:
    """The documents of a database that stand: their metadata by key; erased: keys of those that were erased."""

    def __init__(self, state: tuple[int, int, int], metadata: Mapping[int, Mapping[str, Any]], erased: list[int]) -> None:
        self.state = state
        self.metadata = metadata
        self.erased = np.array(erased, dtype=np.int64)
        self._all = np.fromiter(metadata, dtype=np.int64, count=len(metadata))
        self._passing: dict[tuple[str, str], IntArray] = {}  # (day, filters as JSON) -> keys

    @classmethod
    def now(cls, database: Database) -> Standing:
        """As of now."""
        with database.reading() as connection:
            state, known = documents.state(connection), _KNOWN.get(database)
            if known is None or known.state != state:
                known = _KNOWN[database] = (known or cls((0, 0, 0), {}, []))._followed(connection, state)
        return known

    def keys(self, filters: Mapping[str, Any] | None = None) -> IntArray:
        """Keys of the documents that pass; without filters, of all that stand, valid today or not."""
        if filters is None:
            return self._all
        asked = datetime.now(UTC).date().isoformat(), json.dumps(filters, sort_keys=True, default=str)
        if (found := self._passing.get(asked)) is None:
            found = _passing(self.metadata, filters, asked[0])
            if len(self._passing) >= _MOST:
                self._passing.clear()
            self._passing[asked] = found
        return found

    def _followed(self, connection: Connection, state: tuple[int, int, int]) -> Self:
        """What stands now. What was read once isn't again."""
        new = {row["pk"]: json.loads(row["metadata"]) for row in documents.standing_after(connection, self.state[0])}
        stay = {**self.metadata, **new}
        if len(stay) != state[1]:
            now = set(documents.standing_keys(connection).tolist())
            stay = {key: metadata for key, metadata in stay.items() if key in now}
        made = type(self)(state, stay, documents.erased_keys(connection))
        for (day, filters), keys in list(self._passing.items()):
            kept = keys if len(stay) == len(self.metadata) + len(new) else keys[np.isin(keys, made._all)]
            made._passing[day, filters] = np.concatenate([kept, _passing(new, json.loads(filters), day)])
        return made


def _passing(metadata: Mapping[int, Mapping[str, Any]], filters: Mapping[str, Any], today: str) -> IntArray:
    return np.array([key for key, each in metadata.items() if passes(each, filters, today=today)], dtype=np.int64)
