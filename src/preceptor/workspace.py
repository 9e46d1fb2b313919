"""Open a project's folder: configuration, database, objects, file permissions, and the key under which personal data is masked.

Permissions: which accounts of the machine may read the folder; what belongs to the project is closed to others, and what was found
open is reported. Personal data: masked under the project's own key, so that one value always has the same placeholder. Questions:
cached for a second, since they are read for each item assigned and each answer, and seldom change.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from preceptor.config import CONFIG_FILE, ProjectConfig
from preceptor.errors import UserError
from preceptor.quality.pii import find_pii, mask_pii, new_mask_key, pii_placeholder
from preceptor.storage import Connection, Database, ObjectStore, access, events, people, questions
from preceptor.storage.connection import is_empty_database
from preceptor.storage.file_permissions import is_exposed, make_private_folder, restrict_access
from preceptor.types import Question

if TYPE_CHECKING:
    from preceptor.project import Project


_log = logging.getLogger("preceptor.workspace")
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_PRIVATE_FILES = ("preceptor.toml", "preceptor.db", "preceptor.db-wal", "preceptor.db-shm", "preceptor.db-queue", "erasing.json")
_PRIVATE_FOLDERS = (
    "objects", "runs", "answers", "checks", "hosted", "judge", "judges", "lineage", "migration", "retrieval", "scores",
    "side-by-side",
)  # fmt: skip


def restrict_project_access(folder: Path, *, group: bool) -> None:
    """Close the project's files to other accounts, and open them to the folder's group where the group is to share them.

    A folder that existed before the project keeps its mode, since it may be anything (a home, a repository). Where others can look
    into it, the project's own folders are made here, closed, so that nothing is ever written to one that is open.
    """
    if group:
        restrict_access(folder, group=True)
    if is_exposed(folder, group=False):
        for name in _PRIVATE_FOLDERS:
            try:
                make_private_folder(folder / name)
            except OSError:  # others may only read here; whoever may write makes them
                break
    for name in (*_PRIVATE_FILES, *_PRIVATE_FOLDERS):
        restrict_access(folder / name, group=group)
    if found := find_exposed_paths(folder, group=group):
        _log.warning(
            "%s: other accounts of this machine can come at %s; close it: %s", folder, ", ".join(found), chmod_command(folder, found)
        )


def find_exposed_paths(folder: Path, *, group: bool) -> list[str]:
    """Return the project's files and folders that other accounts can reach; none where its folder lets them through to nothing."""
    if not is_exposed(folder, group=group):
        return []
    return [name for name in (*_PRIVATE_FILES, *_PRIVATE_FOLDERS) if is_exposed(folder / name, group=group)]


def chmod_command(folder: Path, found: list[str]) -> str:
    """Return the command by which the owner closes what is open."""
    return f"chmod -R go= {' '.join(str(folder / name) for name in found)}"


class PiiRedactor:
    """Redacts personal data in texts under a key of at least 16 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_connection(cls, connection: Connection) -> Self:
        """Return a redactor with the project's own key, which is made when first needed.

        One value has the same placeholder in all of a project.
        """
        return cls(bytes.fromhex(access.get_or_create_setting(connection, "placeholders", new_mask_key().hex())))

    def redact_text(self, text: str) -> str:
        """Return a text with placeholders for the personal data in it."""
        return mask_pii(text, find_pii([text]), self._key)

    def redact_document(self, value: Any) -> Any:
        """Return a JSON document with each of its texts redacted; names of fields stay."""
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, list):
            return [self.redact_document(each) for each in value]
        return {name: self.redact_document(each) for name, each in value.items()} if isinstance(value, dict) else value

    def offset_mapping(self, text: str) -> Callable[[int], int]:
        """Return a function from a character's position in a text to its position in the redacted text.

        A position inside personal data is mapped to the beginning of its placeholder.
        """
        longer = [
            (each.start, each.end, len(pii_placeholder(each.kind, each.text, self._key)) - (each.end - each.start))
            for each in find_pii([text])
        ]

        def move(place: int) -> int:
            inside = next((start for start, end, _ in longer if start < place < end), place)
            return inside + sum(more for _, end, more in longer if end <= inside)

        return move


def text_redactor(project: Project, connection: Connection) -> Callable[[str], str]:
    """Return the function that prepares strangers' texts for people to see.

    It masks personal data, unless [serving] redact_pii is off, and replaces NUL characters, which models may write and databases can't
    store.
    """
    masked = PiiRedactor.from_connection(connection).redact_text if project.config.serving.redact_pii else str
    return lambda text: masked(text.replace("\0", "\ufffd"))


QUESTION_CACHE_SECONDS = 1.0  # seconds for which the list of active questions is cached


class ProjectCache:
    """What a project reads for each item assigned and each answer, and what seldom or never changes.

    The active questions are as of a second ago at most. A version of a question, an annotator's key and the secret never change.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[int, Question] = {}
        self._active: list[tuple[int, Question]] = []
        self._until = 0.0
        self._annotators: dict[str, int] = {}
        self._secret = ""

    def question_by_key(self, connection: Connection, key: int) -> Question:
        """Return a question by its key, active or not."""
        if key not in self._versions:
            self._versions[key] = questions.by_key(connection, key)
        return self._versions[key]

    def active_questions(self, connection: Connection | None = None) -> list[tuple[int, Question]]:
        """Return (key, question) of each active question, in order of creation."""
        if time.monotonic() < self._until:
            return self._active
        if connection is None:
            with self._database.reading() as own:
                return self.active_questions(own)
        self._active, self._until = questions.list_active(connection), time.monotonic() + QUESTION_CACHE_SECONDS
        return self._active

    def forget_questions(self) -> None:
        """Read the active questions again on next use: they have changed."""
        self._until = 0.0

    def list_form_questions(self, name: str) -> list[Question]:
        """Return the questions of one form: this one, and those that follow it; raises NotFoundError when it isn't active."""
        everything = [question for _, question in self.active_questions()]
        first = [question for question in everything if question.name == name]
        if not first:
            with self._database.reading() as connection:
                first = [questions.get(connection, name)[1]]
        return [*first, *(question for question in everything if question.follows and question.follows["question"] == name)]

    def annotator_key(self, connection: Connection, annotator: str) -> int:
        """Return an annotator's key; raises NotFoundError with the nearest name when there is no such annotator."""
        if annotator not in self._annotators:
            self._annotators[annotator] = people.get_key(connection, annotator)
        return self._annotators[annotator]

    def load_secret(self, connection: Connection) -> str:
        """Return a random text of this project, the same on all its servers, that makes its random choices unpredictable outside."""
        if not self._secret:
            self._secret = access.get_or_create_setting(connection, "draws", secrets.token_urlsafe(24))
        return self._secret

    def get_secret(self) -> str:
        """Return the secret as `load_secret` does, for callers outside a transaction; only the first call opens one."""
        if not self._secret:
            with self._database.writing() as connection:
                self.load_secret(connection)
        return self._secret


