"""Manage the aliases by which programs call models, such as `support:production`.

An alias moves and rolls back at once, and to released models only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from preceptor.errors import GateRefused, NotFoundError, UserError
from preceptor.models.base_models import BASE_ASSETS, CHAT_BASES
from preceptor.registry import suggest_name
from preceptor.release import gate
from preceptor.release.model_catalog import RELEASING_DECISIONS, is_released
from preceptor.storage import Connection, aliases, artifacts, events

if TYPE_CHECKING:
    from preceptor.project import Project


_ALIAS_PATTERN = re.compile(r"[a-z0-9][a-z0-9._:/-]{0,99}")
_RESERVED_PREFIXES = ("m-", "ft:")  # the prefixes of the models' own names


class ModelAliases:
    """The aliases of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def set(self, name: str, model: str, *, by: str, reason: str = "", override: str = "") -> dict[str, Any]:
        """Point an alias at a model or a base model, from the next call on.

        Raises UserError for an invalid name, and where the model's files aren't those that were measured. Raises GateRefused for a model
        that wasn't released, unless `override` gives a reason.
        """
        _check_alias_name(name)
        target = model if model in CHAT_BASES else self.project.model(model).id
        _check_released_files(self.project, target)
        return self._set_target(name, target, by=by, reason=reason, override=override, kind="alias set")

    def roll_back(self, name: str, *, by: str, reason: str = "", override: str = "") -> dict[str, Any]:
        """Roll an alias back to its previous model; once more, to the one before that. Raises GateRefused as `set` does."""
        trail = _rollback_trail(row["model"] for row in self.history(name))
        if len(trail) < 2:
            raise UserError(f"{name} stood for no model before {trail[0]}", f"preceptor alias set {name} MODEL --by WHO")
        return self._set_target(
            name, trail[-2], by=by, reason=reason or f"back from {trail[-1]}", override=override, kind="alias rolled back"
        )

    def list_current(self) -> list[dict[str, Any]]:
        """List the current aliases: name, model, by, reason, created (Unix time)."""
        with self.project.database.reading() as connection:
            return [_alias_document(row) for row in aliases.list_current(connection)]

    def history(self, name: str) -> list[dict[str, Any]]:
        """List the models that an alias has named, in order. Raises NotFoundError where there is no such alias."""
        with self.project.database.reading() as connection:
            found = [_alias_document(row) for row in aliases.list_history(connection, name)]
            known = [row["name"] for row in aliases.list_current(connection)] if not found else []
        if not found:
            raise NotFoundError(f"there is no alias {name!r:.200}{suggest_name(name, known)}", f"known: {', '.join(known) or 'none yet'}")
        return found

    def names_of_model(self, model: str) -> list[str]:
        """List the aliases that name a model now."""
        return [row["name"] for row in self.list_current() if row["model"] == model]

    def _set_target(self, name: str, model: str, *, by: str, reason: str, override: str, kind: str) -> dict[str, Any]:
        if not by.strip():
            raise UserError("an alias needs the name of the person who sets it", "--by NAME")
        with self.project.database.writing() as connection:
            _check_name_free(connection, name)
            if not (out := is_released(connection, model)) and not override.strip():
                raise GateRefused(f"{name} can't stand for {model}: {_explain_refusal(connection, model)}", _refusal_hint(model))
            why = reason.strip() if out else f"overridden: {override.strip()}{f'; {reason.strip()}' if reason.strip() else ''}"
            aliases.add(connection, name, model, by=by, reason=why)
            events.record_event(connection, kind, {"alias": name, "model": model, "reason": why}, actor=by)
            row = aliases.find_current(connection, name)
        assert row is not None
        return _alias_document(row)


def _check_released_files(project: Project, model: str) -> None:
    """Raise UserError where the files of a released model aren't those that its report measured."""
    with project.database.reading() as connection:
        decided = artifacts.list_dated_releases(connection, model)
    if not decided or not decided[-1][1].decision.startswith(RELEASING_DECISIONS):
        return
    try:
        report = gate.load_report(project, decided[-1][1].report)
    except UserError:  # the report is missing: what was measured is no longer known
        return
    gate.check_measured_files(project.model(model), report)


def _rollback_trail(models: Iterable[str]) -> list[str]:
    """Return the models to roll back through, oldest first: a move back to the previous model drops the last one."""
    trail: list[str] = []
    for model in models:
        if len(trail) > 1 and trail[-2] == model:
            trail.pop()
        elif not trail or trail[-1] != model:
            trail.append(model)
    return trail


def _check_alias_name(name: str) -> None:
    if not _ALIAS_PATTERN.fullmatch(name) or name.startswith(_RESERVED_PREFIXES) or name in BASE_ASSETS:
        hint = "up to 100 of a-z, 0-9 and . _ : / -, such as support:production; not beginning with m- or ft:, and no base's name"
        raise UserError(f"{name!r:.120} can't be an alias", hint, where="name")


def _check_name_free(connection: Connection, name: str) -> None:
    if any(row["id"] == name for row in artifacts.list_models(connection)):
        raise UserError(f"a model is called {name!r} itself", "choose another name", where="name")


def _explain_refusal(connection: Connection, model: str) -> str:
    if model in CHAT_BASES:
        return "it is a base, which nobody has evaluated and let out"
    decided = artifacts.list_dated_releases(connection, model)
    return f"the last decision about it is {decided[-1][1].decision!r} by {decided[-1][1].by}" if decided else "it was never let out"


def _refusal_hint(model: str) -> str:
    first = "" if model in CHAT_BASES else f"preceptor release {model} --by NAME, or "
    return f"{first}--override REASON, which stays on record"


def _alias_document(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in ("name", "model", "by", "reason", "created")}


def resolve_alias(project: Project, name: str) -> str:
    """Return the model that an alias names, or the name itself where it is no alias."""
    return next((row["model"] for row in ModelAliases(project).list_current() if row["name"] == name), name)
