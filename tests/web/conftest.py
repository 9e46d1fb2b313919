"""A served project in both databases, and programs that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.web.app import create_app


@pytest.fixture
def site(tmp_path, database_url, monkeypatch) -> Iterator[Any]:
    """`project` with a question and 20 items; `app`; `access`; `client(name, role)` and `program(scopes…)`, which send a token."""
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    project = Project.create(tmp_path / "p", annotators={"gold_share": 0.0})
    project.add_question("q", "choice", ["no", "yes"], "Is it?")
    project.add_items({"id": f"i-{n}", "text": f"text {n}"} for n in range(20))
    project.close()
    app = create_app(project.folder)
    access = app.state.preceptor.access

    def asking(token: str = "") -> TestClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return TestClient(app, headers=headers, follow_redirects=False, raise_server_exceptions=False)

    yield SimpleNamespace(
        project=access.project,
        app=app,
        access=access,
        asking=asking,
        client=lambda name="ann", role="annotator", **more: asking(access.invite(name, role, **more)["token"]),
        program=lambda *scopes: asking(access.issue_application_token("program", scopes)["token"]),
    )
    access.project.close()


@pytest.fixture
def error_of() -> Callable[..., dict[str, str]]:
    """The error of an answer, which must be in its one form and have this status."""

    def error(answer: Any, status: int) -> dict[str, str]:
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"message", "hint", "field"}
        return dict(answer.json()["error"])

    return error


@pytest.fixture
def access_of() -> type[AccessControl]:
    """Who may come in, of a project."""
    return AccessControl
