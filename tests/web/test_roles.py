"""Every route, asked as every role, as programs and as nobody: who is answered is decided here, route by route."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from preceptor.project import ROLES

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
    "POST /api/v1/people/{name:path}/revoke, POST /api/v1/people/{name:path}/retract, POST /api/v1/questions, GET /manage/import, "
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


@pytest.mark.parametrize("route", WANTED, ids=" ".join)
def test_only_who_may_is_answered(measured, route):
    scope = WANTED[route]
    for who, answered in measured[route].items():
        if who == "nobody":
            assert answered == (scope == PUBLIC), who
        else:
            may = ROLES.get(who, (who,))
            assert answered == (scope in (PUBLIC, KNOWN) or scope in may), who


def test_the_page_is_up_to_date(access, measured):
    assert (DOCS / "access.md").read_text(encoding="utf-8") == access.page(measured), "run: make docs"
