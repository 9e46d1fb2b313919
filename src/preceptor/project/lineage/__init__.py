"""Lineage: from what was made or served back to each judgment and person, and from those forward to what they went into."""

from preceptor.project.lineage.tracing import trace

__all__ = ["trace"]
