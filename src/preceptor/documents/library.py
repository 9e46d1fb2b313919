"""Add, version, index and search the documents of a project.

Documents are kept in versions and found by words and by embeddings. The index and its encoder are opened once per process; so is the list
of active documents with their metadata, of which only changes are read again.
"""

from __future__ import annotations

import builtins
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from preceptor.documents.pgvector_store import PgVectorStore
from preceptor.errors import ConflictError, UserError
from preceptor.models.base_models import BASE_ASSETS, find_base_folder
from preceptor.retrieval import SearchHit
from preceptor.retrieval.chunks import split_document
from preceptor.retrieval.index import ChunkIndex
from preceptor.retrieval.readers import MEDIA_BY_SUFFIX, read_document
from preceptor.retrieval.search import check_filters, matches_filters, validate_metadata
from preceptor.storage import Connection, Database, ObjectStore, documents, events
from preceptor.types import IntArray, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.retrieval.grounded_prompt import GroundingSource


_MAX_FILTER_SETS = 64  # sets of filters whose documents are cached
_active_by_database: WeakKeyDictionary[Database, ActiveDocuments] = WeakKeyDictionary()


class ActiveDocuments:
    """The active documents of a database: their metadata by key, and the keys of those that were erased (`erased_keys`)."""

    def __init__(self, state: tuple[int, int, int], metadata: Mapping[int, Mapping[str, Any]], erased: list[int]) -> None:
        self.state = state
        self.metadata = metadata
        self.erased_keys = np.array(erased, dtype=np.int64)
        self._all_keys = np.fromiter(metadata, dtype=np.int64, count=len(metadata))
        self._keys_by_filter: dict[tuple[str, str], IntArray] = {}  # (day, filters as JSON) -> keys

    @classmethod
    def load(cls, database: Database) -> ActiveDocuments:
        """Load the active documents as they are now."""
        with database.reading() as connection:
            state, known = documents.library_version(connection), _active_by_database.get(database)
            if known is None or known.state != state:
                known = _active_by_database[database] = (known or cls((0, 0, 0), {}, []))._refresh(connection, state)
        return known

    def select_keys(self, filters: Mapping[str, Any] | None = None) -> IntArray:
        """Return the keys of the documents that pass the filters; without filters, of all active documents, valid today or not."""
        if filters is None:
            return self._all_keys
        asked = datetime.now(UTC).date().isoformat(), json.dumps(filters, sort_keys=True, default=str)
        if (found := self._keys_by_filter.get(asked)) is None:
            found = _filter_documents(self.metadata, filters, asked[0])
            if len(self._keys_by_filter) >= _MAX_FILTER_SETS:
                self._keys_by_filter.clear()
            self._keys_by_filter[asked] = found
        return found

    def _refresh(self, connection: Connection, state: tuple[int, int, int]) -> Self:
        """Return the active documents as they are now, reading only what is new."""
        new = {row["pk"]: json.loads(row["metadata"]) for row in documents.list_active_after(connection, self.state[0])}
        stay = {**self.metadata, **new}
        if len(stay) != state[1]:
            now = set(documents.list_active_keys(connection).tolist())
            stay = {key: metadata for key, metadata in stay.items() if key in now}
        made = type(self)(state, stay, documents.list_erased_keys(connection))
        for (day, filters), keys in list(self._keys_by_filter.items()):
            kept = keys if len(stay) == len(self.metadata) + len(new) else keys[np.isin(keys, made._all_keys)]
            made._keys_by_filter[day, filters] = np.concatenate([kept, _filter_documents(new, json.loads(filters), day)])
        return made


def _filter_documents(metadata: Mapping[int, Mapping[str, Any]], filters: Mapping[str, Any], today: str) -> IntArray:
    return np.array([key for key, each in metadata.items() if matches_filters(each, filters, today=today)], dtype=np.int64)


_INDEX_FOLDER = "retrieval"


