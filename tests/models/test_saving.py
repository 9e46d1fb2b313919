from __future__ import annotations

import errno
import hashlib
from contextlib import suppress

import pytest

from preceptor.errors import UserError
from preceptor.models.atomic_folder import create_folder_atomically, discard_folder, explain_full_disk, weights_digest


def test_a_folder_appears_whole(tmp_path):
    final = tmp_path / "deep" / "model"
    with create_folder_atomically(final) as partial:
        (partial / "a").write_text("1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"
    with create_folder_atomically(final) as partial:
        (partial / "b").write_text("2")
    assert [path.name for path in final.iterdir()] == ["b"]
    assert [path.name for path in final.parent.iterdir()] == ["model"]


def test_a_folder_whose_writing_failed_leaves_nothing(tmp_path):
    with suppress(ZeroDivisionError), create_folder_atomically(tmp_path / "model") as partial:
        (partial / "a").write_text("1")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_told_in_one_way(tmp_path, error):
    with pytest.raises(UserError, match="the disk filled up while writing model"), explain_full_disk(tmp_path / "model"):
        raise error


def test_other_errors_pass(tmp_path):
    with pytest.raises(PermissionError), explain_full_disk(tmp_path / "model"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_discard_removes(tmp_path):
    (tmp_path / "model").mkdir()
    discard_folder(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_weights_digest_is_that_of_the_file_or_of_all(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    (tmp_path / "config.json").write_text("{}")
    one = weights_digest(tmp_path)
    assert one == hashlib.sha256(b"abc").hexdigest()
    (tmp_path / "model-2.safetensors").write_bytes(b"abc")
    assert weights_digest(tmp_path) != one
