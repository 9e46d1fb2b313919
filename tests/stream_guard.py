"""A stream that one test closes fails that test, and none of those that come after it in the same process."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> None:
    """Begin to capture anew after a phase of a test that has closed what pytest captures by.

    pytest reads its buffers after every phase, and those of capsys as well. One that is closed raises there, before pytest lets go
    of it, and so in every later test. Nothing public reaches these buffers.
    """
    capture: Any = item.config.pluginmanager.getplugin("capturemanager")
    if capture is None or capture._global_capturing is None:
        return
    fixture = capture._capture_fixture
    if fixture is not None and _is_closed(fixture._capture):
        fixture._capture.stop_capturing()
        fixture._capture = capture._capture_fixture = None
    if _is_closed(capture._global_capturing):
        capture._global_capturing.stop_capturing()
        capture._global_capturing = None
        capture.start_global_capturing()
        capture.suspend_global_capture(in_=False)


def _is_closed(streams: Any) -> bool:
    if streams is None:
        return False
    files = (getattr(stream, "tmpfile", None) for stream in (streams.out, streams.err))
    return any(file is not None and file.closed for file in files)
