"""List a project's models with their metrics and release decisions, and those that a caller may use.

A caller may use the chat base models, the released models, and the models of their own fine-tuning jobs.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.annotation.access_control import AuthenticatedVisitor
from preceptor.config import CONFIG_FILE
from preceptor.errors import NotFoundError, UserError
from preceptor.formats.durable_files import read_json, verify_checksums
from preceptor.models.base_models import CHAT_BASES, find_base_folder
from preceptor.reporting.report import Report
from preceptor.storage import Connection, aliases, artifacts, jobs
from preceptor.types import Estimate, Release, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


RELEASING_DECISIONS = ("released", "overridden")  # the beginnings of decisions that release a model
_DEMONSTRATIONS_FILE = "demonstrations.json"  # of a few-shot model
_log = logging.getLogger("preceptor.release")
ServedKind = Literal["chat", "classify"]


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model under the name by which programs call it.

    owner: the organization that the API reports. fingerprint: stays the same as long as the weights do. kind: generative (chat) or a
    classifier (classify).
    """

    name: str
    created: float
    owner: str
    fingerprint: str
    kind: ServedKind = "chat"


class ModelCatalog:
    """The generative and classification models of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def list_offered(self, visitor: AuthenticatedVisitor) -> list[OfferedModel]:
        """List the models that a caller may use: bases first, then models in order of creation, then aliases."""
        with self.project.database.reading() as connection:
            named = [made for row in aliases.list_current(connection) if (made := self._alias_target(row)) is not None]
        return list({each.name: each for each in [*self._iterate_all(visitor), *named]}.values())

    def find(self, name: str, visitor: AuthenticatedVisitor) -> OfferedModel:
        """Return a model by its name or an alias. Raises NotFoundError where there is none, and where the caller may not use it.

        Aliases are looked up in each call, so that moving one takes effect at once wherever it is served.
        """
        with self.project.database.reading() as connection:
            alias = aliases.find_current(connection, name)
        if alias is not None and (named := self._alias_target(alias)) is not None:
            return named
        found = next((each for each in self._iterate_all(visitor) if name in (each.name, each.fingerprint)), None)
        if found is None:
            hint = "list those there are: GET /v1/models; a model that was trained here is for all once it is released, or under an alias"
            raise NotFoundError(f"the model {name!r:.200} isn't there, or isn't for {visitor.name} to use", hint, where="model")
        return found

    def model_folder(self, model: OfferedModel) -> Path:
        """Return the folder of a model's weights; a base is downloaded where it is missing."""
        return self._folder(model.fingerprint)

    def _alias_target(self, alias: Mapping[Any, Any]) -> OfferedModel | None:
        """Return the model that an alias names, or None where its files are missing.

        Every caller may use it, since it was released, or overridden.
        """
        kind = "chat" if alias["model"] in CHAT_BASES else _served_kind_or_none(self._folder(alias["model"]))
        return kind and OfferedModel(alias["name"], alias["created"], self.project.config.name, alias["model"], kind)

    def _folder(self, model: str) -> Path:
        return find_base_folder(model) if model in CHAT_BASES else self.project.objects.path(json_digest(model))

    def _iterate_all(self, visitor: AuthenticatedVisitor) -> Iterator[OfferedModel]:
        created = (self.project.folder / CONFIG_FILE).stat().st_mtime
        yield from (OfferedModel(base, created, "preceptor", base) for base in CHAT_BASES)
        with self.project.database.reading() as connection:
            made, decided, asked = artifacts.list_models(connection), artifacts.list_releases(connection), jobs.list_with_models(connection)
        out = {release.model: release.decision.startswith(RELEASING_DECISIONS) for release in decided}  # the latest decision counts
        names: dict[str, list[str]] = defaultdict(list)  # two requests for the same training give one model with two names
        for row in asked:
            if out.get(row["model"]) or row["owner"] == visitor.annotator:  # a caller doesn't learn that others requested the same
                names[row["model"]].append(str(json.loads(row["document"])["fine_tuned_model"]))
        for row in made:
            known = names[row["id"]] or ([row["id"]] if out.get(row["id"]) else [])
            if known and (kind := _served_kind_or_none(self.project.objects.path(json_digest(row["id"])))):
                for name in known:
                    yield OfferedModel(name, row["created"], self.project.config.name, row["id"], kind)


