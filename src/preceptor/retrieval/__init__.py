"""Documents found again: read, cut into chunks, searched by words and by meaning, and both lists fused."""

from __future__ import annotations

from preceptor.retrieval.search import SearchHit

__all__ = ["SearchHit"]
