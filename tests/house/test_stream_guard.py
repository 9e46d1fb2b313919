"""One test that closed a stream stopped 1,039 that came after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CLOSED = """
import sys

def test_capsys(capsys):
    sys.stderr.close()

def test_after_capsys(capsys):
    print("a line")
    assert capsys.readouterr().out == "a line\\n"

def test_whole_run():
    sys.stderr.close()

def test_after_whole_run(capfd):
    print("another", file=sys.stderr)
    assert capfd.readouterr().err == "another\\n"
"""


@pytest.mark.integration  # it has pytest to itself
def test_only_those_that_close_a_stream_fail(tmp_path):
    (tmp_path / "test_closed.py").write_text(CLOSED)
    options = ["-q", "-rfE", "-p", "stream_guard", "-p", "no:randomly", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""}
    command = [sys.executable, "-m", "pytest", *options, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    failed = sorted({line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))})
    assert failed == ["test_capsys", "test_whole_run"]
    assert "2 passed" in done.stdout
