"""A small project whose people disagree, its application, and browsers of each role."""

from __future__ import annotations

import re
from functools import cache
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from preceptor import Estimate, Project
from preceptor.annotation.access_control import AccessControl
from preceptor.runs import evaluation
from preceptor.storage import artifacts
from preceptor.types import Model
from preceptor.web.app import create_app

ANSWERS = ("negative", "neutral", "positive")
SCRIPT = "<script>alert('out')</script>"
MANY = 60


def fill(project: Project) -> None:
    """60 items in which ann and bob are right five times in six, zed never is; the first five have known answers."""
    project.add_question("mood", "choice", ANSWERS, "How does the writer feel?")
    project.add_items({"id": f"i-{n:03d}", "text": f"text number {n} {SCRIPT}", "group": f"g-{n // 2}"} for n in range(MANY))
    project.add_items([{"id": "fresh", "text": "nobody has seen this"}])
    for n in range(MANY):
        for k, person in enumerate(("ann", "bob", "zed")):
            wrong = person == "zed" or (n + 3 * k) % 6 == 0
            project.add_annotator(person)
            project.judge(f"i-{n:03d}", "mood", annotator=person, answer=ANSWERS[(n + wrong) % 3], seconds=2.0 + k)
    project.add_gold("mood", {f"i-{n:03d}": ANSWERS[n % 3] for n in range(5)}, "As five experts say.")


class Browser:
    """Somebody's browser: pages, and forms sent from them."""

    def __init__(self, app, link: str | None = None) -> None:
        self.client = TestClient(app, follow_redirects=False)
        self.page = self.leads_to = ""
        if link:
            for _ in range(2):  # the first answer is a cookie, the second lets them in
                assert self.client.get(urlsplit(link).path).status_code == 303

    def get(self, address: str, status: int = 200) -> str:
        answer = self.client.get(address)
        assert answer.status_code == status, answer.text
        self.page = answer.text
        return self.page

    def post(self, address: str, status: int = 303, files=None, **fields: str) -> str:
        """Send a form with the token of the page that was seen last."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.page)
        answer = self.client.post(address, data={"csrf": token[1] if token else "", **fields}, files=files)
        assert answer.status_code == status, answer.text
        self.page, self.leads_to = answer.text, answer.headers.get("location", "")
        return self.page


@pytest.fixture(scope="session")
def open_browser():
    """A browser of an application, come in by a link."""
    return Browser


@pytest.fixture(scope="session")
def filled():
    """Fills a new project."""
    return fill


@pytest.fixture(scope="session")
def words():
    """What a page says, without its marks."""
    return lambda page: " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture
def small(tmp_path):
    """`project`, and as it is `served`; `browser(role)`: an owner, a reviewer, an expert, an annotator, or nobody (None); `come(link)`."""
    project = Project.create(tmp_path / "reviews", annotators={"gold_share": 0})
    fill(project)
    app = create_app(project.folder)
    access = AccessControl(app.state.preceptor.project)
    links = {role: access.invite(f"the-{role}", role)["link"] for role in ("owner", "reviewer", "expert", "annotator")}
    yield SimpleNamespace(
        project=project,
        served=app.state.preceptor.project,
        browser=cache(lambda role="owner": Browser(app, links[role] if role else None)),  # a link works in one browser
        come=lambda link: Browser(app, link),
    )
    app.state.preceptor.project.close()
    project.close()


def let_out(project: Project, name: str, accuracy: float, half: float = 0.03) -> None:
    """A model that nobody trained, with a report that says so much about it; the project's bound is accuracy.low >= 0.7."""
    snapshot = project.load_snapshot("frozen") if project.snapshots() else project.snapshot("mood", name="frozen")
    model = Model(name, Path("nowhere"), {"snapshot": snapshot.digest, "recipe": "classify", "base": SCRIPT})
    with project.database.writing() as connection:
        artifacts.add_model(connection, model, run="r", snapshot=snapshot.digest)
    figure = Estimate(accuracy, accuracy - half, accuracy + half, 40, "made up")
    document = {"models": {"tuned": {"accuracy": figure}}, "parity": {"passed": True}, "question": {"name": "mood"}, "title": SCRIPT}
    evaluation.store_report(project, model, snapshot, document, "test")


@pytest.fixture(scope="session")
def measured():
    """Adds a model with a report: (project, id, accuracy, half of its interval)."""
    return let_out
