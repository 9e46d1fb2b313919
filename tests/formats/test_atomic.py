"""A file appears whole or not at all, whatever goes wrong in between."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from preceptor.errors import UserError
from preceptor.formats import atomic_write, write


def test_replaces_whole_and_keeps_the_mode(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    path.chmod(0o640)
    with atomic_write(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_new_file_has_the_usual_mode(tmp_path):
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "new"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_text_is_utf_8_with_line_ends_as_given(tmp_path):
    with atomic_write(tmp_path / "a.txt", "w") as file:
        file.write("é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\r\n\n"


def test_writes_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"x"


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, OSError(errno.EIO, "broken")])
def test_any_exception_leaves_nothing(tmp_path, fault):
    expected = fault if isinstance(fault, type) else type(fault)
    with pytest.raises(expected), atomic_write(tmp_path / "a") as file:  # noqa: PT012
        file.write(b"half")
        raise fault
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_at_the_end_is_one_clear_line(tmp_path, monkeypatch, number, step):
    def full(*_):
        raise OSError(number, os.strerror(number))

    (tmp_path / "a").write_bytes(b"before")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(UserError, match="the disk is full") as caught, atomic_write(tmp_path / "a") as file:
        file.write(b"after")
    assert caught.value.hint == "free some space and run this again; nothing was changed"
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


FILL = """
import resource, sys
from preceptor.errors import UserError
from preceptor.formats import write
import pyarrow.parquet
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    write(({"id": n, "text": f"{n * n} words"} for n in range(300_000)), sys.argv[1])
except UserError as error:
    sys.exit(error.message)
"""


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet"])
def test_really_full_while_writing(tmp_path, name):
    """The system itself refuses the 200,001st byte."""
    done = subprocess.run([sys.executable, "-c", FILL, str(tmp_path / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"the disk is full (or a quota is reached): {name} wasn't written\n")
    assert os.listdir(tmp_path) == []


def test_unusable_places_are_named(tmp_path):
    for path, message in [
        (tmp_path / "none" / "a.csv", "can't write here: No such file or directory"),
        (tmp_path, "can't write here: Is a directory"),
        (tmp_path / ("x" * 300), "can't write here: File name too long"),
    ]:
        with pytest.raises(UserError) as caught:
            write([{"a": 1}], path, format="csv")
        assert (caught.value.message, caught.value.where) == (message, str(path))
    assert os.listdir(tmp_path) == []


KILLED = """
import os, sys
from preceptor.formats import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"x" * 10**6)
    os.kill(os.getpid(), 9)
"""


def test_killed_while_writing_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], check=False).returncode == -9
    assert (tmp_path / "a").read_bytes() == b"before"
