"""What the machine has and lacks, in words."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from preceptor.pipeline import diagnostics


def test_everything_is_looked_at(monkeypatch, tmp_path):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tmp_path))
    found = {row["what"]: row for row in diagnostics.diagnose_machine()}
    assert found.keys() == {"Python", *diagnostics.OPTIONAL_PACKAGES, "processor", "disk", "base minilm", "base smollm2"}
    assert found["Python"]["here"]
    assert not found["base minilm"]["here"]
    assert "fetched from PyPI" in found["base minilm"]["summary"]


def test_a_missing_package_comes_with_its_command(monkeypatch):
    def nowhere(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(diagnostics, "version", nowhere)
    found = {row["what"]: row for row in diagnostics.diagnose_machine()}
    assert found["torch"] == {
        "what": "torch",
        "here": False,
        "summary": "needed for training and local models: pip install 'preceptor[train]'",
    }
