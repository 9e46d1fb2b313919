"""Compute the managers' metrics in the background (agreement, quality, pace, completion time), and cache them by state of the judgments.

A fit of a large crowd takes seconds. A page gets the newest value that is there; where judgments have come since, a new one
is computed in the background, and the page says what the one shown rests on. Small projects get fresh values at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Unfinished
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.annotator_quality import measure_annotators
from preceptor.annotation.consensus_index import ConsensusIndex, build_consensus_index
from preceptor.annotation.project_status import measure_certainty
from preceptor.consensus import agreement
from preceptor.errors import UserError
from preceptor.planning.completion_time import forecast_completion
from preceptor.questions import kinds
from preceptor.storage import annotation_stats, questions
from preceptor.storage.connection import now
from preceptor.types import Estimate

if TYPE_CHECKING:
    from preceptor.project import Project


_PERIODS = 10
_MIN_PERIOD_ITEMS = 10  # items with two answers in a part
_BOOTSTRAP_REPLICATES = 400


@dataclass(frozen=True)
class AgreementPeriod:
    """Alpha of the items whose last judgments came within one period: from the first to the last of those numbers."""

    first: int
    last: int
    items: int
    alpha: Estimate


@dataclass(frozen=True)
class AgreementTrend:
    """Alpha in total (None where it is undefined, for `undefined_reason`), and by periods of the work."""

    level: str
    alpha: Estimate | None
    undefined_reason: str
    periods: Sequence[AgreementPeriod]


def measure_agreement_trend(found: ConsensusIndex) -> AgreementTrend:
    """Measure agreement on a question in total and over time: alpha by its kind's level of measurement.

    Periods: the items that at least two people have judged, in the order of their last judgments, in ten equal parts (fewer
    where a part would have under ten). Each item is whole within one part, so that the intervals are independent.
    """
    level = kinds.get(found.judgment_set.question.kind).level
    alpha = agreement(found.judgments, level)
    defined = isfinite(alpha.value)
    return AgreementTrend(level, alpha if defined else None, "" if defined else alpha.method, tuple(_measure_periods(found, level)))


def _measure_periods(found: ConsensusIndex, level: str) -> list[AgreementPeriod]:
    j = found.judgments
    shared = np.flatnonzero(j.counts >= 2)
    parts = min(_PERIODS, len(shared) // _MIN_PERIOD_ITEMS)
    if parts < 2:
        return []
    stretches = []
    for part in np.array_split(shared[np.argsort(found.newest_judgment[shared], kind="stable")], parts):
        inside = np.zeros(j.n_items, dtype=bool)
        inside[part] = True
        alpha = agreement(j.select_rows(inside[j.item_code]), level, replicates=_BOOTSTRAP_REPLICATES)
        if isfinite(alpha.value):
            ends = found.newest_judgment[part]
            stretches.append(AgreementPeriod(int(ends[0]), int(ends[-1]), len(part), alpha))
    return stretches


_DAY_HOURS, _WEEK_HOURS = 24, 168  # hours


@dataclass(frozen=True)
class CompletionForecast:
    """What is left of a question, and when it will be done: hours from `created` (Unix time), with an interval."""

    remaining: int
    hours: Estimate
    created: float


def estimate_completion(project: Project, question: str) -> CompletionForecast:
    """Estimate when all judgments that are requested now will be given, from the pace of the last week, or since the first judgment."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        left, first = annotation_stats.count_missing_judgments(connection, key), annotation_stats.first_live_judgment_time(connection)
        since = _WEEK_HOURS if first is None else min(_WEEK_HOURS, max(1, ceil((now() - first) / 3600)))
        pace = annotation_stats.judgments_per_hour(connection, since)
    return CompletionForecast(left, forecast_completion(pace, left), now())


def count_last_day(project: Project) -> list[int]:
    """Return the judgments in each of the last 24 hours, the newest last."""
    with project.database.reading() as connection:
        return annotation_stats.judgments_per_hour(connection, _DAY_HOURS)


_FIRST_WAIT_SECONDS = 3.0  # seconds that a page waits for a metric that isn't computed yet
_SHORT_SECONDS = 0.3  # seconds of computing for which a page waits rather than show an older value
_MAX_AGE_SECONDS = 10.0  # seconds for which a metric that depends on more than judgments is valid

JudgmentsVersion = tuple[int, ...]


