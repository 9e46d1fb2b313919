from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def shapes() -> ModuleType:
    """Learning curves that are known, as `benches/forecasts.py` draws them."""
    spec = importlib.util.spec_from_file_location("curve_shapes", HERE.parents[1] / "benches" / "_curve_shapes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real_curves() -> dict[str, Any]:
    """Errors of linear probes on real tasks, by size and seed, on the curve's held-out rows and on fresh ones.

    Measured by `python -m benches forecasts`, which leaves them in bench-results.
    """
    found: dict[str, Any] = json.loads((HERE / "real_curves.json").read_text(encoding="utf-8"))
    return found
