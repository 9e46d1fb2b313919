"""Write docs/access.md: every route of the pages and the API, asked as every role, as programs, and as nobody.

Nothing here says who may do what: it is measured. Run: make docs. A test compares the page with what this would write.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from preceptor import Project
from preceptor.project import ROLES, SCOPES, Access
from preceptor.web.app import create_app

PAGE = Path(__file__).with_name("access.md")
DOORS = ("/login", "/join/{secret}", "/crowd/{secret}", "/feedback/{answer}")  # for who isn't known yet; what they bring decides
WEB_SCOPES = ("annotate", "review", "read", "items", "manage")  # the others are for OpenAI's interface
PARTS = {"number": "1", "slot": "1", "name": "ann", "question": "q", "what": "items", "item": "i", "kind": "item", "format": "csv"}
PARTS["secret"] = "none"
OPENING = """# Who may do what

Written by `docs/generate_access.py`, which asks every route of the pages and the API as everybody; don't edit it, run `make docs`.

A person's link, password and token allow what their role does; a program's token allows its scopes. ● is answered; everything else is
refused, with 401 when nobody is known to ask and 403 otherwise. The doors themselves (`/login`, `/join/…`, `/crowd/…`) are for those who
aren't known yet: a password, a link or a study's link opens them, and `/feedback/…` a signed link to one answer.

| scope | allows to |
|---|---|
"""


def routes_of(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of each route, those of routers within too."""
    for route in routes:
        if (within := getattr(route, "original_router", None)) is not None:
            yield from routes_of(within.routes, prefix + route.include_context.prefix)
        elif methods := getattr(route, "methods", None):
            yield from ((method, prefix + route.path) for method in sorted(methods - {"HEAD"}))


def made(folder: Path) -> tuple[FastAPI, dict[str, str]]:
    """The application of a small project, and a token for each who asks."""
    project = Project.create(folder)
    project.add_question("q", "choice", ["a", "b"])
    project.add_items([{"id": "i", "content": "text"}])
    project.judge("i", "q", annotator="ann", answer="a")
    access = Access(project)
    tokens = {role: access.invite(f"the {role}", role)["token"] for role in ROLES}
    tokens |= {scope: access.application(f"program {scope}", [scope])["token"] for scope in WEB_SCOPES}
    project.close()
    return create_app(folder), tokens


def is_answered(app: FastAPI, method: str, path: str, token: str | None) -> bool:
    """Whether a request gets past the doors; what it lacks besides is another matter."""
    with TestClient(app, follow_redirects=False, raise_server_exceptions=False) as client:
        form = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)
        address = re.sub(r"{(\w+)(:path)?}", lambda part: PARTS[part[1]], path)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if path.startswith("/api/"):
            answer = client.request(method, address, headers=headers, json={} if method == "POST" else None)
        else:
            answer = client.request(method, address, headers=headers, data={"csrf": form[1] if form else ""} if method == "POST" else None)
        to_login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
        return answer.status_code not in (401, 403) and not (to_login and path not in ("/", "/logout"))


def measured() -> dict[tuple[str, str], dict[str, bool]]:
    """(method, path) -> who is answered."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        routes = [each for each in routes_of(made(Path(folder) / "routes")[0].routes) if each[1] not in DOORS]
        for number, (method, path) in enumerate(routes):
            app, tokens = made(Path(folder) / str(number))  # each route meets the same project: some of them end tokens
            asking = {"nobody": None, **tokens}
            found[method, path] = {who: is_answered(app, method, path, token) for who, token in asking.items()}
    return found


def page(found: dict[tuple[str, str], dict[str, bool]]) -> str:
    """The whole page."""
    who = list(next(iter(found.values())))
    lines = [OPENING + "\n".join(f"| `{scope}` | {words} |" for scope, words in SCOPES.items())]
    for title, names in (("People", ["nobody", *ROLES]), ("Programs", WEB_SCOPES)):
        columns = [name for name in who if name in names]
        lines += ["", f"## {title}", "", f"| route | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        lines += [
            f"| `{method} {path.replace(':path', '')}` | {' | '.join('●' if answers[name] else '' for name in columns)} |"
            for (method, path), answers in sorted(found.items(), key=lambda each: (each[0][1], each[0][0]))
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(measured()), encoding="utf-8")
