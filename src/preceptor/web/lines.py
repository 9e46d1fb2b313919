"""Connections of clients that take nothing: what they were to be sent lies in the server's memory, so that they are given up."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.auto import AutoHTTPProtocol

STALLED_SECONDS = 60  # for which a client may take nothing of what lies ready for it


class Line(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection, which the kernel ends (Linux: TCP_USER_TIMEOUT, RFC 5482) when nothing of what was sent is taken for so long."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        line = transport.get_extra_info("socket")
        if line is not None and line.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_SECONDS * 1000))
