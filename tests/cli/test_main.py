"""Exit codes, help, and what goes to which stream."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from preceptor.cli.main import COMMANDS, cli, main


def test_help_lists_every_command(run):
    ran = run("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_help_that_says_something(run, name):
    ran = run(name, "--help")
    assert ran.code == 0
    assert f"Usage: preceptor {name}" in ran.out
    assert cli.get_command(None, name).help


def test_the_version_is_told(run):
    from preceptor import __version__

    assert __version__ in run("--version").out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["statsu"], "Did you mean 'status'?"),
        (["xyzzy"], "See: preceptor --help"),
        (["status", "--colour"], "No such option"),
        (["import"], "Missing argument"),
        (["release", "m-1"], "Missing option '--by'"),
        (["demo", "--data", "books"], "is not one of"),
        (["snapshot", "destroy"], "No such command"),
        ([], "Usage: preceptor"),
    ],
)
def test_wrong_usage_exits_2(run, args, said):
    ran = run(*args)
    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""


def test_an_interrupted_command_exits_130(tmp_path):
    """A real Ctrl-C, while an import waits for another process that holds the database."""
    import fcntl

    from preceptor import Project

    Project.create(tmp_path / "p").close()
    (tmp_path / "rows.csv").write_text("text\nhello\n")
    with (tmp_path / "p" / "preceptor.db-queue").open() as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "preceptor", "import", "rows.csv", "--project", "p"]
        # what a shell starts in the background ignores Ctrl-C, and so would this process
        hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        waiting = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear)
        while not blocked(waiting.pid):
            assert waiting.poll() is None
            time.sleep(0.01)
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert (out, err.strip()) == ("", "interrupted; the same command continues")


def blocked(pid: int) -> bool:
    """Whether the kernel lists the process as waiting for a lock."""
    with open("/proc/locks") as locks:
        return any("->" in line and f" {pid} " in line for line in locks)


def test_a_reader_that_leaves_early_is_no_fault(judged_shop):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        ran = subprocess.run([sys.executable, "-m", "preceptor", "aggregate", "sentiment", "--json"], stdout=closed, stderr=subprocess.PIPE)
    assert b"Traceback" not in ran.stderr


def test_a_fault_of_ours_is_not_dressed_up(monkeypatch):
    import preceptor.project.doctor

    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(preceptor.project.doctor, "examine", broken)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_wrong_usage_is_a_document_too_when_one_is_asked_for(run):
    ran = run("release", "m-1", "--json")
    assert ran.code == 2
    assert "Missing option '--by'" in json.loads(ran.out)["error"]["message"]
