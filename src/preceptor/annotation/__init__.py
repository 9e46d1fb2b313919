"""Assign work to people, and record, combine and import their answers."""
