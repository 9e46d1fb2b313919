"""Score texts against references."""

from __future__ import annotations
