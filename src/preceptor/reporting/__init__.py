"""Render reports and model cards, as HTML pages, PDF, Markdown and JSON."""
