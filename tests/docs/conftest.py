"""What the pages' blocks meet: a small file of reviews, and a tiny base model under the name that the pages use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def page_folder(tmp_path: Path, tiny_cache: Path, write_reviews: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder but for `reviews.csv`, in which `minilm` stands for the tiny model."""
    write_reviews(tmp_path / "reviews.csv")
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path