class Workspace:
    """An opened project folder: configuration, database and objects."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.config = ProjectConfig.load(self.folder)
        self.database = Database(self.config.database_url(self.folder), must_exist=True)
        restrict_project_access(self.folder, group=self.config.shared_with_group)
        try:
            with self.database.reading() as connection:
                events.check_sample(connection)
        except BaseException:
            self.database.close()
            raise
        self.objects = ObjectStore(self.folder / "objects")
        self.cache = ProjectCache(self.database)
        self._last_redundancy_check: dict[str, int] = {}  # question -> the newest judgment at the last look of the stop rule

    @classmethod
    def create(cls, folder: str | Path, **settings: Any) -> Self:
        """Create a project in a new or empty folder and open it; settings are the tables of preceptor.toml (redundancy, cost, gate).

        preceptor.toml is written last, so that a folder with one has had its tables: a creation that was killed is begun again by
        the same call. Where only the tables are gone, they are made again under the configuration that is there.
        """
        path = Path(folder)
        if os.path.isfile(path):
            raise UserError(f"{path} is a file", "choose another name for the project's folder")
        config = ProjectConfig.parse({"name": path.resolve().name, **settings}, of="the project")
        if there := os.path.exists(path / CONFIG_FILE):  # which is False, not a fault, for a name that is too long
            config = _load_orphaned_config(path)
        try:
            make_private_folder(path)
        except OSError as error:
            raise UserError(f"can't make the folder {path}: {error.strerror}", "choose another place for the project") from None
        database = Database(config.database_url(path.resolve()))
        try:
            with database.writing() as connection:
                events.record_creation(connection, {"name": config.name})
        finally:
            database.close()
        if not there:
            config.save(path)
        return cls(path)

    @classmethod
    def open(cls, folder: str | Path = ".") -> Self:
        """Open the project in a folder; raises UserError when there is none."""
        return cls(folder)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config.name!r} in {str(self.folder)!r}>"


class ProjectService:
    """A part of a project, `project.monitoring` for one: the operations of one package as methods."""

    def __init__(self, project: Project) -> None:
        self.project = project


class ProjectMethod(Generic[_Parameters, _Result]):
    """A function of a project as a method of a service, with the function's own signature and docstring.

    `load` returns the function: its module needn't be imported before it is called.
    """

    def __init__(self, load: Callable[[], Callable[Concatenate[Project, _Parameters], _Result]]) -> None:
        self._load = load

    @overload
    def __get__(self, service: None, owner: type[ProjectService]) -> Callable[Concatenate[Project, _Parameters], _Result]: ...

    @overload
    def __get__(self, service: ProjectService, owner: type[ProjectService]) -> Callable[_Parameters, _Result]: ...

    def __get__(self, service: ProjectService | None, owner: type[ProjectService]) -> Any:
        function = self._load()
        return function if service is None else MethodType(function, service.project)


class ProjectPart(Generic[_Result]):
    """A class over a project as an attribute of a service: one object for each opened project, made when it is first read."""

    def __init__(self, load: Callable[[], Callable[[Project], _Result]]) -> None:
        self._load = load

    def __set_name__(self, owner: type[ProjectService], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, service: None, owner: type[ProjectService]) -> Callable[[Project], _Result]: ...

    @overload
    def __get__(self, service: ProjectService, owner: type[ProjectService]) -> _Result: ...

    def __get__(self, service: ProjectService | None, owner: type[ProjectService]) -> Any:
        if service is None:
            return self._load()
        return service.__dict__.setdefault(self._name, self._load()(service.project))


def _load_orphaned_config(folder: Path) -> ProjectConfig:
    """Load the configuration of a folder whose database is gone or empty; UserError where there is a whole project."""
    config = ProjectConfig.load(folder)
    if not is_empty_database(config.database_url(folder.resolve())):
        raise UserError(f"there is a project in {folder} already", f"open it, or choose another folder: preceptor init {folder}-2")
    return config
