"""Serve the managers' pages: quality, cost and progress of the annotation, people, items, releases. One module for each group of pages."""

from __future__ import annotations

from fastapi import APIRouter

from preceptor.web.manage import checks, import_export, items, overview, people, questions, releases, removal, review

__all__ = ["router"]


router = APIRouter(include_in_schema=False)
for page in (
    overview.router,
    overview.agreement_router,
    removal.retraction_router,
    removal.router,
    people.router,
    items.router,
    review.router,
    review.curation_router,
    checks.router,
    questions.router,
    import_export.router,
    overview.budget_router,
    overview.live_router,
    releases.router,
    overview.log_router,
):
    router.include_router(page)
