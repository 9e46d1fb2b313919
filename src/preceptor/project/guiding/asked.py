"""What is asked, remembered: it is read for each item handed out and each answer, and seldom changes."""

from __future__ import annotations

import time

from preceptor.domain import Question
from preceptor.store import Connection, Database, questions

FRESH = 1.0  # seconds for which it is taken for granted what is asked


class Asked:
    """The questions of a project. Those that are asked are as of a second ago at most; a version never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[int, Question] = {}
        self._active: list[tuple[int, Question]] = []
        self._until = 0.0

    def by_key(self, connection: Connection, key: int) -> Question:
        """A question by its key, asked still or not."""
        if key not in self._versions:
            self._versions[key] = questions.by_key(connection, key)
        return self._versions[key]

    def active(self, connection: Connection | None = None) -> list[tuple[int, Question]]:
        """(key, question) of what is asked, in order of creation."""
        if time.monotonic() < self._until:
            return self._active
        if connection is None:
            with self._database.reading() as own:
                return self.active(own)
        self._active, self._until = questions.active(connection), time.monotonic() + FRESH
        return self._active

    def form(self, name: str) -> list[Question]:
        """The questions of one form: this one, and those that follow it; NotFound when it isn't asked."""
        everything = [question for _, question in self.active()]
        first = [question for question in everything if question.name == name]
        if not first:
            with self._database.reading() as connection:
                first = [questions.get(connection, name)[1]]
        return [*first, *(question for question in everything if question.follows and question.follows["question"] == name)]

    def forget(self) -> None:
        """Read anew what is asked: it has changed."""
        self._until = 0.0
