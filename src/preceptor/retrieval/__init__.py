"""Documents found again: read, cut into chunks, searched by words and by meaning, and both lists fused."""

from preceptor.retrieval.hits import Hit

__all__ = ["Hit"]
