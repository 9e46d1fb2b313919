"""What the pages' blocks meet: a small file of reviews, and tiny base models under the names that the pages use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def page_cache(tiny_cache: Path) -> Path:
    """The tiny encoder that stands for `minilm`, and a tiny model that writes in place of `smollm2`."""
    from preceptor.models.base_models import BASE_ASSETS
    from tiny_models import save_decoder

    asset = BASE_ASSETS["smollm2"]
    save_decoder("llama", tiny_cache / f"{asset.package}-{asset.version}-{asset.sha256[:12]}" / "content" / asset.folder)
    return tiny_cache


@pytest.fixture
def page_folder(tmp_path: Path, page_cache: Path, write_reviews: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder but for `reviews.csv`, in which `minilm` and `smollm2` stand for tiny models."""
    write_reviews(tmp_path / "reviews.csv")
    monkeypatch.setenv("PRECEPTOR_CACHE", str(page_cache))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def real_page_folder(tmp_path: Path, write_reviews: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder but for `reviews.csv`, in which the pages' bases are the real ones, fetched where they aren't there."""
    write_reviews(tmp_path / "reviews.csv")
    monkeypatch.delenv("PRECEPTOR_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
