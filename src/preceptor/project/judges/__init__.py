"""Judges of a project, and the local one that it trains."""
