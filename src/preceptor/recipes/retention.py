"""Keeping what the base knew: what is left of it is measured, and remedies are tried from the cheapest to the dearest.

Each rung of the ladder is a training with one remedy (see `remedies`), and then the way back from its weights to the base's
(see `interpolating`), which costs no training. What is chosen is chosen on validation rows and on one part of the general
texts; evaluation confirms it on others.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from preceptor.domain.general import General
from preceptor.domain.results import Estimate
from preceptor.errors import UserError
from preceptor.models.adapters import inner
from preceptor.models.interpolating import Way
from preceptor.recipes.folder import REMEDIES as FOLDER
from preceptor.recipes.folder import remembered
from preceptor.recipes.knowing import Knowledge
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Progress
from preceptor.recipes.remedies import REMEDIES
from preceptor.recipes.trainer import RecipeTrainer, fit

Retention = Literal["none", "auto", "alpha", "slower", "l2sp", "replay", "kl", "distil", "recursive"]
WithoutTexts = Literal["none", "auto", "alpha", "slower", "l2sp"]  # of recipes that train on no texts but their own
BOUND, GAIN, DROP = 0.99, 0.98, 0.03  # general log-probability kept at least; task's gain at least; accuracy lost at most
ALPHAS = (1.0, 0.8, 0.6, 0.4)
FOLLOWS = 0.5  # share of the loss by which a round follows the round before; the rest is people's answers
ROUNDS = 3  # more, and each only repeats the one before with less of people's answers


@dataclass(frozen=True)
class Rung:
    """A training to try: its name, the task and plan that it has, and how far back along its way to look."""

    name: str
    make: Callable[[], tuple[Task, Plan]]
    alphas: Sequence[float]


@dataclass(frozen=True)
class Point:
    """One model that was looked at: `alpha` of the way of a rung, and where it stands.

    suites: what became of the suites (see `suite_change`), where they were asked.
    """

    rung: str
    alpha: float
    kept: Estimate
    loss: float
    gain: float
    suites: Mapping[str, Any] | None = None

    @property
    def keeps(self) -> bool:
        """Whether it has kept what it must, all of its interval, and lost too much on no suite that was asked and counts."""
        asked = (self.suites or {}).values()
        return self.kept.low >= BOUND and all(suite["change"]["value"] >= -DROP for suite in asked if suite["counts"])

    @property
    def meets(self) -> bool:
        """Whether it also has what it was trained for."""
        return self.keeps and self.gain >= GAIN

    def to_dict(self) -> dict[str, Any]:
        where = {"remedy": self.rung, "alpha": self.alpha, "kept": self.kept.to_dict(), "validation_loss": self.loss, "gain": self.gain}
        return where if self.suites is None else {**where, "suites": dict(self.suites)}


def retain(task: Task, plan: Plan, how: Retention, tokenizer: Any, general: Callable[[], General]) -> tuple[RecipeTrainer, dict[str, Any]]:
    """Train, with the remedy asked for or the first that is enough; the trainer holds the chosen weights. And what was seen of it.

    general: what shows forgetting. Without a remedy that is measured only where the run was given something to measure it by.
    """
    if how == "none":
        return _untreated(task, plan, tokenizer)
    return _Ladder(task, plan, how, tokenizer, general()).climb()


def _untreated(task: Task, plan: Plan, tokenizer: Any) -> tuple[RecipeTrainer, dict[str, Any]]:
    """Train; forgetting is measured by what the run was given for that."""
    general = task.run.general
    if general is None or not (general.texts or general.suites):
        return fit(task, plan, tokenizer), {}
    if general.texts:
        return _Ladder(task, plan, "none", tokenizer, general).climb()
    knowledge = Knowledge(task, tokenizer, general)
    trainer = fit(task, plan, tokenizer)
    about = {"asked": "none", "remedy": "none", "alpha": 1.0, "suites": knowledge.suites(trainer.model)}
    return trainer, {"retention": {**about, "words": words(about)}}


class _Ladder:
    """One run's search among remedies; each training has a folder of its own, and none is repeated after a kill."""

    def __init__(self, task: Task, plan: Plan, how: Retention, tokenizer: Any, general: General) -> None:
        self.how, self.tokenizer, self.plan = how, tokenizer, plan
        self.knowledge = Knowledge(task, tokenizer, general)
        self.task = replace(task, objective=self.knowledge.teaches.watching(task.new_model(), task.validation))
        self.points: list[Point] = []
        self.skipped: dict[str, str] = {}

    def climb(self) -> tuple[RecipeTrainer, dict[str, Any]]:
        """Rung by rung until one is enough; where none is, back to the one that comes nearest."""
        rungs = {rung.name: rung for rung in self._rungs()}
        for rung in rungs.values():
            try:
                trainer, way = self._try(rung)
            except UserError as error:
                if self.how != "auto" or rung.name == "none":
                    raise
                self.skipped[rung.name] = error.message
                continue
            enough = next((point for point in self.points if point.rung == rung.name and point.meets), None)
            if enough is not None and self.how != "recursive":  # whose first round is no remedy yet
                return trainer, {"retention": self._told(trainer, way, enough)}
            del trainer, way
            gc.collect()  # the next training's weights come into memory
        best = nearest(self.points)
        trainer, way = self._try(rungs[best.rung])
        return trainer, {"retention": self._told(trainer, way, best)}

    def _rungs(self) -> Iterator[Rung]:
        plain = Rung("none", lambda: (self.task, self.plan), ALPHAS if self.how in ("auto", "alpha") else (1.0,))
        if self.how in ("none", "alpha"):
            yield plain
        elif self.how == "auto":
            yield plain
            yield from (self._remedy(name, ALPHAS) for name in self.knowledge.teaches.ladder)
        elif self.how == "recursive":
            yield plain
            yield from (Rung(f"round {number}", self._round(number), (1.0,)) for number in range(2, ROUNDS + 1))
        else:
            yield self._remedy(self.how, (1.0,))

    def _remedy(self, name: str, alphas: Sequence[float]) -> Rung:
        return Rung(name, lambda: REMEDIES[name](self._apart(name), self.plan, self.knowledge), alphas)

    def _round(self, number: int) -> Callable[[], tuple[Task, Plan]]:
        """A training of the base on people's answers that also follows the round before (Furlanello et al. 2018)."""

        def make() -> tuple[Task, Plan]:
            made = (self.task, self.plan) if number == 2 else self._round(number - 1)()
            teacher = fit(*made, self.tokenizer).model
            task = self._apart(f"round {number}")
            return replace(task, train=self.knowledge.teaches.following(teacher, self.task.train, FOLLOWS)), self.plan

        return make

    def _apart(self, name: str) -> Task:
        """The task with a folder for another training of it."""
        folder = self.task.run.folder / FOLDER / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self.task, run=replace(self.task.run, folder=folder))

    def _try(self, rung: Rung) -> tuple[RecipeTrainer, Way]:
        """Train a rung's model (or take it up, if it was trained before the process ended), and look along its way."""
        trainer = fit(*rung.make(), self.tokenizer)
        way = Way(trainer.model, self.task.new_model() if trainer.model is inner(trainer.model) else None)
        if not any(point.rung == rung.name for point in self.points):
            path = trainer.checkpoints.parent / "standing.json"
            self.points += [_point(rung.name, each) for each in remembered(path, partial(self._look, rung, trainer.model, way))]
        return trainer, way

    def _look(self, rung: Rung, model: Any, way: Way) -> list[dict[str, Any]]:
        found: list[Point] = []
        for number, alpha in enumerate(rung.alphas):
            self.task.run.progress(Progress(f"what is left of the base's knowledge (remedy {rung.name})", number, len(rung.alphas)))
            way.to(alpha)
            trained = next((point.loss for point in self.points or found), None)
            standing = self.knowledge.standing(model, trained)
            point = Point(rung.name, alpha, standing.kept, standing.loss, standing.gain)
            found.append(replace(point, suites=self.knowledge.suites(model)) if point.meets else point)
            if self.how == "auto" and (found[-1].meets or found[-1].gain < GAIN):
                break  # further back there is only less of the task
        return [point.to_dict() for point in found]

    def _told(self, trainer: RecipeTrainer, way: Way, best: Point) -> dict[str, Any]:
        """Put the model where the point is; what the manifest says of it."""
        way.to(best.alpha)
        if best.suites is None:
            best = replace(best, suites=self.knowledge.suites(trainer.model))
        about = {
            "asked": self.how, "remedy": best.rung, "alpha": best.alpha, "kept": best.kept.to_dict(), "gain": best.gain, "met": best.meets,
            "bounds": {"kept": BOUND, "gain": GAIN, "accuracy_lost": DROP}, "texts": len(self.knowledge.before),
            "origin": self.knowledge.general.origin, "suites": best.suites,
            "points": [point.to_dict() for point in self.points], "skipped": self.skipped,
        }  # fmt: skip
        return {**about, "words": words(about)}


