"""Write docs/access.md: every route of the pages and the API, asked as every role, as programs, and as nobody; and every route under
/v1, asked for what is one program's by that program, by another, by a manager and by nobody.

Nothing here says who may do what: it is measured. Run: make docs. A test compares the page with what this would write.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from preceptor import Project
from preceptor.annotation import ROLES, SCOPES
from preceptor.jobs.fine_tuning_jobs import FineTuningQueue
from preceptor.storage import artifacts, jobs
from preceptor.types import Model, json_digest
from preceptor.web.app import create_app

PAGE = Path(__file__).with_name("access.md")
DOORS = ("/login", "/join/{secret}", "/crowd/{secret}", "/feedback/{answer}")  # for who isn't known yet; what they bring decides
WEB_SCOPES = ("annotate", "review", "read", "items", "manage")  # the others are for OpenAI's interface
PARTS = {"number": "1", "slot": "1", "name": "ann", "question": "q", "what": "items", "item": "i", "kind": "item", "format": "csv"}
PARTS["secret"] = "none"
OWNER, ROTATED, OTHER, MANAGER, NOBODY = "its program", "its program, token rotated", "another program", "a manager", "nobody"
TURNS = [{"role": "user", "content": "Can I return the shoes?"}]
OWNERS = """## Whose it is

Files, fine-tuning jobs, the models that these make, answers, and answers left to a person belong to the *program* (or person) that asked
for them, not to one of its tokens: `preceptor people rotate NAME` gives it a new token, and all of it stays. To every other program they
don't exist: they get what an id gets that never was, and no list shows them. Who manages the project sees, cancels and deletes all files
and jobs, and sees answers and deferrals. A model that a job made is its program's alone until it is released or an alias leads to it; that
holds for managers as well, who release it. What no program owns, such as a file that was there before files had owners and of which the log
doesn't say who uploaded it, is the managers'. What is read again from a model's memory (`cached_tokens`) was sent by the same program.

Asked about a thing of a program (a file, a job, an unreleased model, an answer), each route answers with this HTTP status, or lists the
thing or doesn't. For who may, `POST /v1/chat/completions` and `POST /v1/classify` are 400 here because the model is found, and asked for
what it can't do. A job on another program's file is refused with 400, as one on a file that never was.
"""
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
    project.add_annotator("ann")
    project.judge("i", "q", annotator="ann", answer="a")
    access = project.annotation.access
    tokens = {role: access.invite(f"the {role}", role)["token"] for role in ROLES}
    tokens |= {scope: access.issue_application_token(f"program {scope}", [scope])["token"] for scope in WEB_SCOPES}
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
        routes = [
            each for each in routes_of(made(Path(folder) / "routes")[0].routes) if each[1] not in DOORS and not each[1].startswith("/v1/")
        ]
        for number, (method, path) in enumerate(routes):
            app, tokens = made(Path(folder) / str(number))  # each route meets the same project: some of them end tokens
            asking = {"nobody": None, **tokens}
            found[method, path] = {who: is_answered(app, method, path, token) for who, token in asking.items()}
    return found


class OwnedThings:
    """A project in which a program has one of everything that there is under /v1: a file, a job, a model that isn't released, an answer
    that is kept, and one that was left to a person."""

    def __init__(self, folder: Path) -> None:
        self.project = Project.create(folder)
        access = self.project.annotation.access
        first = access.issue_application_token("program", ["chat", "train"])["token"]
        self.tokens = {OWNER: first, ROTATED: access.rotate_token("program", hours=1, by="ann")["token"]}
        self.tokens[OTHER] = access.issue_application_token("another", ["chat", "train"])["token"]
        self.tokens[MANAGER] = access.invite("boss", "owner")["token"]
        self.visitor = access.authenticate_token(first)
        assert self.visitor is not None
        self.client = TestClient(create_app(self.project.folder), raise_server_exceptions=False)
        self.writer = self._add_model("m-writer", "config.json", {"architectures": ["LlamaForCausalLM"]})
        self.chooser = self._add_model("m-chooser", "demonstrations.json", {})

    def add_file(self) -> str:
        """Its id."""
        file = ("rows.jsonl", b'{"messages": []}')
        answer = self.client.post("/v1/files", files={"file": file}, data={"purpose": "fine-tune"}, headers=self.headers(OWNER))
        return str(answer.json()["id"])

    def add_job(self, status: str = "queued") -> str:
        """Its id."""
        rest = {"base": "smollm2", "training_file": self.add_file(), "hyperparameters": {}, "seed": 1}
        job = FineTuningQueue(self.project).create(self.visitor, **rest)  # type: ignore[arg-type]
        with self.project.database.writing() as connection:
            jobs.transition(connection, job.id, status, of=("validating_files",))
        return job.id

    def add_answer(self) -> str:
        """Its id."""
        id_ = f"chatcmpl-{secrets.token_hex(4)}"
        self.project.monitoring.response_log.log_response(id_, model="m-1", visitor=self.visitor, turns=TURNS, text="No.")
        return id_

    def add_deferral(self) -> str:
        """Its id."""
        assert self.visitor is not None
        return self.project.monitoring.deferrals.defer("chatcmpl-2", "m-1", TURNS, "No.", 0.2, self.visitor.credential, 60)

    def headers(self, who: str) -> dict[str, str]:
        """With somebody's token; nobody has none."""
        return {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}

    def _add_model(self, id_: str, file: str, content: dict[str, Any]) -> str:
        """A model without weights, which a job has made; what programs call it by. file: what tells its kind."""
        folder, name = self.project.objects.path(json_digest(id_)), f"ft:smollm2:{self.project.config.name}::{id_}"
        folder.mkdir(parents=True)
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
        with self.project.database.writing() as connection:
            artifacts.add_model(connection, Model(id_, folder, {}), run="r-1", snapshot="s")
        job = self.add_job()
        with self.project.database.writing() as connection:
            jobs.transition(connection, job, "succeeded", of=("queued",))
            jobs.update_fields(connection, job, model=id_, fine_tuned_model=name)
        return name


