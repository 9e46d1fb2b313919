"""Check answers against a policy."""

from __future__ import annotations
