"""What is counted while programs are answered, over all worker processes of a server, for Prometheus.

Workers count into files of their own in the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever is asked adds them up; a
process alone needs no folder.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # environment; it is read when the library is imported
SUMS = ("requests", "answered", "refused", "cancelled", "late", "failed", "paused", "drawn", "prompt_tokens", "prefix_tokens")
NOTED_SECONDS = 1.0  # between two times that other processes are told of what draws in this one
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_here = CollectorRegistry()
_figures: list[Callable[[], Mapping[str, float]]] = []

requests = Counter("preceptor_requests", "Requests under /v1.", ["route", "model", "status"], registry=_here)
seconds = Histogram("preceptor_request_seconds", "From a request to the end of its response.", ["route"], buckets=_SECONDS, registry=_here)
first_token = Histogram("preceptor_first_token_seconds", "From a call to the first token of its answer.", buckets=_SECONDS, registry=_here)
tokens = Counter("preceptor_tokens", "Tokens read and drawn.", ["model", "kind"], registry=_here)
deferred = Counter("preceptor_answers_deferred", "Answers that were left to people.", ["model"], registry=_here)
kept = Counter("preceptor_answers_kept", "Answers that were kept.", ["model"], registry=_here)
unkept = Counter("preceptor_answers_not_kept", "Answers that went out although they couldn't be kept.", registry=_here)
broken = Counter("preceptor_streams_broken", "Streams that ended with an error.", registry=_here)
under_way = Gauge("preceptor_requests_under_way", "Chat calls that aren't answered yet.", multiprocess_mode="livesum", registry=_here)
awaiting = Gauge("preceptor_waiting_for_people", "Calls that wait for a person.", multiprocess_mode="livesum", registry=_here)
turned_away = Counter("preceptor_waits_turned_away", "Calls that didn't wait, since too many did.", registry=_here)
_engine = Gauge("preceptor_engine", "What draws: how it stands.", ["figure"], multiprocess_mode="livesum", registry=_here)
_engine_sums = Counter("preceptor_engine_sum", "What draws: what came of requests, and tokens that they took.", ["figure"], registry=_here)
_noted: dict[str, float] = {}  # of the sums, how far they were counted
_noting = threading.Lock()


def watch(figures: Callable[[], Mapping[str, float]]) -> None:
    """Tell the figures of what draws in this process, too; also to other processes, every second."""
    _figures[:] = [figures]
    if FOLDER in os.environ:
        threading.Thread(target=_keep_noting, name="metering", daemon=True).start()


def figures() -> Mapping[str, float]:
    """The figures of what draws in this process; nothing before it is first asked."""
    return _figures[0]() if _figures else {}


def note_figures() -> None:
    """Tell other processes the figures as they are now. What only grows is counted, so that it stays when this process ends."""
    with _noting:
        for name, value in figures().items():
            if name in SUMS:
                _engine_sums.labels(name).inc(value - _noted.get(name, 0))
                _noted[name] = value
            else:
                _engine.labels(name).set(value)


def exposition() -> str:
    """All that was counted, in Prometheus' text format."""
    note_figures()
    folder = os.environ.get(FOLDER)
    if folder is None:
        return generate_latest(_here).decode()
    _forget_ended(Path(folder))
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(together).decode()


def _keep_noting() -> None:
    while True:
        time.sleep(NOTED_SECONDS)
        note_figures()


def _forget_ended(folder: Path) -> None:
    """What was under way in a worker that has ended is no longer under way."""
    for process in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*_*.db")}:
        if not Path(f"/proc/{process}").exists() and Path("/proc").exists():
            multiprocess.mark_process_dead(int(process), folder)  # type: ignore[no-untyped-call]