def open_index(project: Project) -> ChunkIndex:
    """Open the index in the project's folder; the encoder is loaded when it is first needed."""
    shared = None if project.database.is_single_writer else project.database
    return _cached_index(project.folder / _INDEX_FOLDER, project.config.retrieval.encoder, shared)


@lru_cache(maxsize=16)
def _cached_index(folder: Path, base: str, database: Database | None) -> ChunkIndex:
    """Open an index once per process. database: one that several servers share; it keeps the vectors where it has pgvector."""
    if not base:
        return ChunkIndex(folder, "", None)
    which = _encoder_fingerprint(base)
    shared = PgVectorStore.from_database(database, which) if database else None
    return ChunkIndex(folder, which, lambda texts: _load_encoder(find_base_folder(base)).embed(texts), shared)


@lru_cache(maxsize=2)
def _load_encoder(folder: Path) -> Any:
    from preceptor.models.embeddings import TextEncoder

    return TextEncoder(folder)


def _encoder_fingerprint(base: str) -> str:
    """Return what identifies an encoder: its asset's name and digest, or a digest of the sizes and times of the files in its folder."""
    if base in BASE_ASSETS:
        return f"{base} {BASE_ASSETS[base].sha256[:12]}"
    folder, told = find_base_folder(base), hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            told.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}\0".encode())
    return f"{folder.name} {told.hexdigest()[:12]}"


IndexProgress = Callable[[int, int], None]
_MAX_DOCUMENT_NAME_LENGTH = 200
MAX_HITS = 1000  # hits of one search