@dataclass(frozen=True)
class DashboardMetric:
    """One metric: its value, or the error; the version of the judgments it rests on, when it was computed and how long that took.

    is_current: whether it rests on all judgments that there are.
    """

    value: Any
    error: UserError | None
    version: JudgmentsVersion
    computed_at: float
    seconds: float
    is_current: bool = True

    @property
    def newest_judgment(self) -> int:
        """The number of the newest judgment when it was computed."""
        return self.version[0]


class DashboardCache:
    """The metrics of one project, cached in this process by name of the metric and of the question."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._cached: dict[tuple[str, str], DashboardMetric] = {}
        self._pending: dict[tuple[str, str], Future[DashboardMetric]] = {}
        self._lock = threading.Lock()
        self._compute_lock = threading.RLock()  # one metric is computed at a time

    def get(self, name: str, question: str = "", *, patience: float | None = None) -> DashboardMetric | None:
        """Return the newest metric there is; None while the first one is being computed, which takes long in a large project.

        Names: landscape, agreement, quality, plan, finish, certainty (agreement and audit), each of a question. patience: seconds to
        wait at most.
        """
        key, version = (name, question), self._version()
        kept = self._cached.get(key)
        if kept is not None and self._is_fresh(name, kept, version):
            return kept
        coming = self._start_computation(key)
        wait = _FIRST_WAIT_SECONDS if kept is None else 3 * kept.seconds + 0.2 if kept.seconds < _SHORT_SECONDS else 0.0
        try:
            return coming.result(timeout=wait if patience is None else min(wait, patience))
        except Unfinished:
            return None if kept is None else replace(kept, is_current=kept.version == version)  # it may be old although nothing is new

    def get_value(self, name: str, question: str = "") -> Any:
        """Return the newest value there is, None while there is none; raises the metric's error."""
        found = self.get(name, question)
        if found is not None and found.error is not None:
            raise found.error
        return None if found is None else found.value

    def _version(self) -> JudgmentsVersion:
        with self.project.database.reading() as connection:
            return annotation_stats.annotation_version(connection)

    @staticmethod
    def _is_fresh(name: str, kept: DashboardMetric, version: JudgmentsVersion) -> bool:
        fresh = name in _JUDGMENT_METRICS or time.monotonic() - kept.computed_at < max(_MAX_AGE_SECONDS, 20 * kept.seconds)
        return kept.version == version and fresh

    def _start_computation(self, key: tuple[str, str]) -> Future[DashboardMetric]:
        with self._lock:
            if key not in self._pending:
                coming: Future[DashboardMetric] = Future()
                self._pending[key] = coming
                threading.Thread(target=self._run_computation, args=(key, coming), daemon=True).start()
            return self._pending[key]

    def _run_computation(self, key: tuple[str, str], coming: Future[DashboardMetric]) -> None:
        try:
            coming.set_result(self._compute_or_reuse(key))
        except BaseException as error:  # raised to whoever waits
            coming.set_exception(error)
        finally:
            with self._lock:
                self._pending.pop(key, None)

    def _compute_or_reuse(self, key: tuple[str, str]) -> DashboardMetric:
        """Return the current metric, cached or computed, from the metrics below it."""
        with self._compute_lock:
            version, kept = self._version(), self._cached.get(key)
            if kept is not None and self._is_fresh(key[0], kept, version):
                return kept
            began, value, fault = time.monotonic(), None, None
            try:
                value = _METRICS[key[0]](self, key[1])
            except UserError as error:
                fault = error
            now = time.monotonic()
            self._cached[key] = DashboardMetric(value, fault, version, now, now - began)
            return self._cached[key]

    def _consensus_index(self, question: str) -> Any:
        found = self._compute_or_reuse(("landscape", question))
        if found.error is not None:
            raise found.error
        return found.value


_METRICS: dict[str, Callable[[DashboardCache, str], Any]] = {
    "landscape": lambda figures, question: build_consensus_index(figures.project, question),
    "agreement": lambda figures, question: measure_agreement_trend(figures._consensus_index(question)),
    "quality": lambda figures, question: measure_annotators(figures.project, figures._consensus_index(question)),
    "plan": lambda figures, question: figures.project.plan(question),
    "finish": lambda figures, question: estimate_completion(figures.project, question),
    "certainty": lambda figures, question: measure_certainty(figures.project, question),
}
_JUDGMENT_METRICS = {"landscape", "agreement", "quality", "plan", "certainty"}
