"""What can be asked: a model of the project, a base, or a model's folder; or a file of answers that were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from preceptor.domain import Model
from preceptor.errors import NotFound, UserError
from preceptor.project.answering import writes
from preceptor.project.assets import BASES
from preceptor.project.bases import start_folder

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.providers.provider import Message

RECORDED = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


class Writing(Protocol):
    """A writer that knows which conversations it can read."""

    def write(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float, seed: int) -> list[str]: ...

    def fits(self, turns: Sequence[Message]) -> bool: ...


@dataclass(frozen=True)
class Subject:
    """Somebody to ask. identity: of the weights (or the service and name), so that answers are known as theirs."""

    name: str
    identity: str
    folder: Path
    model: Model | None = None

    def writer(self) -> Writing:
        """With its weights loaded."""
        from preceptor.providers import LocalProvider

        return LocalProvider(self.folder)


def is_recorded(name: str) -> bool:
    """Whether a name is that of a file of recorded answers."""
    return Path(name).suffix.lower() in RECORDED


def subject_of(project: Project, name: str | Model) -> Subject:
    """A model by its id, a known base, or a model's folder. UserError where it isn't there, or doesn't write."""
    from preceptor.models.saving import weights_digest

    model = name if isinstance(name, Model) else _model(project, name)
    if model is not None:
        if "hosted" in model.manifest:
            raise UserError(f"{model.id} lies at {model.manifest['hosted']['service']}", "record its answers in a file, and name that")
        if not writes(model):
            raise UserError(
                f"{model.id} chooses among answers; this suite is about what a model writes", "train sft, or leave the suite out"
            )
        return Subject(model.id, model.manifest["weights"], model.path, model)
    folder = start_folder(project, str(name))
    return Subject(folder.name if str(name) not in BASES else str(name), weights_digest(folder), folder)


def _model(project: Project, name: str) -> Model | None:
    if name in BASES or Path(name).is_dir():
        return None
    try:
        return project.model(name)
    except UserError as error:
        known = f"a model's id, a base ({', '.join(BASES)}), a model's folder, or a file of recorded answers"
        raise NotFound(f"there is no model, base or file called {name!r}", known) from error
