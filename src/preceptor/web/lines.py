"""Connections of clients that send or take nothing: each costs the server a descriptor and memory, so that they are given up."""

from __future__ import annotations

import asyncio
import socket
import sys

from uvicorn.protocols.http.auto import AutoHTTPProtocol

STALLED_SECONDS = 60  # for which a client may take nothing of what lies ready for it
HEADER_SECONDS = 20.0  # from a connection, or the first byte of its next request, to the end of that request's headers
BODY_SECONDS, BODY_RATE = 60.0, 500  # for which a body may rest; bytes a second that it brings on average, those seconds aside
AGAIN_SECONDS = 1.0  # once more, before a connection is given up: the server itself may have been held up
MOST = 1000  # connections of a process, where descriptors allow them; beyond, who has waited longest with no whole request gives way
OPEN_FILES = 65_536  # descriptors that a process asks for


class Line(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that is closed when its client stalls.

    While it takes nothing of what was sent, the kernel does so (Linux: TCP_USER_TIMEOUT, RFC 5482). While it sends no whole request, we
    do, as nginx's client_header_timeout and Apache's mod_reqtimeout: uvicorn itself waits without end for headers and bodies.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        line = transport.get_extra_info("socket")
        if line is not None and line.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_SECONDS * 1000))
        self._begun = self._heard = self.loop.time()
        self._came, self._last_call = 0, False
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEADER_SECONDS, self._look)
        self._make_room()

    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        if self._timer is None:  # the first byte of a request
            self._begun, self._came, self._last_call = now, 0, False
        self._heard = now
        self._came += len(data)
        super().data_received(data)
        if not self._is_owed():
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_owed(self) -> bool:
        """Whether the client has yet to send the rest of a request."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _is_idle(self) -> bool:
        """Whether nobody misses the connection but a client that is slow to ask: nothing is on its way to it."""
        return self._is_owed() and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    def _left(self) -> float:
        """Seconds that the client still has."""
        now = self.loop.time()
        if self.cycle is None or self.cycle.response_complete:
            return float(self._begun + HEADER_SECONDS - now)
        if self.flow.read_paused:  # what has come isn't read here
            return BODY_SECONDS
        return float(min(self._heard + BODY_SECONDS, self._begun + BODY_SECONDS + self._came / BODY_RATE) - now)

    def _look(self) -> None:
        left = self._left()
        if left <= 0 and self._last_call:
            self._timer = None
            self.transport.abort()
            return
        self._last_call = left <= 0
        self._timer = self.loop.call_later(max(left, AGAIN_SECONDS), self._look)

    def _make_room(self) -> None:
        """Close who has waited longest without a whole request, as nginx does: so that a new one, such as a health check, is answered."""
        if len(self.connections) <= most_connections():
            return
        idle = [each for each in self.connections if each is not self and each._is_idle()]
        if idle:
            min(idle, key=lambda each: each._heard).transport.close()


def allow_open_files() -> None:
    """Ask for as many descriptors as this process may have, which those that it begins inherit."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """How many a process holds: half of its descriptors are for files and the database."""
    if sys.platform == "win32":
        return MOST
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 2))
