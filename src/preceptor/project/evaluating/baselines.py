"""The tuned model beside what it must beat: hard labels, fewer rows, and a larger model that was only prompted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray, IntArray
from preceptor.evaluation import classification_estimates, paired
from preceptor.project.assets import base_folder
from preceptor.project.evaluating import evaluating
from preceptor.recipes import Progress
from preceptor.snapshots import Row, Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project

PROMPTED = "smollm2"
DEMONSTRATIONS = 3  # of each answer, in the few-shot prompt
Tell = Callable[[Progress], None]


def compare(
    project: Project,
    snapshot: Snapshot,
    tuned: Model,
    hard: Model,
    curve: Sequence[tuple[int, Model]],
    truth: Mapping[str, Any],
    tell: Tell,
) -> dict[str, Any]:
    """The report's sections `models` (all but the tuned one), `comparison` and `learning_curve`, on the test rows."""
    rows = evaluating.held_out(snapshot, "test")
    held = _Held(snapshot, rows, evaluating.truth_of(project, snapshot, rows, truth))
    ours, theirs = held.predicted(tuned), held.predicted(hard)
    zero, few = (prompted(snapshot, rows, shots, tell) for shots in (0, DEMONSTRATIONS))
    named = {"tuned_hard_labels": theirs, "zero_shot": zero, "few_shot": few}
    sizes = {"tuned_hard_labels": hard.manifest["parameters"]}
    against = {name: paired(ours, other, held.truth, held.groups) for name, other in named.items()}
    return {
        "models": {name: held.figures(found) | {"parameters": sizes.get(name, prompted_parameters())} for name, found in named.items()},
        "comparison": {
            "tuned_minus_zero_shot": against["zero_shot"]["accuracy"],
            "tuned_minus_few_shot": against["few_shot"]["accuracy"],
            "soft_minus_hard_accuracy": against["tuned_hard_labels"]["accuracy"],
            "soft_minus_hard_log_loss": against["tuned_hard_labels"]["log_loss"],
        },
        "learning_curve": [{"rows": size, **held.curve_point(held.predicted(model))} for size, model in curve],
    }


def prompted(snapshot: Snapshot, rows: Sequence[Row], shots: int, tell: Tell) -> FloatArray:
    """Probabilities of the answers under the larger model, from the question's words and `shots` training examples of each answer."""
    from preceptor.providers import LocalProvider, classify_by_prompt

    stage = f"{PROMPTED}, {'few' if shots else 'zero'}-shot"
    tell(Progress(stage, 0, 1))
    return classify_by_prompt(
        LocalProvider(base_folder(PROMPTED)),
        question=snapshot.question,
        texts=[row.text for row in rows],
        train=list(snapshot.rows("train")),
        shots=shots,
    )


def prompted_parameters() -> int:
    """How many parameters the larger model has."""
    from preceptor.models import count_parameters

    return count_parameters(base_folder(PROMPTED))


@dataclass(frozen=True)
class _Held:
    """Held-out rows with their true answers."""

    snapshot: Snapshot
    rows: Sequence[Row]
    truth: IntArray

    @property
    def groups(self) -> np.ndarray[Any, Any]:
        return np.array([row.group for row in self.rows])

    def predicted(self, model: Model) -> FloatArray:
        from preceptor.models import class_probabilities

        return class_probabilities(model.path, [row.text for row in self.rows])

    def figures(self, probabilities: FloatArray) -> dict[str, Any]:
        return evaluating.figures(self.snapshot, self.rows, self.truth, probabilities)

    def curve_point(self, probabilities: FloatArray) -> dict[str, Any]:
        found = classification_estimates(probabilities, self.truth, self.groups, answers=self.snapshot.answers)
        return {name: found[name] for name in ("accuracy", "log_loss")}
