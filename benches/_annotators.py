"""Simulated annotators over raw sockets: one thread and one selector for all, so that they leave the machine to the server.

Run as a process of its own: the order as one JSON document on stdin, what came of it on stdout.
"""

from __future__ import annotations

import json
import random
import resource
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any


@dataclass
class Annotator:
    """Asks, thinks, answers, and so on, over one connection that is kept open."""

    number: int
    token: str
    connection: socket.socket
    buffer: bytes = b""
    slot: int = 0
    asked: float = 0.0
    waited: float = 0.0
    times: list[tuple[float, float]] = field(default_factory=list)  # seconds for next, and for submit
    kept: list[int] = field(default_factory=list)  # numbers of judgments that were acknowledged
    through: bool = False

    def ask(self) -> None:
        self._send(b"GET /api/v1/next HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %b\r\n\r\n" % self.token.encode())

    def answer(self) -> None:
        body = json.dumps({"slot": self.slot, "answer": "yes", "seconds": 2.0, "key": f"{self.number}/{self.slot}"}).encode()
        head = "POST /api/v1/judgments HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        self._send(f"{head}authorization: Bearer {self.token}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    def hear(self) -> tuple[int, bytes] | None:
        """Status and body, once the whole reply is there."""
        self.buffer += self.connection.recv(65536) or self._hung_up()
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        status = int(head[9:12])
        _, _, after = head.lower().partition(b"content-length:")
        length = int(after.split(b"\r\n")[0]) if after else 0
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        return status, rest[:length]

    def _send(self, message: bytes) -> None:
        self.asked = time.perf_counter()
        self.connection.sendall(message)

    def _hung_up(self) -> bytes:
        raise ConnectionError(f"the server hung up on annotator {self.number}")


def drive(port: int, tokens: list[str], seconds: float, think: float) -> dict[str, Any]:
    """Let them work for so many seconds; think: mean seconds between being handed an item and answering it (0: none)."""
    rng, selector = random.Random(0), selectors.DefaultSelector()
    everyone = []
    for number, token in enumerate(tokens):
        everyone.append(one := Annotator(number, token, socket.create_connection(("127.0.0.1", port))))
        time.sleep(0.003)  # people don't come all in one moment, in which one worker would take them all
        one.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(one.connection, selectors.EVENT_READ, one)
    began = time.perf_counter()
    due: list[tuple[float, int, bool]] = []  # (when, who, whether they answer rather than ask)
    for one in everyone:
        heappush(due, (began + (rng.uniform(0, 2 * think) if think else 0), one.number, False))
    faults: list[str] = []
    busy = 0
    while time.perf_counter() - began < seconds or busy:
        now = time.perf_counter()
        while due and due[0][0] <= now:
            _, number, answers = heappop(due)
            if now - began < seconds or answers:
                (everyone[number].answer if answers else everyone[number].ask)()
                busy += 1
        if not busy and (not due or now - began >= seconds):
            break
        for ready, _ in selector.select(max(min(due[0][0] - now, 0.1), 0) if due else 0.1):
            one = ready.data
            if (reply := one.hear()) is None:
                continue
            busy -= 1
            _heard(one, *reply, due, faults, rng.expovariate(1 / think) if think else 0.0)
    taken = time.perf_counter() - began
    return {
        "seconds": taken,
        "times": [pair for one in everyone for pair in one.times],
        "kept": [number for one in everyone for number in one.kept],
        "faults": faults,
        "cpu_seconds": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
    }


def _heard(one: Annotator, status: int, body: bytes, due: list[Any], faults: list[str], pause: float) -> None:
    now = time.perf_counter()
    if status == 200 and not one.slot:
        one.slot, one.waited = json.loads(body)["slot"], now - one.asked
        heappush(due, (now + pause, one.number, True))
    elif status in (200, 201):
        one.times.append((one.waited, now - one.asked))
        one.kept.append(json.loads(body)["judgment"])
        one.slot = 0
        heappush(due, (now, one.number, False))
    elif status == 204:
        one.through = True
    else:
        faults.append(f"{status} {body[:200]!r}")
        one.slot = 0
        heappush(due, (now + 0.1, one.number, False))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(drive(**json.load(sys.stdin))))
