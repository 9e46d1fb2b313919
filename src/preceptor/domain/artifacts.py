"""What is made from consensus: runs, models, releases; and how content is addressed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a recipe."""

    id: str
    recipe: str
    snapshot: str
    base: str
    options: Mapping[str, Any]
    seed: int
    status: str


@dataclass(frozen=True, slots=True)
class Model:
    """A trained artifact: `path` is its folder, `manifest` names base, recipe, snapshot, labels and digests."""

    id: str
    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        recipe, base = self.manifest.get("recipe"), self.manifest.get("base")
        return f"<Model {self.id!r}: {recipe} from {base}, in {str(self.path)!r}>"


@dataclass(frozen=True, slots=True)
class Release:
    """A named person's decision about a model, with the report that was seen at that moment."""

    model: str
    by: str
    decision: str
    report: str
    note: str = ""
    bounds: tuple[Mapping[str, Any], ...] = ()


def digest_of(value: Any) -> str:
    """Hex sha256 of a JSON value in canonical form (sorted keys, no spaces, UTF-8, NaN refused)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
