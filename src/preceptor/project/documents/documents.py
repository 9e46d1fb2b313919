"""The documents that a project's answers may rest on: kept in versions, found by words and by meaning."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain.results import IntArray
from preceptor.errors import UserError
from preceptor.project.documents.indexing import index_of
from preceptor.project.documents.standing import Standing
from preceptor.retrieval import Hit
from preceptor.retrieval.chunks import cut
from preceptor.retrieval.filters import check_filters, checked_metadata
from preceptor.retrieval.reading import read_document
from preceptor.store import Objects, documents, events

if TYPE_CHECKING:
    from preceptor.project.project import Project

Tell = Callable[[int, int], None]
_LONGEST_NAME = 200
MOST = 1000  # hits of one search


class Documents:
    """The documents of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = project.config.retrieval

    def add(
        self,
        source: Path | str | bytes,
        *,
        name: str = "",
        metadata: Mapping[str, Any] | None = None,
        by: str = "system",
        index: bool = True,
    ) -> Mapping[str, Any]:
        """Keep a document: a file (by default under its own name), or its bytes under a name. Its row, `new` whether anything changed.

        Another text, or other metadata, under a name that is there is a new version, and the one before is found no longer; without
        metadata it keeps that of the one before. index: search finds it at once; else the next search takes it up.
        UserError for what can't be read; nothing is changed then.
        """
        most = round(self.settings.most_megabytes * 1e6)
        data, name = _bytes_of(source, name, most)
        given = None if metadata is None else checked_metadata(metadata)
        found = read_document(data, name, most_bytes=most, seconds=self.settings.read_seconds)
        chunks = cut(found, self.settings.chunk)
        digest = self.project.objects.put(found.text.encode())
        with self.project.database.writing() as connection:
            before = documents.newest(connection, name)
            meta = given if given is not None else json.loads(before["metadata"]) if before else {}
            if before and before["superseded"] is None and (before["digest"], json.loads(before["metadata"])) == (digest, meta):
                return _shown(before, new=False)
            # First, since it makes writers of PostgreSQL wait for each other: versions are numbered in the order in which they commit.
            events.record(connection, "document added", {"name": name, "digest": digest, "chunks": len(chunks)}, actor=by)
            self.project.objects.put(found.text.encode())  # again, should it have been erased since
            row = documents.add(
                connection,
                name,
                digest=digest,
                media=found.media,
                title=found.title[:500],
                metadata=meta,
                ranges=((chunk.start, chunk.end, chunk.heading) for chunk in chunks),
            )
        if index:
            self.index()
        return _shown(row, new=True)

    def list(self) -> builtins.list[Mapping[str, Any]]:
        """The documents that are found, in order of their names."""
        with self.project.database.reading() as connection:
            return [_shown(row) for row in documents.standing(connection)]

    def get(self, name: str, version: int | None = None) -> Mapping[str, Any]:
        """A document that is found, or one of its versions, with its chunks; NotFound when there is none."""
        with self.project.database.reading() as connection:
            row = documents.get(connection, name, version)
            parts = documents.chunks_of(connection, row["pk"])
        fields = ("number", "start", "end", "heading")
        return {**_shown(row), "chunks": [{field: part[field] for field in fields} for part in parts]}

    def remove(self, name: str, *, by: str = "system") -> None:
        """Let a document be found no longer; what rested on it can still be told. NotFound when there is none."""
        with self.project.database.writing() as connection:
            row = documents.remove(connection, name)
            events.record(connection, "document removed", {"name": name, "version": row["version"], "digest": row["digest"]}, actor=by)

    def text(self, name: str, version: int | None = None) -> str:
        """The extracted text of a document that is found, or of one of its versions; NotFound when there is none."""
        with self.project.database.reading() as connection:
            row = documents.get(connection, name, version)
        return text_of(self.project.objects, row["digest"])

    def search(self, query: str, k: int = 5, filters: Mapping[str, Any] | None = None, *, way: str = "fused") -> builtins.list[Hit]:
        """The k chunks that answer a question best, best first; nothing for a question without any word.

        filters: metadata that a document must have, see `retrieval.filters.passes`. way: lexical, dense or fused.
        """
        if not 1 <= k <= MOST:
            raise UserError(f"a search gives 1 to {MOST:,} chunks, not {k}", "-k 5", where="k")
        check_filters(filters or {})
        query = query.encode("utf-8", "replace").decode()  # halves of characters, which no tokenizer reads
        standing, index = Standing.now(self.project.database), index_of(self.project)
        keys = standing.keys(filters or {})
        if index.holds(standing.erased):  # on another server, whose own index they left at once
            index.forget(standing.erased)
        if len(keys) and len(index.missing(keys)):
            self.index()
        found = index.search(query, keys, k, way=way)
        with self.project.database.reading() as connection:
            rows = documents.chunks_by_key(connection, [key for key, _ in found])
        return [self._hit(rows[key], score) for key, score in found if key in rows]  # not what was superseded this moment

    def index(self, tell: Tell | None = None) -> None:
        """Take up into the index what isn't there yet."""
        index_of(self.project).add(self._keys, self._words, tell=tell)

    def _keys(self) -> IntArray:
        with self.project.database.reading() as connection:
            return documents.standing_keys(connection)

    def _words(self, key: int) -> Sequence[tuple[int, str]]:
        """What the chunks of a document are found by: title and headings, which say what a passage is about, and its text."""
        with self.project.database.reading() as connection:
            row, parts = documents.by_key(connection, key), documents.chunks_of(connection, key)
        if row is None or not parts:
            return []
        text = text_of(self.project.objects, row["digest"])
        above = {part["heading"]: "\n".join(filter(None, dict.fromkeys([row["title"], part["heading"]]))) for part in parts}
        return [(part["pk"], f"{above[part['heading']]}\n{text[part['start'] : part['end']]}".lstrip()) for part in parts]

    def _hit(self, row: Mapping[str, Any], score: float) -> Hit:
        text = text_of(self.project.objects, row["digest"])[row["start"] : row["end"]]
        place = (row["number"], row["start"], row["end"])
        return Hit(row["name"], row["version"], *place, text, row["heading"], score, json.loads(row["metadata"]))


@lru_cache(maxsize=8)
def text_of(objects: Objects, digest: str) -> str:
    """The text under a digest."""
    return objects.get(digest).decode()


def _bytes_of(source: Path | str | bytes, name: str, most: int) -> tuple[bytes, str]:
    """What a document says, of a large file only the beginning, which shows that it is too large; and what it is called."""
    if isinstance(source, bytes):
        data = source
    else:
        path = Path(source)
        name = name or path.name
        if path.exists() and not path.is_file():  # one waits for what may never come of a pipe
            raise UserError("isn't a file", "name a file, or add a folder's files: preceptor documents add FOLDER", where=str(path))
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise UserError(f"can't be read: {error.strerror}", "check the name and the permissions", where=str(path)) from None
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UserError(f"a document can't be called {name!r:.60}", f"1 to {_LONGEST_NAME} printable characters", where="name")
    return data, name


def _shown(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    metadata = row["metadata"]
    fields = {field: row[field] for field in ("name", "version", "digest", "media", "title", "created")}
    shown = {**fields, "metadata": json.loads(metadata) if isinstance(metadata, str) else dict(metadata)}
    return {**shown, **({"chunks": row["chunks"]} if "chunks" in row else {}), **more}
