"""Running the command line in this process, as a user would see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli.main import main


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Runs `preceptor ARGS…`."""

    def call(*args: Any) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        written = capsys.readouterr()
        return Ran(ended.value.code, written.out, written.err)

    return call


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
