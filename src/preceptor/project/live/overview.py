"""How the models that programs call are doing: quality, confidence, what goes to people and what that costs, and what has changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Estimate
from preceptor.errors import NotFound
from preceptor.project.access import DAY
from preceptor.project.live.aliases import Aliases
from preceptor.project.live.confidence import CALIBRATION, THRESHOLD, calibration_of, curve, point_at, says_nothing, settled
from preceptor.project.live.deferring import Deferrals
from preceptor.project.live.kept import AnswersKept, Kept
from preceptor.project.live.quality import Quality, is_of, live_quality
from preceptor.project.live.stream import Verdict, ask_about_drawn, verdicts
from preceptor.project.live.watching import Watch, watches
from preceptor.statistics import proportion
from preceptor.store import deferrals, feedback
from preceptor.store.connection import now

if TYPE_CHECKING:
    from preceptor.project.project import Project

MONTH = 30.0  # days
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # of calls that go to people


@dataclass(frozen=True)
class Served:
    """A model under the name that programs call it by, over some days.

    answers: how many are kept. calls: a month, at the rate of these days. calibration, points: None and empty where nothing calibrates
    it; each point is a share of calls that go to people, with the threshold, the errors among the others, and what it costs a month.
    chosen: the threshold that stands, where one does.
    """

    name: str
    model: str
    answers: int
    calls: Estimate
    quality: Quality
    calibration: dict[str, Any] | None
    points: list[dict[str, Any]]
    chosen: dict[str, Any] | None
    watches: list[Watch]

    @property
    def warning(self) -> str:
        """What a manager must know before they choose a share by its confidence; empty where that tells right from wrong."""
        return says_nothing(self.calibration["apart"]) if self.calibration else ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        quality = {name: value.to_dict() if value else None for name, value in (("good", self.quality.good), ("alone", self.quality.alone))}
        known = self.calibration and {
            **{name: self.calibration[name] for name in ("source", "temperatures", "created", "digest")},
            **{name: self.calibration[name].to_dict() for name in ("right", "ece", "apart")},
        }
        return {
            "name": self.name,
            "model": self.model,
            "answers": self.answers,
            "calls_a_month": self.calls.to_dict(),
            "quality": {**quality, "drawn": self.quality.drawn, "judged": self.quality.judged},
            "calibration": known,
            "warning": self.warning,
            "risk_coverage": self.points,
            "threshold": self.chosen,
            "watched": [each.to_dict() for each in self.watches],
        }


@dataclass(frozen=True)
class Live:
    """All that is served by a project, over some days. deferred: by status; in_time: the share that people answered before the deadline."""

    days: float
    served: list[Served]
    deferred: dict[str, int]
    in_time: Estimate | None
    feedback: dict[str, int]
    price: float
    currency: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        in_time = self.in_time.to_dict() if self.in_time else None
        return {
            "days": self.days,
            "served": [each.to_dict() for each in self.served],
            "deferrals": {**self.deferred, "answered_in_time": in_time},
            "feedback": self.feedback,
            "price_of_an_answer": self.price,
            "currency": self.currency,
        }


def keep_up(project: Project) -> None:
    """What must happen between calls: people are asked about answers drawn since, and not about those that nobody waits for any more."""
    ask_about_drawn(project)
    Deferrals(project).tidy()


def live(project: Project, name: str = "", *, days: float = MONTH) -> Live:
    """How everything is doing that was called in so many days or is calibrated, or one model or alias. NotFound where there is no such."""
    keep_up(project)
    since = now() - days * DAY
    kept, judged = AnswersKept(project).since(since), [each for each in verdicts(project) if each.created >= since]
    standing = {row["name"]: row["model"] for row in Aliases(project).standing()}
    calibrated = settled(project, CALIBRATION)
    names = _names(kept, judged, standing, calibrated)
    shown = list(names)
    if name:
        names = {each: each for each in {*calibrated, *names.values()}} | standing | names
        shown = [name]
    if name and name not in names:
        hint = "see: preceptor live"
        raise NotFound(f"{name!r:.100} is no alias, was not called in {days:g} days, and nothing calibrates it", hint, where="name")
    with project.database.reading() as connection:
        deferred, said = deferrals.counts(connection, since), feedback.counts(connection, since)
    ended = deferred.get("answered", 0) + deferred.get("expired", 0)
    in_time = proportion(deferred.get("answered", 0), ended) if ended else None
    prices = project.config.cost
    price = prices.price("", "write")
    served = [_served(project, each, names[each], kept, judged, since, price) for each in shown]
    return Live(days, served, deferred, in_time, said, price, prices.currency)


def model_of(project: Project, name: str) -> str:
    """The model that a name stands for: an alias's, or the one that is called so itself."""
    return next((row["model"] for row in Aliases(project).standing() if row["name"] == name), name)


def _names(kept: Sequence[Kept], judged: Sequence[Verdict], standing: Mapping[str, str], calibrated: Collection[str]) -> dict[str, str]:
    """By each name that was called or whose model is calibrated, its model; of a model that has an alias there, only that."""
    everything: list[Kept | Verdict] = [*kept, *judged]
    called = Counter((each.alias or each.model, each.model) for each in everything)
    found = {name: model for (name, model), _ in sorted(called.items(), key=lambda each: each[1])}  # the most called comes last, and stays
    found |= {name: model for name, model in standing.items() if name in found or model in calibrated}
    return {**found, **{model: model for model in calibrated if model not in found.values()}}


def _served(project: Project, name: str, model: str, kept: Sequence[Kept], judged: Sequence[Verdict], since: float, price: float) -> Served:
    answers, verdict = [each for each in kept if is_of(each, name)], [each for each in judged if is_of(each, name)]
    calls = _a_month([each.created for each in answers])
    calibration, points, chosen = None, list[dict[str, Any]](), settled(project, THRESHOLD).get(name)
    try:
        calibration = calibration_of(project, model)
    except NotFound:
        if chosen is not None:  # whose confidence nobody knows isn't known to be above it
            chosen = {**chosen, "share": 1.0, "risk": None, "cost_a_month": _cost(calls, price)}
    else:
        points = [{**point, "cost_a_month": _cost(calls, point["share"] * price)} for point in curve(calibration["ranked"], SHARES)]
        if chosen is not None:
            there = point_at(calibration["ranked"], chosen["threshold"])
            chosen = {**chosen, **there, "cost_a_month": _cost(calls, there["share"] * price)}
    mine = [each for each in answers if each.model == model]
    watched = watches(project, model, mine, [each for each in verdict if each.model == model])
    return Served(name, model, len(answers), calls, live_quality(project, name, since=since), calibration, points, chosen, watched)


def _a_month(times: Sequence[float]) -> Estimate:
    """Calls in 30 days at the rate since the first, counted as events that come by themselves (square-root interval of a Poisson count)."""
    spent = max((now() - min(times)) / DAY, 1.0) if times else MONTH
    root, scale = math.sqrt(len(times)), MONTH / spent
    low, high = max(root - 0.98, 0.0) ** 2 * scale, (root + 0.98) ** 2 * scale
    return Estimate(len(times) * scale, low, high, len(times), "poisson, square root")


def _cost(calls: Estimate, each: float) -> dict[str, Any]:
    return Estimate(calls.value * each, calls.low * each, calls.high * each, calls.n, calls.method, calls.confidence).to_dict()
