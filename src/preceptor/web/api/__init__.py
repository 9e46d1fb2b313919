"""Serve the same actions as the pages, as JSON under /api/v1: work, items, questions, people, results; one module for each noun."""

from __future__ import annotations

from fastapi import APIRouter

from preceptor.web.api import docs, items, people, questions, results, work

__all__ = ["router"]


router = APIRouter(prefix="/api/v1")
for part in (work, items, questions, people, results, docs):
    router.include_router(part.router)
