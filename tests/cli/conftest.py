"""A shop's project, through the commands alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def shop(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in the current folder with one question, `sentiment`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sentiment.toml").write_text('name = "sentiment"\nkind = "choice"\noptions = ["negative", "positive"]\n')
    assert run("init", "shop").code == 0
    monkeypatch.chdir(tmp_path / "shop")
    assert run("question", "add", "../sentiment.toml").code == 0
    return tmp_path / "shop"


@pytest.fixture
def judged_shop(run, shop: Path) -> Path:
    """The shop with 60 reviews in 20 groups, each judged by ann and bob."""
    rows = [
        {
            "id": f"r-{n}",
            "group": f"g-{n // 3}",
            "text": f"review {n} says {n * n}",
            "label": ("negative", "positive")[n % 2],
            "annotator": who,
        }
        for n in range(60)
        for who in ("ann", "bob")
    ]
    Path("reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("import", "reviews.jsonl", "--question", "sentiment").code == 0
    return shop
