"""Canaries as the bench plants them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def planting():
    """`benches/_planting.py`: invented personal data, and how it is set into real texts."""
    sys.path.insert(0, str(Path(__file__).parents[3]))
    try:
        from benches import _planting
    finally:
        sys.path.pop(0)
    return _planting
