"""A project's folder, opened: its configuration, its database, its objects, and what is remembered of them while it is open."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Self

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project.config import FILE, Config
from preceptor.project.file_access import close_to_others
from preceptor.project.guiding.asked import Asked
from preceptor.store import Database, Objects, access, events, people
from preceptor.store.connection import is_blank
from preceptor.store.permissions import make_private_folder


class Opened:
    """A folder with `preceptor.toml`, the tables, and `objects/`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.config = Config.load(self.folder)
        self.database = Database(self.config.url(self.folder), must_exist=True)
        close_to_others(self.folder, group=self.config.shared_with_group)
        try:
            with self.database.reading() as connection:
                events.check_sample(connection)
        except BaseException:
            self.database.close()
            raise
        self.objects = Objects(self.folder / "objects")
        self._keys: dict[str, int] = {}  # annotators met; their keys never change
        self._asked = Asked(self.database)
        self._secret = ""
        self._looked: dict[str, int] = {}  # question -> the newest judgment when guidance last looked

    @classmethod
    def create(cls, folder: str | Path, **settings: Any) -> Self:
        """Make a new project in a new or empty folder; settings are the tables of preceptor.toml (guidance, cost, gate).

        preceptor.toml is written last, so that a folder with one has had its tables: a creation that was killed is begun again by
        the same call. Where only the tables are gone, they are made anew under the configuration that is there.
        """
        path = Path(folder)
        if os.path.isfile(path):
            raise UserError(f"{path} is a file", "choose another name for the project's folder")
        config = Config.parse({"name": path.resolve().name, **settings}, of="the project")
        if there := os.path.exists(path / FILE):  # which is False, not a fault, for a name that is too long
            config = _without_tables(path)
        try:
            make_private_folder(path)
        except OSError as error:
            raise UserError(f"can't make the folder {path}: {error.strerror}", "choose another place for the project") from None
        database = Database(config.url(path.resolve()))
        try:
            with database.writing() as connection:
                events.begin(connection, {"name": config.name})
        finally:
            database.close()
        if not there:
            config.save(path)
        return cls(path)

    @classmethod
    def open(cls, folder: str | Path = ".") -> Self:
        """The project in a folder; UserError when there is none."""
        return cls(folder)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config.name!r} in {str(self.folder)!r}>"

    def active(self, connection: Any = None) -> list[tuple[int, Question]]:
        """(key, question) of what is asked, as of a second ago at most."""
        return self._asked.active(connection)

    def forget_questions(self) -> None:
        """Read anew what is asked: it has changed."""
        self._asked.forget()

    def asked(self, connection: Any, key: int) -> Question:
        """A question by its key; a version never changes, so it is read once."""
        return self._asked.by_key(connection, key)

    def key_of(self, connection: Any, annotator: str) -> int:
        """An annotator's key; UserError when nobody is called so."""
        return self._keys.get(annotator) or people.known_key(connection, annotator)

    def secret(self, connection: Any) -> str:
        """A random text of this project, the same on all its servers, so that nobody outside can foresee its draws."""
        if not self._secret:
            self._secret = access.setting(connection, "draws", secrets.token_urlsafe(24))
        return self._secret

    def secret_at_hand(self) -> str:
        """`secret`, for who is in no transaction: only a process's first look at it takes one."""
        if not self._secret:
            with self.database.writing() as connection:
                self.secret(connection)
        return self._secret


def _without_tables(folder: Path) -> Config:
    """The configuration of a folder whose database is gone or empty; UserError where there is a whole project."""
    config = Config.load(folder)
    if not is_blank(config.url(folder.resolve())):
        raise UserError(f"there is a project in {folder} already", f"open it, or choose another folder: preceptor init {folder}-2")
    return config
