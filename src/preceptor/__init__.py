"""Turn human judgment into a better language model, and prove that it is better.

The public names load when they are first used, so that `import preceptor` stays quick.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preceptor.errors import UserError
    from preceptor.project import Project
    from preceptor.types import Estimate

__all__ = ["Estimate", "Project", "UserError"]

__version__ = "0.1.0"

# Read when torch loads. torch's threads wait for each other by spinning; where another process has one of the cores, they
# spin while the one they wait for cannot run, and training was seen to take eight times as long (docs/experiments.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_HOMES = {"Estimate": "preceptor.types", "Project": "preceptor.project", "UserError": "preceptor.errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'preceptor' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
