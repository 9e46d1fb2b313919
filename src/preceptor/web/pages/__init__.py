"""Serve the pages that annotators work on."""