def words(about: Mapping[str, Any]) -> list[str]:
    """What became of the base's knowledge, in sentences."""
    found = []
    if "kept" in about:
        kept = Estimate.of(about["kept"])
        found.append(f"Of the base's log-probability on {about['texts']} {about['origin']} {kept.as_share()} is left.")
    if about["asked"] != "none":
        remedy = "the model as trained" if about["remedy"] == "none" else f"the remedy {about['remedy']}"
        back = "" if about["alpha"] == 1 else f", {about['alpha']:g} of the way from the base"
        found.append(f"Retention {about['asked']} chose {remedy}{back}, with {about['gain']:.1%} of the task's gain on validation.")
    if about["asked"] == "auto" and not about["met"]:
        bounds = about["bounds"]
        bound = (
            f"kept {bounds['kept']:.0%}, with {bounds['gain']:.0%} of the gain and at most {100 * bounds['accuracy_lost']:.0f} points lost"
        )
        found.append(f"No remedy {bound} on each suite that counts; this one comes nearest.")
    for name, suite in about["suites"].items():
        change = Estimate.of(suite["change"])
        found.append(
            f"Accuracy on {name} changed by {change.in_points()}"
            + ("." if suite["counts"] else "; it doesn't count, for the base hardly does better than guessing there.")
        )
    return found


def _point(rung: str, kept: Mapping[str, Any]) -> Point:
    return Point(rung, kept["alpha"], Estimate.of(kept["kept"]), kept["validation_loss"], kept["gain"], kept.get("suites"))


def nearest(points: Sequence[Point]) -> Point:
    """Where none meets both bounds: the most of the task among those that keep enough, else what keeps most."""
    keeping = [point for point in points if point.keeps]
    return max(keeping, key=lambda point: point.gain) if keeping else max(points, key=lambda point: point.kept.value)
