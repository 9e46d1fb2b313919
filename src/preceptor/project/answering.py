"""What a model answers to texts: its classifier's head, or its base after the examples that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.project.bases import base_of, start_folder

if TYPE_CHECKING:
    from preceptor.models.classification import Classifier
    from preceptor.project.project import Project
    from preceptor.providers.demonstrating import FewShot


def is_shown(model: Model) -> bool:
    """Whether a model is examples for a base, and not weights."""
    return bool(model.manifest["recipe"] == "few_shot")


def writes(model: Model) -> bool:
    """Whether a model writes texts rather than choosing among answers."""
    from preceptor.models.parity import recorded

    return not model.manifest["answers"] or ((model.path / "parity.json").is_file() and recorded(model.path)[0] == "causal")


def probabilities(project: Project, model: Model, texts: Sequence[str], *, base: str | Path | None = None) -> FloatArray:
    """Probability of each answer for each text: (texts, answers) float64, columns in the order of the question's answers.

    base: where the base of a `few_shot` model lies, when it is no known one.
    """
    found = predictor(project, model, base=base)
    order = [found.answers.index(answer) for answer in model.manifest["answers"]]  # that of a model from elsewhere may be another
    return found.predict(texts)[:, order]


def predictor(project: Project, model: Model, *, base: str | Path | None = None) -> Classifier | FewShot:
    """What a model answers with, in memory: `answers`, and `predict` of texts."""
    from preceptor.models.classification import Classifier

    return few_shot(project, model, base) if is_shown(model) else Classifier(model.path)


def few_shot(project: Project, model: Model, base: str | Path | None) -> FewShot:
    """A `few_shot` model with the two models that it names; UserError when one isn't at hand or has changed."""
    from preceptor.models.saving import weights_digest
    from preceptor.providers.demonstrating import FewShot
    from preceptor.providers.local import LocalProvider

    folder = base_of(project, model, base)
    if folder is None:
        raise UserError(f"the base of {model.id} ({model.manifest['base']}) is not at hand", "say where it lies: --base DIR")
    encoder = start_folder(project, model.manifest["options"]["encoder"])
    if weights_digest(encoder) != model.manifest["encoder_weights"]:
        raise UserError(f"{encoder.name} is not the encoder that {model.id} was made with: its weights differ", "make the model anew")
    return FewShot.load(model.path, LocalProvider(folder), encoder)
