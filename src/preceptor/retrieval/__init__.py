"""Retrieve documents: read them, split them into chunks, search by words and by vectors, and fuse both rankings."""

from __future__ import annotations

from preceptor.retrieval.search import SearchHit

__all__ = ["SearchHit"]
