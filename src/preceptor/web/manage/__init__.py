"""The managers' pages: how good the answers are, what they cost, when it is done, and who did what. One module a page."""

from fastapi import APIRouter

from preceptor.web.manage import (
    agreement,
    budget,
    checks,
    curating,
    data,
    items,
    live,
    log,
    overview,
    people,
    questions,
    releases,
    removal,
    retraction,
    review,
)

router = APIRouter(include_in_schema=False)
for page in (
    overview,
    agreement,
    retraction,
    removal,
    people,
    items,
    review,
    curating,
    checks,
    questions,
    data,
    budget,
    live,
    releases,
    log,
):
    router.include_router(page.router)

__all__ = ["router"]