def owned_requests(things: OwnedThings) -> dict[tuple[str, str], Callable[[], dict[str, Any]]]:
    """(method, path) of each route under /v1 -> what to ask it about a thing of the program, made anew for each call."""
    job, file = "/v1/fine_tuning/jobs/{id_}", "/v1/files/{id_}"
    return {
        ("POST", "/v1/files"): lambda: {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": "fine-tune"}},
        ("GET", "/v1/files"): lambda: {"lists": things.add_file()},
        ("GET", file): lambda: {"id_": things.add_file()},
        ("GET", f"{file}/content"): lambda: {"id_": things.add_file()},
        ("DELETE", file): lambda: {"id_": things.add_file()},
        ("POST", "/v1/fine_tuning/jobs"): lambda: {"json": {"model": "smollm2", "training_file": things.add_file()}},
        ("GET", "/v1/fine_tuning/jobs"): lambda: {"lists": things.add_job()},
        ("GET", job): lambda: {"id_": things.add_job()},
        ("POST", f"{job}/cancel"): lambda: {"id_": things.add_job()},
        ("POST", f"{job}/pause"): lambda: {"id_": things.add_job()},
        ("POST", f"{job}/resume"): lambda: {"id_": things.add_job("paused")},
        ("GET", f"{job}/events"): lambda: {"id_": things.add_job()},
        ("GET", f"{job}/checkpoints"): lambda: {"id_": things.add_job()},
        ("GET", "/v1/models"): lambda: {"lists": things.writer},
        ("GET", "/v1/models/{name:path}"): lambda: {"name": things.writer},
        ("POST", "/v1/chat/completions"): lambda: {"json": {"model": things.chooser, "messages": TURNS, "n": 2}},  # it gives one
        ("POST", "/v1/classify"): lambda: {"json": {"model": things.writer, "input": "a text"}},  # it doesn't choose
        ("POST", "/v1/feedback"): lambda: {"json": {"answer": things.add_answer(), "thumb": "up"}},
        ("GET", "/v1/deferrals/{deferral}"): lambda: {"deferral": things.add_deferral()},
    }


def asked_by(things: OwnedThings, route: tuple[str, str], who: str) -> str:
    """What a route answers somebody: its status; of a list, whether the thing stands in it."""
    given = owned_requests(things)[route]()
    listed = given.pop("lists", None)
    names = {name: given.pop(name) for name in ("id_", "name", "deferral") if name in given}
    address = re.sub(r"{(\w+)(:path)?}", lambda part: names[part[1]], route[1])
    answer = things.client.request(route[0], address, headers=things.headers(who), **given)
    if listed is None or answer.status_code != 200:
        return str(answer.status_code)
    return "listed" if listed in {each["id"] for each in answer.json()["data"]} else "not listed"


def measured_owners() -> dict[tuple[str, str], dict[str, str]]:
    """(method, path) of each route under /v1 -> who asks about what is a program's -> what they are answered."""
    with tempfile.TemporaryDirectory() as folder:
        things = OwnedThings(Path(folder) / "shop")
        routes = [each for each in routes_of(things.client.app.routes) if each[1].startswith("/v1/")]  # type: ignore[attr-defined]
        found = {route: {who: asked_by(things, route, who) for who in (*things.tokens, NOBODY)} for route in routes}
        things.project.close()
    return found


def owners_page(found: dict[tuple[str, str], dict[str, str]]) -> list[str]:
    """The lines about what is a program's."""
    columns = list(next(iter(found.values())))
    lines = [OWNERS, f"| route | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    rows = sorted(found.items(), key=lambda each: (each[0][1], each[0][0]))
    return lines + [
        f"| `{method} {path.replace(':path', '')}` | {' | '.join(answers[who] for who in columns)} |" for (method, path), answers in rows
    ]


def page(found: dict[tuple[str, str], dict[str, bool]], owners: dict[tuple[str, str], dict[str, str]]) -> str:
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
    return "\n".join([*lines, "", *owners_page(owners)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(measured(), measured_owners()), encoding="utf-8")
