"""Projects whose commands run in processes of their own, which may be killed or run out of space."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preceptor import Project

Run = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); os.execv(sys.argv[2], sys.argv[2:])"


@pytest.fixture(scope="session")
def preceptor() -> Run:
    """Runs `preceptor ARGS…` in a folder; with a limit, no file may grow beyond so many bytes."""

    def run(folder: Path, *args: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
        limited = [] if limit is None else [sys.executable, "-c", LIMIT, str(limit)]
        command = [*limited, sys.executable, "-m", "preceptor", *args]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=alone)

    return run


@pytest.fixture(scope="session")
def fill() -> Callable[[Path], Path]:
    """Makes a project of 60 reviews, each judged by two people, in a folder."""

    def make(folder: Path) -> Path:
        project = Project.create(folder, gate={"bounds": ["accuracy.high <= 1"]})
        project.add_question("sentiment", "choice", ["negative", "positive"])
        project.add_items({"id": f"r-{n}", "group": f"g-{n // 3}", "text": f"review {n} says {n * n}"} for n in range(60))
        for n in range(60):
            for person in ("ann", "bob"):
                project.add_annotator(person)
                project.judge(f"r-{n}", "sentiment", annotator=person, answer=("negative", "positive")[n % 2])
        project.close()
        return folder

    return make


@pytest.fixture(scope="session")
def held() -> Callable[[Path], dict[str, int]]:
    """How many items, judgments and snapshots a project has."""

    def count(folder: Path) -> dict[str, int]:
        project = Project.open(folder)
        status = project.status()
        project.close()
        return {name: status[name] for name in ("items", "judgments", "snapshots")}

    return count


@pytest.fixture(scope="session")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 5,000 reviews with a label each: some 2 MB in the database."""
    path = tmp_path_factory.mktemp("more") / "more.csv"
    words = "another review in some more words, as long as reviews are when people take the time to write them"
    rows = (f'm-{n},"{words}, and then {n}, {n * 7} and {n * 9}",positive\n' for n in range(5000))
    path.write_text("id,text,label\n" + "".join(rows))
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB; needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here ({mounted.stderr.strip()}); the tests with a limit on file sizes stand in")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