class DocumentLibrary:
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
        """Add a document from a file (by default under its file name) or from bytes under a name.

        Returns its row, with `new` for whether anything changed. Another text or other metadata under an existing name makes a new version,
        and the previous one is no longer found; without metadata the new version keeps that of the previous one. index: index it at once;
        else the next search does. Raises UserError for a document that can't be read; nothing is changed then.
        """
        most = round(self.settings.max_file_mb * 1e6)
        data, name = _read_source(source, name, most)
        given = None if metadata is None else validate_metadata(metadata)
        found = read_document(data, name, most_bytes=most, seconds=self.settings.parse_cpu_seconds)
        chunks = split_document(found, self.settings.chunk_chars)
        digest = self.project.objects.put(found.text.encode())
        with self.project.database.writing() as connection:
            before = documents.find_newest(connection, name)
            meta = given if given is not None else json.loads(before["metadata"]) if before else {}
            if before and before["superseded"] is None and (before["digest"], json.loads(before["metadata"])) == (digest, meta):
                return _document_view(before, new=False)
            # The event first, since it makes writers of PostgreSQL wait for each other: versions are numbered in the order of commits.
            events.record_event(connection, "document added", {"name": name, "digest": digest, "chunks": len(chunks)}, actor=by)
            self.project.objects.put(found.text.encode())  # again, in case it has been erased since
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
            self.index_documents()
        return _document_view(row, new=True)

    def list(self) -> builtins.list[Mapping[str, Any]]:
        """List the documents that searches find, in order of their names."""
        with self.project.database.reading() as connection:
            return [_document_view(row) for row in documents.list_active(connection)]

    def get(self, name: str, version: int | None = None) -> Mapping[str, Any]:
        """Return an active document, or one of its versions, with its chunks. Raises NotFoundError where there is none."""
        with self.project.database.reading() as connection:
            row = documents.get(connection, name, version)
            parts = documents.list_chunks(connection, row["pk"])
        fields = ("number", "start", "end", "heading")
        return {**_document_view(row), "chunks": [{field: part[field] for field in fields} for part in parts]}

    def remove(self, name: str, *, by: str = "system") -> None:
        """Remove a document from searches; answers that cite it can still be traced to it. Raises NotFoundError where there is none."""
        with self.project.database.writing() as connection:
            row = documents.remove(connection, name)
            events.record_event(
                connection, "document removed", {"name": name, "version": row["version"], "digest": row["digest"]}, actor=by
            )

    def text(self, name: str, version: int | None = None) -> str:
        """Return the extracted text of an active document, or of one of its versions. Raises NotFoundError where there is none."""
        with self.project.database.reading() as connection:
            row = documents.get(connection, name, version)
        return load_document_text(self.project.objects, row["digest"])

    def search(self, query: str, k: int = 5, filters: Mapping[str, Any] | None = None, *, way: str = "fused") -> builtins.list[SearchHit]:
        """Return the k chunks that answer a question best, best first; none for a question without any word.

        filters: metadata that a document must have, see `preceptor.retrieval.search.matches_filters`. way: lexical, dense or fused. Raises
        UserError for a k outside 1 to 1,000.
        """
        if not 1 <= k <= MAX_HITS:
            raise UserError(f"a search gives 1 to {MAX_HITS:,} chunks, not {k}", "-k 5", where="k")
        check_filters(filters or {})
        query = query.encode("utf-8", "replace").decode()  # unpaired surrogates, which no tokenizer reads
        standing, index = ActiveDocuments.load(self.project.database), open_index(self.project)
        keys = standing.select_keys(filters or {})
        if index.holds(standing.erased_keys):  # erased on another server, which removed them from its own index at once
            index.remove_documents(standing.erased_keys)
        if len(keys) and len(index.find_missing(keys)):
            self.index_documents()
        found = index.search(query, keys, k, way=way)
        with self.project.database.reading() as connection:
            rows = documents.chunks_by_key(connection, [key for key, _ in found])
        return [self._search_hit(rows[key], score) for key, score in found if key in rows]  # not those that were superseded a moment ago

    def index_documents(self, tell: IndexProgress | None = None) -> None:
        """Index the active documents that aren't indexed yet."""
        open_index(self.project).add(self._active_keys, self._indexed_texts, tell=tell)

    def _active_keys(self) -> IntArray:
        with self.project.database.reading() as connection:
            return documents.list_active_keys(connection)

    def _indexed_texts(self, key: int) -> Sequence[tuple[int, str]]:
        """Return the texts by which the chunks of a document are found: title and headings, which give the subject, and its own text."""
        with self.project.database.reading() as connection:
            row, parts = documents.by_key(connection, key), documents.list_chunks(connection, key)
        if row is None or not parts:
            return []
        text = load_document_text(self.project.objects, row["digest"])
        above = {part["heading"]: "\n".join(filter(None, dict.fromkeys([row["title"], part["heading"]]))) for part in parts}
        return [(part["pk"], f"{above[part['heading']]}\n{text[part['start'] : part['end']]}".lstrip()) for part in parts]

    def _search_hit(self, row: Mapping[str, Any], score: float) -> SearchHit:
        text = load_document_text(self.project.objects, row["digest"])[row["start"] : row["end"]]
        place = (row["number"], row["start"], row["end"])
        return SearchHit(row["name"], row["version"], *place, text, row["heading"], score, json.loads(row["metadata"]))


@lru_cache(maxsize=8)
def load_document_text(objects: ObjectStore, digest: str) -> str:
    """Load the extracted text with a digest."""
    return objects.get(digest).decode()


def _read_source(source: Path | str | bytes, name: str, most: int) -> tuple[bytes, str]:
    """Return the bytes of a document (of one that is too large only the beginning, which shows it) and its name."""
    if isinstance(source, bytes):
        data = source
    else:
        path = Path(source)
        name = name or path.name
        if path.exists() and not path.is_file():  # reading a pipe might never end
            raise UserError("isn't a file", "name a file, or add a folder's files: preceptor documents add FOLDER", where=str(path))
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise UserError(f"can't be read: {error.strerror}", "check the name and the permissions", where=str(path)) from None
    if not name or len(name) > _MAX_DOCUMENT_NAME_LENGTH or not name.isprintable():
        raise UserError(f"a document can't be called {name!r:.60}", f"1 to {_MAX_DOCUMENT_NAME_LENGTH} printable characters", where="name")
    return data, name


