"""Rounds of self-training: a teacher labels texts, a student that starts at the base learns them, and stays if validation says so.

The first teacher is the model of people's labels alone, or an earlier model that was named, unless validation says that it knows less;
each student that is kept teaches the next. What a model said, and what people answered, is kept in the run's folder as it comes, so
that a run goes on where it stopped.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.models.classification import class_probabilities
from preceptor.recipes.consulting import Asked, Unlabelled, Waiting
from preceptor.recipes.examples import Examples
from preceptor.recipes.folder import remembered
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Progress, Run
from preceptor.recipes.self_training.asking import pick, right_share
from preceptor.recipes.self_training.guard import Standing, judge
from preceptor.recipes.self_training.learners import SAID, Learner, kept_arrays
from preceptor.recipes.self_training.noising import Noisy
from preceptor.recipes.self_training.pseudo import Pseudo, pseudo_labels, weight_of_each
from preceptor.statistics import apply_temperature, fit_temperature

FOLDER = "rounds"
ENOUGH = 0.9  # of what people were asked in a round, before it goes on
SMALLEST = 1e-12


@dataclass(frozen=True)
class Wish:
    """How to go about it; see the options of `self_train`. teacher: the folder of an earlier classifier, or None."""

    rounds: int
    confidence: float
    share: float
    noise: float
    asks: int
    teacher: Path | None = None


@dataclass(frozen=True, eq=False)
class Said:
    """What a model says: log-probabilities of the validation rows (rows, answers) and of the texts (texts, answers)."""

    validation: FloatArray
    texts: FloatArray


@dataclass(frozen=True, eq=False)
class Made:
    """A model that was trained: the folder's name under which its weights lie, what it says, how it stands on validation."""

    name: str
    said: Said
    standing: Standing