def is_released(connection: Connection, model: str) -> bool:
    """Return whether the latest decision about a model released it."""
    decided = artifacts.list_dated_releases(connection, model)
    return bool(decided) and decided[-1][1].decision.startswith(RELEASING_DECISIONS)


def _served_kind_or_none(folder: Path) -> ServedKind | None:
    """Return the served kind of a model folder, or None with a warning in the log where it is damaged.

    The other models are still served.
    """
    try:
        return detect_served_kind(folder)
    except UserError as fault:
        _log.warning("%s", fault)
        return None


def detect_served_kind(folder: Path) -> ServedKind | None:
    """Return what a model in a folder can be called for; None for a reward model, which only gives numbers."""
    settings = folder / "config.json"
    if not settings.is_file():
        return "classify" if (folder / _DEMONSTRATIONS_FILE).is_file() else None
    verify_checksums(folder, settings.name)
    config = read_json(settings)
    if any(name.endswith("ForCausalLM") for name in config["architectures"]):
        return "chat"
    return "classify" if len(config.get("id2label", ())) > 1 else None


_MAIN_FIGURES = ("accuracy", "token_f1", "exact_match")


@dataclass(frozen=True)
class ModelOverview:
    """A model with its newest results.

    measured, state, figure: time, gate state and main metric of its newest report on test rows, None where there is none. last_decision:
    time and release decision.
    """

    model: str
    created: float
    recipe: str
    base: str
    question: str
    measured: float | None = None
    state: str | None = None
    figure: tuple[str, Estimate] | None = None
    last_decision: tuple[float, Release] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the overview as a JSON object; times are Unix times."""
        document = {name: getattr(self, name) for name in ("model", "created", "recipe", "base", "question", "measured", "state")}
        figure = {"name": self.figure[0], **self.figure[1].to_dict()} if self.figure else None
        return {**document, "figure": figure, "decision": self.last_decision[1].decision if self.last_decision else None}


def list_models(project: Project, start: int = 0, size: int | None = 25) -> tuple[list[ModelOverview], int]:
    """Return a page of the models, newest first (size None: all from `start`), and the number of all models."""
    with project.database.reading() as connection:
        models = artifacts.list_models(connection)[::-1]
        reports = artifacts.latest_reports(connection, "test")
        decided = {release.model: (at, release) for at, release in artifacts.list_dated_releases(connection)}
        about = {row["digest"]: row["question"] for row in artifacts.list_snapshots(connection)}
    end = None if size is None else start + size
    page = [_model_overview(project, row, reports.get(row["id"]), decided.get(row["id"]), about) for row in models[start:end]]
    return page, len(models)


def _model_overview(
    project: Project,
    row: Mapping[Any, Any],
    report: Mapping[Any, Any] | None,
    decided: tuple[float, Release] | None,
    about: Mapping[str, str],
) -> ModelOverview:
    manifest = json.loads(row["manifest"])
    said: dict[str, Any] = {} if report is None else _report_overview(project, report)
    return ModelOverview(
        row["id"], row["created"], str(manifest.get("recipe", "")), str(manifest.get("base", "")), about.get(row["snapshot"], ""),
        last_decision=decided, **said,
    )  # fmt: skip


def _report_overview(project: Project, report: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the main results of a report; only its time where its file is missing."""
    try:
        document = json.loads(project.objects.get(report["digest"]))
    except UserError:
        return {"measured": report["created"]}
    estimates = Report(document).estimates
    figure = next(((name, estimates[name]) for name in _MAIN_FIGURES if name in estimates), None)
    return {"measured": report["created"], "state": (document.get("release") or {}).get("decision"), "figure": figure}
