"""Count what a server does, over all its worker processes, for Prometheus.

Workers count into files of their own in the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever is asked adds them up; a single
process needs no folder.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

MULTIPROCESS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # environment variable, read when the library is imported
_ENGINE_COUNTERS = ("requests", "answered", "refused", "cancelled", "late", "failed", "paused", "drawn", "prompt_tokens", "prefix_tokens")
_EXPORT_SECONDS = 1.0  # seconds between two exports of this process's engine to the other processes
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_registry = CollectorRegistry()
_engine_metrics: list[Callable[[], Mapping[str, float]]] = []

request_count = Counter("preceptor_requests", "Requests under /v1.", ["route", "model", "status"], registry=_registry)
request_seconds = Histogram(
    "preceptor_request_seconds", "From a request to the end of its response.", ["route"], buckets=_BUCKETS, registry=_registry
)
first_token_seconds = Histogram(
    "preceptor_first_token_seconds", "From a call to the first token of its answer.", buckets=_BUCKETS, registry=_registry
)
token_count = Counter("preceptor_tokens", "Tokens read and drawn.", ["model", "kind"], registry=_registry)
deferred_count = Counter("preceptor_answers_deferred", "Answers that were left to people.", ["model"], registry=_registry)
logged_count = Counter("preceptor_answers_kept", "Answers that were kept.", ["model"], registry=_registry)
unlogged_count = Counter("preceptor_answers_not_kept", "Answers that went out although they couldn't be kept.", registry=_registry)
broken_stream_count = Counter("preceptor_streams_broken", "Streams that ended with an error.", registry=_registry)
requests_in_progress = Gauge(
    "preceptor_requests_under_way", "Chat calls that aren't answered yet.", multiprocess_mode="livesum", registry=_registry
)
human_wait_count = Gauge("preceptor_waiting_for_people", "Calls that wait for a person.", multiprocess_mode="livesum", registry=_registry)
rejected_wait_count = Counter("preceptor_waits_turned_away", "Calls that didn't wait, since too many did.", registry=_registry)
_engine_gauge = Gauge("preceptor_engine", "What draws: how it stands.", ["figure"], multiprocess_mode="livesum", registry=_registry)
_engine_counter = Counter(
    "preceptor_engine_sum", "What draws: what came of requests, and tokens that they took.", ["figure"], registry=_registry
)
_exported_counts: dict[str, float] = {}  # how much of each engine counter has been exported
_export_lock = threading.Lock()


def register_engine(figures: Callable[[], Mapping[str, float]]) -> None:
    """Export the metrics of this process's generation engine, too; in a server of several processes, to the others every second."""
    _engine_metrics[:] = [figures]
    if MULTIPROCESS_FOLDER_VARIABLE in os.environ:
        threading.Thread(target=_export_periodically, name="metering", daemon=True).start()


def read_engine_metrics() -> Mapping[str, float]:
    """Return the metrics of this process's generation engine; empty before one is registered."""
    return _engine_metrics[0]() if _engine_metrics else {}


def export_engine_metrics() -> None:
    """Write the engine's current metrics to the counters and gauges.

    Counts that only grow are counters, so that they survive this process.
    """
    with _export_lock:
        for name, value in read_engine_metrics().items():
            if name in _ENGINE_COUNTERS:
                _engine_counter.labels(name).inc(value - _exported_counts.get(name, 0))
                _exported_counts[name] = value
            else:
                _engine_gauge.labels(name).set(value)


def render_metrics() -> str:
    """Return all metrics in Prometheus' text format."""
    export_engine_metrics()
    folder = os.environ.get(MULTIPROCESS_FOLDER_VARIABLE)
    if folder is None:
        return generate_latest(_registry).decode()
    _forget_dead_processes(Path(folder))
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(together).decode()


def _export_periodically() -> None:
    while True:
        time.sleep(_EXPORT_SECONDS)
        export_engine_metrics()


def _forget_dead_processes(folder: Path) -> None:
    """Drop the live gauges of worker processes that have ended."""
    for process in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*_*.db")}:
        if not Path(f"/proc/{process}").exists() and Path("/proc").exists():
            multiprocess.mark_process_dead(int(process), folder)  # type: ignore[no-untyped-call]
