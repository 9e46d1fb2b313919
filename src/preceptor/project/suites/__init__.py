"""Suites at work in a project: what a model answers to their prompts, and what judges and people say of it."""
