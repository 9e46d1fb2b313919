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


def test_each_command_has_help_that_says_something(run, subtests):
    for name in sorted(COMMANDS):
        with subtests.test(name=name):
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
        out, err = waiting.communicate(timeout=120)
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
    from preceptor.pipeline import diagnostics

    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(diagnostics, "diagnose_machine", broken)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_wrong_usage_is_a_document_too_when_one_is_asked_for(run):
    ran = run("release", "m-1", "--json")
    assert ran.code == 2
    assert "Missing option '--by'" in json.loads(ran.out)["error"]["message"]


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EIO", "ENAMETOOLONG"])
def test_what_the_system_refuses_is_one_line(run, monkeypatch, number):
    """A limit on file sizes ended in a traceback."""
    import errno

    from preceptor.pipeline import diagnostics

    code = getattr(errno, number)

    def refuse():
        raise OSError(code, os.strerror(code), "/somewhere/file")

    monkeypatch.setattr(diagnostics, "diagnose_machine", refuse)
    ran = run("doctor")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("error: /somewhere/file: ")
    assert ("free some space" in ran.err) == (number in {"ENOSPC", "EDQUOT", "EFBIG"})
    assert run("doctor", "--json").document["error"]["where"] == "/somewhere/file"


DEEP = 100_000
NESTED = {
    "preceptor.toml": (f"name = {'[' * DEEP}{']' * DEEP}\n", ["status"]),
    "q.toml": (f"name = {'[' * DEEP}{']' * DEEP}\n", ["question", "add", "q.toml"]),
    "q.json": ("[" * DEEP + "]" * DEEP, ["question", "add", "q.json"]),
    "digits.toml": (f"name = {'9' * 5000}\n", ["question", "add", "digits.toml"]),
    "costs.toml": (f"a = {'{a = ' * DEEP}1{'}' * DEEP}\n", ["plan", "--costs", "costs.toml"]),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_file_nested_without_end_is_one_line(project, run, monkeypatch, name):
    """Each ended in a RecursionError's traceback."""
    content, command = NESTED[name]
    monkeypatch.chdir(project.folder)
    (project.folder / name).write_text(content)
    ran = run(*command)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert name in ran.err


def test_an_option_nested_without_end_is_a_text():
    from preceptor.cli.options import parse_options

    for value in ("[" * DEEP, "9" * 5000):
        assert parse_options([f"epochs={value}"]) == {"epochs": value}