@dataclass
class Rounds:
    """One run's rounds.

    task: people's rows. unlabelled: what nobody has judged; texts: the same as tokens, whose targets mean nothing. told: what each
    round saw and did. answers: what people said in the rounds, by number of the text. tasks: the trainings so far, by name.
    kept: the round whose student the model is in the end; None where it is that of people's labels alone. earlier: how the model that
    was named stands beside these, see `_misleads`.
    """

    task: Task
    learner: Learner
    unlabelled: Sequence[Unlabelled]
    texts: Examples
    wish: Wish
    told: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[int, Mapping[str, float]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    kept: int | None = None
    earlier: dict[str, Any] | None = None

    def hold(self) -> Task:
        """Go through the rounds; the task whose training made the model that is kept, in the folder where its weights lie."""
        supervised, best, earlier = self._supervised(), None, self._earlier()
        if earlier and self._misleads(earlier, supervised.said):
            return self.tasks[supervised.name]
        teacher = earlier or supervised.said
        for number in range(1, self.wish.rounds + 1):
            probabilities, temperature = self._calibrated(teacher)
            asked = self._ask(number, probabilities)
            supervised = self._supervised() if asked else supervised
            pseudo = self._choose(probabilities)
            about = {"round": number, "temperature": temperature, **self._about(pseudo), **asked}
            if not len(pseudo.texts):
                self.told.append({**about, "hurts": False})
                break
            student = self._student(number, pseudo)
            verdict = judge(student.standing, supervised.standing, self.task.validation.groups)
            change = {"loss": verdict.loss.to_dict(), "accuracy": verdict.accuracy.to_dict()}
            self.told.append({**about, "validation_change": change, "hurts": verdict.hurts})
            if verdict.hurts:
                break
            best, teacher = self._better(best, student), student.said
        return self.tasks[self._last(best, supervised).name]

    def _better(self, best: Made | None, student: Made) -> Made:
        """The round whose validation loss is lower; the other's weights have served, what it said stays."""
        kept, gone = (best, student) if best and best.standing.loss <= student.standing.loss else (student, best)
        if gone:
            shutil.rmtree(self._apart(gone.name).folder / "checkpoints", ignore_errors=True)
        return kept

    def _last(self, best: Made | None, supervised: Made) -> Made:
        """The best round, unless people's labels alone, of which there may be more by now, do better."""
        if best is None or judge(best.standing, supervised.standing, self.task.validation.groups).hurts:
            return supervised
        self.kept = int(best.name.rsplit("-", 1)[1])
        return best

    def _supervised(self) -> Made:
        """People's labels alone, those that they gave in earlier rounds included: what a round is held against."""
        name = f"supervised-{len(self.answers)}" if self.answers else "supervised"
        return self._make(name, self._labelled(), replace(self._objective, noise=0.0))

    def _student(self, number: int, pseudo: Pseudo) -> Made:
        """People's labels and the teacher's, learnt from the base on by one who sees less than the teacher."""
        rows = self._labelled()
        weight = weight_of_each(len(pseudo.texts), float(rows.mass.sum()), self.wish.share)
        taught = self._examples(pseudo.texts.tolist(), pseudo.targets, weight)
        return self._make(f"round-{number}", rows.followed_by(taught), replace(self._objective, noise=self.wish.noise))

    def _make(self, name: str, rows: Examples, objective: Noisy) -> Made:
        """Learn (or take up, if it was learnt before the process ended), and look at what it says."""
        self.tasks[name] = task = replace(self.task, run=self._apart(name), train=rows, objective=objective)
        kept = kept_arrays(task.run.folder / SAID, lambda: self.learner.look(task, self.texts))
        return Made(name, Said(kept["validation"], kept["texts"]), Standing(kept["losses"], kept["right"]))

    def _earlier(self) -> Said | None:
        """What the teacher that was named says, if one was."""
        if self.wish.teacher is None:
            return None
        teacher, rows = self.wish.teacher, list(self.task.run.snapshot.rows("validation"))

        def look() -> dict[str, FloatArray]:
            validation, texts = (class_probabilities(teacher, [each.text for each in some]) for some in (rows, self.unlabelled))
            return {"validation": np.log(np.maximum(validation, SMALLEST)), "texts": np.log(np.maximum(texts, SMALLEST))}

        kept = kept_arrays(self._apart("teacher").folder / SAID, look)
        return Said(kept["validation"], kept["texts"])

    def _misleads(self, earlier: Said, alone: Said) -> bool:
        """Whether the model that was named does worse on validation than people's labels alone, both calibrated there. What it would
        teach is then wrong more often than what is known; held against their labels, its students show that only in part."""
        rows = self.task.validation
        verdict = judge(_standing(earlier.validation, rows), _standing(alone.validation, rows), rows.groups)
        self.earlier = {"loss": verdict.loss.to_dict(), "accuracy": verdict.accuracy.to_dict(), "hurts": verdict.hurts}
        return verdict.hurts

    def _calibrated(self, teacher: Said) -> tuple[FloatArray, float]:
        """Probabilities of the texts (texts, answers) at the temperature that fits validation best, and that temperature."""
        temperature = fit_temperature(teacher.validation, self.task.validation.targets)
        return apply_temperature(teacher.texts, temperature), temperature

    def _choose(self, probabilities: FloatArray) -> Pseudo:
        return pseudo_labels(probabilities, confidence=self.wish.confidence, fewest=len(self.task.train), known=self.answers)

    def _about(self, pseudo: Pseudo) -> dict[str, Any]:
        """What was taken for labels."""
        answers = self.task.run.snapshot.answers
        weight = weight_of_each(len(pseudo.texts), float(self._labelled().mass.sum()), self.wish.share)
        return {
            "pseudo_labels": dict(zip(answers, pseudo.counts, strict=True)),
            "estimated_shares": dict(zip(answers, pseudo.prior.round(4).tolist(), strict=True)),
            "confidence": pseudo.confidence,
            "weight": weight,
        }

    def _ask(self, number: int, probabilities: FloatArray) -> dict[str, Any]:
        """Have people label what decides most, and some pseudo-labels; what they said of those. Waiting where they haven't answered."""
        if not self.wish.asks:
            return {}
        folder, pseudo = self._apart(f"round-{number}").folder, self._choose(probabilities)
        known, seed = list(self.answers), self._seed(number)
        picked = remembered(folder / "asked.json", lambda: vars(pick(probabilities, pseudo, self.wish.asks, seed, known)))
        said = {int(text): each for text, each in remembered(folder / "answers.json", partial(self._consult, number, picked)).items()}
        self.answers |= said
        audited = {text: said[text] for text in picked["audited"] if text in said}
        right = right_share(pseudo, audited, self.task.run.snapshot.answers)
        return {"asked": sum(map(len, picked.values())), "answered": len(said), "right": right.to_dict() if right else None}

    def _consult(self, number: int, picked: Mapping[str, list[int]]) -> dict[str, Any]:
        ask = self.task.run.ask
        assert ask is not None
        order = [*picked["doubtful"], *picked["audited"]]
        known = {text: self.unlabelled[text] for text in order}
        said = ask("label", [Asked(each.id, each.content, -float(place)) for place, each in enumerate(known.values())])
        there = [text for text in order if known[text].id in said]
        if len(there) < math.ceil(ENOUGH * len(order)):
            raise Waiting(
                f"{len(order) - len(there):,} of {len(order):,} texts of round {number} wait for people's labels",
                "when they are there, the same command goes on from here",
            )
        return {str(text): dict(said[known[text].id]) for text in there}  # type: ignore[arg-type]

    def _labelled(self) -> Examples:
        """People's rows, and what they answered in earlier rounds."""
        if not self.answers:
            return self.task.train
        names = self.task.run.snapshot.answers
        targets = np.array([[each.get(name, 0.0) for name in names] for each in self.answers.values()])
        return self.task.train.followed_by(self._examples(list(self.answers), targets, 1.0))

    def _examples(self, texts: Sequence[int], targets: FloatArray, weight: float) -> Examples:
        return replace(self.texts.take(texts), targets=targets, weights=np.full(len(texts), weight))

    @property
    def _objective(self) -> Noisy:
        return self.task.objective  # type: ignore[return-value]

    def _apart(self, name: str) -> Run:
        """The run in a folder of its own, which says in its progress what it is about."""
        run, stage = self.task.run, name.replace("-", " ")
        folder = run.folder / FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        tell: Callable[[Progress], None] = run.progress
        return replace(run, folder=folder, progress=lambda progress: tell(replace(progress, stage=f"{stage}: {progress.stage}")))

    def _seed(self, number: int) -> int:
        return self.task.run.seed * 1000 + number


def _standing(said: FloatArray, rows: Examples) -> Standing:
    """Log-probabilities (rows, answers) at the temperature that fits the rows best, as a standing on them."""
    targets = np.asarray(rows.targets)
    calibrated = np.log(np.maximum(apply_temperature(said, fit_temperature(said, targets)), SMALLEST))
    right = (said.argmax(axis=1) == targets.argmax(axis=1)).astype(np.float64)
    return Standing(-rows.weights * (targets * calibrated).sum(axis=1), right)
