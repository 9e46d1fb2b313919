"""Files under the digest of their content: written once, never trusted."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.storage import ObjectStore


def test_what_was_put_is_got_under_its_digest(tmp_path):
    objects = ObjectStore(tmp_path / "objects")
    digest = objects.put(b"hello")
    assert digest == objects.put(b"hello") == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert objects.get(digest) == b"hello"
    assert [path.name for path in objects.path(digest).parent.iterdir()] == [digest]


def test_what_was_altered_or_lost_is_told(tmp_path):
    objects = ObjectStore(tmp_path / "objects")
    digest = objects.put(b"hello")
    objects.path(digest).write_bytes(b"hallo")
    with pytest.raises(UserError, match="was altered on disk"):
        objects.get(digest)
    objects.path(digest).unlink()
    with pytest.raises(UserError, match="is missing"):
        objects.get(digest)


def test_a_folder_is_adopted_once(tmp_path):
    objects = ObjectStore(tmp_path / "objects")
    for content in ("first", "second"):
        folder = tmp_path / content
        folder.mkdir()
        (folder / "file").write_text(content)
        assert (objects.adopt(folder, "ab" * 32) / "file").read_text() == "first"
        assert not folder.exists()
