"""One holder at a time."""

from __future__ import annotations

import threading

import pytest

from preceptor.errors import Conflict
from preceptor.formats.locking import held, locked


def test_who_comes_second_is_refused_until_the_first_is_done(tmp_path):
    path = tmp_path / "folder" / "lock"
    with locked(path):
        with pytest.raises(Conflict, match="another holds it"), locked(path, Conflict("another holds it")):
            pass
        with held(path) as mine:
            assert not mine
    with locked(path, Conflict("another holds it")), held(path, patience=0.05) as mine:
        assert not mine
    with held(path) as mine:
        assert mine


@pytest.mark.parametrize("wait", [lambda path: locked(path), lambda path: held(path, patience=10)])
def test_who_waits_goes_on_when_the_first_is_done(tmp_path, wait):
    order, begun = [], threading.Event()

    def second():
        begun.set()
        with wait(tmp_path / "lock"):
            order.append("second")

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
