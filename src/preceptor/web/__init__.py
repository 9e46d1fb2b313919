"""Serve the pages that people work on, and the same actions as JSON. FastAPI and Jinja2; imported by `preceptor serve` only."""

from __future__ import annotations

from preceptor.web.app import create_app

__all__ = ["create_app"]
