"""Every route, asked as every role, as programs and as nobody: who is answered is decided here, route by route."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from preceptor.annotation.access_control import ROLES

DOCS = Path(__file__).parents[2] / "docs"
PUBLIC, KNOWN = "public", "known"  # anybody; anybody who is known, whatever they may do
NEEDS = {
    PUBLIC: "GET /, GET /api/v1/docs, GET /api/v1/openapi.json, GET /health/live, GET /health/ready, POST /logout",
    KNOWN: "GET /api/v1/me",
    "annotate": "GET /api/v1/next, POST /api/v1/judgments, DELETE /api/v1/judgments/{number}, GET /api/v1/judgments/{number}/feedback, "
    "POST /api/v1/slots/{slot}/pass, GET /work, POST /work, GET /work/item, GET /work/guidelines, POST /work/pass, POST /work/undo, "
    "GET /password, POST /password",
    "review": "POST /api/v1/adjudications, GET /curate, GET /curate/next, GET /curate/item, POST /curate/item, POST /curate/undo, "
    "GET /review, GET /review/{slot}, POST /review/{slot}, POST /manage/items/{item:path}",
    "read": "GET /api/v1/consensus/{question:path}, GET /api/v1/export/{what:path}, GET /api/v1/people, GET /api/v1/plan, "
    "GET /api/v1/questions, GET /api/v1/status, GET /manage, GET /manage/agreement, GET /manage/budget, GET /manage/checks, "
    "GET /manage/checks/{name}, GET /manage/export, "
    "GET /manage/export/{what}.{format}, GET /manage/items, GET /manage/items/{item:path}, GET /manage/live, GET /manage/log, "
    "GET /manage/people, GET /manage/people/{name:path}, GET /manage/questions, GET /manage/releases, GET /manage/releases/{name}, "
    "GET /manage/releases/{name}/report, GET /metrics",
    "items": "POST /api/v1/items",
    "manage": "POST /api/v1/people, POST /api/v1/people/{name:path}/pause, POST /api/v1/people/{name:path}/unpause, "
    "POST /api/v1/people/{name:path}/revoke, POST /api/v1/people/{name:path}/retract, POST /api/v1/people/{name:path}/rotate, "
    "POST /api/v1/questions, GET /manage/import, "
    "POST /manage/import, POST /manage/live, GET /manage/invite, POST /manage/invite, POST /manage/people/{name:path}, "
    "GET /manage/questions/edit, "
    "POST /manage/questions/edit, POST /manage/checks/{name}, GET /manage/questions/preview, POST /manage/releases/{name}, "
    "GET /manage/retract/{name:path}, POST /manage/retract/{name:path}, GET /manage/erase/{item:path}, POST /manage/erase/{item:path}, "
    "GET /manage/removed/{kind}/{name:path}, POST /manage/removed/{kind}/{name:path}",
}
WANTED = {tuple(route.split(" ", 1)): scope for scope, routes in NEEDS.items() for route in routes.split(", ")}


@pytest.fixture(scope="module")
def access():
    found = importlib.util.spec_from_file_location("generate_access", DOCS / "generate_access.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured(access):
    return access.measured()


def test_every_route_is_decided_here(measured):
    assert set(measured) == set(WANTED), "a route that came or went: say whom it answers"


def test_only_who_may_is_answered(measured, subtests):
    for route in WANTED:
        with subtests.test(route=route):
            scope = WANTED[route]
            for who, answered in measured[route].items():
                if who == "nobody":
                    assert answered == (scope == PUBLIC), who
                else:
                    may = ROLES.get(who, (who,))
                    assert answered == (scope in (PUBLIC, KNOWN) or scope in may), who


def test_the_page_is_up_to_date(access, measured, owners):
    assert (DOCS / "access.md").read_text(encoding="utf-8") == access.page(measured, owners), "run: make docs"


# Of each route under /v1, about a thing that is one program's: its program (whichever its token), another program, a manager, nobody.
HIDDEN = ("200", "200", "404", "200", "401")
LISTED = ("listed", "listed", "not listed", "listed", "401")
OWNED = {
    "GET /v1/files": LISTED,
    "POST /v1/files": ("200", "200", "200", "200", "401"),
    "GET /v1/files/{id_}": HIDDEN,
    "GET /v1/files/{id_}/content": HIDDEN,
    "DELETE /v1/files/{id_}": HIDDEN,
    "GET /v1/fine_tuning/jobs": LISTED,
    "POST /v1/fine_tuning/jobs": ("200", "200", "400", "200", "401"),
    "GET /v1/fine_tuning/jobs/{id_}": HIDDEN,
    "POST /v1/fine_tuning/jobs/{id_}/cancel": HIDDEN,
    "POST /v1/fine_tuning/jobs/{id_}/pause": HIDDEN,
    "POST /v1/fine_tuning/jobs/{id_}/resume": HIDDEN,
    "GET /v1/fine_tuning/jobs/{id_}/events": HIDDEN,
    "GET /v1/fine_tuning/jobs/{id_}/checkpoints": HIDDEN,
    "GET /v1/models": ("listed", "listed", "not listed", "not listed", "401"),
    "GET /v1/models/{name:path}": ("200", "200", "404", "404", "401"),
    "POST /v1/chat/completions": ("400", "400", "404", "404", "401"),
    "POST /v1/classify": ("400", "400", "404", "404", "401"),
    "POST /v1/feedback": ("201", "201", "404", "201", "401"),
    "GET /v1/deferrals/{deferral}": HIDDEN,
}


@pytest.fixture(scope="module")
def owners(access):
    return access.measured_owners()


def test_every_route_under_v1_says_whose_things_it_shows(owners):
    assert {" ".join(route) for route in owners} == set(OWNED), "a route that came or went: say whom it answers about what"


def test_what_is_a_programs_is_there_for_it_and_its_managers(owners, subtests):
    for route in OWNED:
        with subtests.test(route=route):
            method, path = route.split(" ", 1)
            assert tuple(owners[method, path].values()) == OWNED[route]


def test_what_is_anothers_is_told_as_what_never_was(access, tmp_path):
    """Byte for byte, but for the name that was asked for: what an id that exists is answered must not differ."""
    things = access.OwnedThings(tmp_path / "shop")
    asks = {
        "/v1/files/{}": things.add_file(),
        "/v1/files/{}/content": things.add_file(),
        "/v1/files?after={}": things.add_file(),
        "/v1/fine_tuning/jobs/{}": things.add_job(),
        "/v1/fine_tuning/jobs/{}/events": things.add_job(),
        "/v1/fine_tuning/jobs/{}/checkpoints": things.add_job(),
        "/v1/fine_tuning/jobs?after={}": things.add_job(),
        "/v1/models/{}": things.writer,
        "/v1/deferrals/{}": things.add_deferral(),
    }
    for address, known in asks.items():
        never = known[:-4] + "0000"
        told = [
            things.client.get(address.format(name), headers=things.headers(access.OTHER)).text.replace(name, "ID")
            for name in (known, never)
        ]
        assert "error" in told[0], address
        assert told[0] == told[1], address
    for body in ({"training_file": things.add_file()}, {"training_file": "file-never"}):
        answer = things.client.post("/v1/fine_tuning/jobs", json={"model": "smollm2", **body}, headers=things.headers(access.OTHER))
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_training_file"
    things.project.close()