def _document_view(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    metadata = row["metadata"]
    fields = {field: row[field] for field in ("name", "version", "digest", "media", "title", "created")}
    shown = {**fields, "metadata": json.loads(metadata) if isinstance(metadata, str) else dict(metadata)}
    return {**shown, **({"chunks": row["chunks"]} if "chunks" in row else {}), **more}


@dataclass
class AddedDocuments:
    """The result of adding files.

    documents: a row per document. errors: of files that couldn't be read. skipped_files: files of folders that are no documents.
    """

    documents: list[Mapping[str, Any]] = field(default_factory=list)
    errors: list[UserError] = field(default_factory=list)
    skipped_files: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        refused = [{"where": fault.where, "message": fault.message, "hint": fault.hint} for fault in self.errors]
        return {"documents": self.documents, "refused": refused, "passed_over": self.skipped_files}


def add_files(
    project: Project,
    paths: Sequence[Path],
    *,
    name: str = "",
    metadata: Mapping[str, Any] | None = None,
    by: str = "system",
    tell: Callable[[int, int], None] | None = None,
) -> AddedDocuments:
    """Add files, and the text, Markdown, HTML and PDF files of folders.

    A file is named after its file name, or its path relative to the given folder. A file that can't be read is reported and the others are
    added; raises UserError where it is the only one. Raises ConflictError, and adds nothing, where two files would have the same name.
    tell: called with the progress of indexing.
    """
    done, documents = AddedDocuments(), DocumentLibrary(project)
    for called, path in _name_files(paths, name, done).items():
        try:
            done.documents.append(documents.add(path, name=called, metadata=metadata, by=by, index=False))
        except UserError as error:
            done.errors.append(UserError(error.message, error.hint, where=error.where or called))
    if not done.documents and len(done.errors) == 1:
        raise done.errors[0]
    if any(row["new"] for row in done.documents):
        documents.index_documents(tell)
    return done


def _name_files(paths: Sequence[Path], name: str, done: AddedDocuments) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for called, path in _iterate_files(paths, done):
        if (other := found.setdefault(name or called, path)) != path:
            hint = "add the folder above both, whose paths tell them apart, or one after the other with --name"
            raise ConflictError(f"{other} and {path} would both be called {name or called!r}", hint)
    if not found:
        raise UserError(
            "there is no text, Markdown, HTML or PDF in it", f"names end with {', '.join(MEDIA_BY_SUFFIX)}", where=str(paths[0])
        )
    return found


def _iterate_files(paths: Sequence[Path], done: AddedDocuments) -> Iterator[tuple[str, Path]]:
    for given in paths:
        if not given.is_dir():
            yield given.name, given
            continue
        for path in sorted(given.rglob("*")):
            below = path.relative_to(given)
            if any(part.startswith(".") for part in below.parts) or not path.is_file():
                continue
            if path.suffix.lower() in MEDIA_BY_SUFFIX:
                yield below.as_posix(), path
            else:
                done.skipped_files.append(below.as_posix())


@dataclass(frozen=True)
class DocumentSearch:
    """The document search of a run that trains with sources.

    find_sources: returns the sources for a question, best first, at most so many; None where there are no documents. digest: of the
    documents that are searched.
    """

    find_sources: Callable[[str, int], Sequence[GroundingSource]] | None = None
    digest: str = ""

    @classmethod
    def for_project(cls, project: Project) -> DocumentSearch:
        """Build the search over the documents that are active now."""
        documents = DocumentLibrary(project)
        known = [[each["name"], each["version"], each["digest"]] for each in documents.list()]
        if not known:
            return cls()

        def find(question: str, most: int) -> list[GroundingSource]:
            from preceptor.retrieval.grounded_prompt import GroundingSource

            return [GroundingSource.from_hit(hit) for hit in documents.search(question, k=most)]

        return cls(find, json_digest(sorted(known)))

    @property
    def identity(self) -> list[str]:
        """The part of a run's identity that its documents make up."""
        return [self.digest] if self.digest else []
