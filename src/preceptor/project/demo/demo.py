"""The main job on recorded human judgments: the loop of a live project, with recorded people in the people's place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from preceptor import __version__
from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.evaluation import Report
from preceptor.project.assets import VADER, fetch
from preceptor.project.config import FILE
from preceptor.project.demo import replaying
from preceptor.project.demo.recorded import CUTS, LABELS, RATERS, SCALE, Recorded, read_recorded
from preceptor.project.evaluating import baselines, evaluating
from preceptor.project.project import Project
from preceptor.project.training import training
from preceptor.recipes import Progress
from preceptor.registry import did_you_mean

STAGES = ("guidance", "snapshot", "training", "evaluation")
QUESTION = "sentiment"
INSTRUCTIONS = "How positive or negative is the sentence? Rate it from -4 (very negative) to 4 (very positive)."
CURVE_SHARES = (0.04, 0.1, 0.25, 0.5)  # of the training rows; the whole is the main run
EPOCHS = 2.5
SETTINGS: dict[str, Any] = {
    "guidance": {"certainty": 0.98, "minimum": 2, "maximum": RATERS, "audit": 0.0},
    "gate": {"bounds": ["accuracy.low >= 0.72"]},
}


@dataclass
class Demo:
    """The stages of one demo, in a folder where an interrupted one is continued.

    tell: called with each step of progress.
    """

    folder: Path
    data: str = "amazon"
    seed: int = 0
    tell: Callable[[Progress], None] = lambda progress: None
    done: list[str] = field(default_factory=list)

    def run(self, stop_after: str | None = None) -> Report:
        """All stages, or those up to `stop_after`; writes report.html and report.json into the folder."""
        if stop_after is not None and stop_after not in STAGES:
            raise UserError(f"no stage is called {stop_after!r}{did_you_mean(stop_after, STAGES)}", f"stages: {', '.join(STAGES)}")
        started = time.monotonic()
        document: dict[str, Any] = {}
        stages = (self._guidance, self._snapshot, self._training, self._evaluation)
        for name, stage in zip(STAGES, stages, strict=True):
            document |= stage(document)
            self.done.append(name)
            if name == stop_after:
                break
        document |= {"stages": self.done, "seconds": round(time.monotonic() - started, 1), "seed": self.seed}
        report = Report.from_document(document)
        report.save_json(self.folder / "report.json")
        report.save_html(self.folder / "report.html")
        return report

    def _guidance(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the recorded people through the calls that live people use, until every answer is certain."""
        self.tell(Progress("fetching the recorded judgments", 0, 1))
        self.recorded = read_recorded(fetch(VADER), self.data, seed=self.seed)
        self.project = self._open()
        self.project.add_items(self.recorded.rows)
        settings = {"cuts": CUTS, "labels": LABELS, "panel": RATERS}
        self.project.add_question(QUESTION, "rating", SCALE, INSTRUCTIONS, **settings)
        ask(self.project, self.recorded, self.tell)
        self.tell(Progress("comparing with all recorded judgments", 0, 1))
        return {
            "title": f"Demo: sentiment of {self.data}",
            "preceptor": __version__,
            "question": {"name": QUESTION, "kind": "rating", "instructions": INSTRUCTIONS, "answers": list(LABELS)},
            "data": self._data(),
            **replaying.sections(self.project, QUESTION, self.recorded),
        }

    def _snapshot(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self.tell(Progress("taking a snapshot", 0, 1))
        self.snapshot = self.project.snapshot(QUESTION, name="demo")
        return {"snapshot": self.snapshot.digest, "snapshot_summary": self.snapshot.summary()}

    def _training(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """The main run, then the same with hard labels and with fewer rows, at the learning rate that it chose."""
        self.tuned = self._train("training")
        rate = self.tuned.manifest["learning_rate"]
        self.hard = self._train("training on hard labels", targets="hard", learning_rate=rate)
        total = sum(1 for _ in self.snapshot.rows("train"))
        sizes = [max(round(share * total), 40) for share in CURVE_SHARES]
        self.curve = [(size, self._train(f"training on {size} rows", rows=size, learning_rate=rate)) for size in sizes]
        self.curve.append((total, self.tuned))
        return {"training": evaluating.training_section(self.tuned)}

    def _evaluation(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The test documents, opened once: the tuned model beside its variants and the larger un-tuned one."""
        self.tell(Progress("evaluating", 0, 1))
        truth = self.recorded.truth()
        measured = evaluating.measure(self.project, self.tuned, self.snapshot, truth=truth, split="test")
        sections = baselines.compare(self.project, self.snapshot, self.tuned, self.hard, self.curve, truth, self.tell)
        models = {**measured["models"], **sections.pop("models")}
        sections["comparison"] = {**measured["comparison"], **sections["comparison"]}
        whole = {**document, **measured, "title": document["title"], "data": document["data"], "models": models, **sections}
        return dict(evaluating.keep(self.project, self.tuned, self.snapshot, whole, "test").document)

    def _train(self, stage: str, **options: Any) -> Model:
        return self.project.train(
            "classify", snapshot=self.snapshot, base="minilm", seed=self.seed, epochs=EPOCHS, progress=self._relay(stage), **options
        )

    def _relay(self, stage: str) -> training.Listener:
        return lambda progress: self.tell(Progress(f"{stage}: {progress.stage}", progress.done, progress.total, progress.fields))

    def _data(self) -> dict[str, Any]:
        left_out = self.recorded.left_out
        reason = f"{left_out} texts have fewer than {RATERS} ratings"
        return {
            "source": f"{self.data}, from vaderSentiment 3.3.2 on PyPI (Hutto and Gilbert 2014): {RATERS} people each rated from -4 to 4",
            "items": len(self.recorded.rows),
            "groups": len({row["group"] for row in self.recorded.rows}),
            "skipped": [{"count": left_out, "reason": reason}] if left_out else [],
        }

    def _open(self) -> Project:
        if not (self.folder / FILE).exists():
            return Project.create(self.folder, name=f"demo-{self.data}-{self.seed}", **SETTINGS)
        project = Project.open(self.folder)
        if project.config.name != f"demo-{self.data}-{self.seed}":
            raise UserError(f"{self.folder} holds another project ({project.config.name})", "choose another folder: --out DIR")
        return project


def ask(project: Project, recorded: Recorded, tell: Callable[[Progress], None]) -> None:
    """Let recorded people answer, each in turn, until none of them is asked anything more.

    The ratings are anonymous: the k-th person who is asked about an item gives the k-th of its shuffled ratings. What
    was answered therefore depends on how often each item was asked about, and not on when the demo was interrupted.
    """
    answered = sum(part["given"] for part in project.status()["questions"])
    most, idle = len(recorded.rows) * RATERS, 0
    for seat in cycle(range(RATERS)):
        person = f"person-{seat + 1:02}"
        slot = project.next(person, QUESTION)
        if slot is None:
            idle += 1
            if idle == RATERS:
                return
            continue
        idle = 0
        answer = recorded.answer(slot.item, slot.given)
        project.submit(slot.slot, person, answer, key=f"{slot.item}/{slot.given}")
        answered += 1
        if answered % 50 == 0:
            tell(Progress("asking people", answered, most))
