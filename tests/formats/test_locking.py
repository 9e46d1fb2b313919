"""One holder at a time."""

from __future__ import annotations

import threading

import pytest

from preceptor.errors import ConflictError
from preceptor.formats.file_lock import exclusive_lock, try_exclusive_lock


def test_who_comes_second_is_refused_until_the_first_is_done(tmp_path):
    path = tmp_path / "folder" / "lock"
    with exclusive_lock(path):
        with pytest.raises(ConflictError, match="another holds it"), exclusive_lock(path, ConflictError("another holds it")):
            pass
        with try_exclusive_lock(path) as mine:
            assert not mine
    with exclusive_lock(path, ConflictError("another holds it")), try_exclusive_lock(path, patience=0.05) as mine:
        assert not mine
    with try_exclusive_lock(path) as mine:
        assert mine


@pytest.mark.parametrize("wait", [lambda path: exclusive_lock(path), lambda path: try_exclusive_lock(path, patience=10)])
def test_who_waits_goes_on_when_the_first_is_done(tmp_path, wait):
    order, begun = [], threading.Event()

    def second():
        begun.set()
        with wait(tmp_path / "lock"):
            order.append("second")

    with exclusive_lock(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
