"""A project that has served answers, in both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.monitoring.response_log import ResponseLog


@pytest.fixture
def shop(tmp_path, database_url, monkeypatch) -> Iterator[Any]:
    """A project with a question and an item of its own, and `programs`: what two of them come in by."""
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    made: Any = Project.create(tmp_path / "shop", annotators={"gold_share": 0})
    made.add_question("q", "choice", ["no", "yes"])
    made.add_items([{"id": "i", "text": "ordinary"}])
    access = AccessControl(made)
    made.programs = [access.authenticate_token(access.issue_application_token(name, ["chat"])["token"]) for name in ("app", "other")]
    yield made
    made.close()


@pytest.fixture
def served() -> Callable[..., str]:
    """Keeps an answer as it is kept when a program got it; its id."""

    def keep(project: Any, number: int = 1, *, text: str = "No.", **more: Any) -> str:
        id_ = f"chatcmpl-{number}"
        turns = [{"role": "user", "content": f"Can I return the {number} shoes? I am ada@example.org"}]
        given = {"model": "m-1", "visitor": project.programs[0], "inclusion": 0.0, "log_probabilities": [-0.1, -0.4], **more}
        assert ResponseLog(project).log_response(id_, turns=turns, text=text, **given)
        return id_

    return keep
