"""Which models programs may ask: the chat bases, released models, and who had one trained their own."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.domain import digest_of
from preceptor.errors import NotFound, UserError
from preceptor.formats.checksums import check_folder, read_json
from preceptor.project.access import Visitor
from preceptor.project.assets import CHAT_BASES, base_folder
from preceptor.project.config import FILE
from preceptor.store import Connection, aliases, jobs, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

LET_OUT = ("released", "overridden")  # how the decisions begin by which a model is let out
SHOWN = "demonstrations.json"  # of a model that is examples for a base
LOG = logging.getLogger("preceptor.serving")
Kind = Literal["chat", "classify"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A model under the name that programs call it by. fingerprint: what stays the same while its weights do. kind: whether it
    writes, or chooses between answers."""

    name: str
    created: float
    owner: str
    fingerprint: str
    kind: Kind = "chat"


class Catalog:
    """The models of one project that write or choose between answers."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def offered(self, visitor: Visitor) -> list[Offered]:
        """What somebody may ask: bases first, then models in order of their making, then aliases."""
        with self.project.database.reading() as connection:
            named = [made for row in aliases.standing(connection) if (made := self._named(row)) is not None]
        return list({each.name: each for each in [*self._all(visitor), *named]}.values())

    def find(self, name: str, visitor: Visitor) -> Offered:
        """A model by its name or an alias; NotFound when there is none, and when it isn't theirs to use.

        Aliases are looked up with each call, so that moving one takes effect at once wherever it is served.
        """
        with self.project.database.reading() as connection:
            alias = aliases.find(connection, name)
        if alias is not None and (named := self._named(alias)) is not None:
            return named
        found = next((each for each in self._all(visitor) if name in (each.name, each.fingerprint)), None)
        if found is None:
            hint = "list those there are: GET /v1/models; a model that was trained here is for all once it is released, or under an alias"
            raise NotFound(f"the model {name!r:.200} isn't there, or isn't for {visitor.name} to use", hint, where="model")
        return found

    def folder(self, model: Offered) -> Path:
        """Where its weights lie; a base is fetched when it isn't there."""
        return self._folder(model.fingerprint)

    def _named(self, alias: Mapping[Any, Any]) -> Offered | None:
        """What an alias stands for, which is for all who may ask: it was let out, or overridden; None when its files are gone."""
        kind = "chat" if alias["model"] in CHAT_BASES else _kind_or_none(self._folder(alias["model"]))
        return kind and Offered(alias["name"], alias["created"], self.project.config.name, alias["model"], kind)

    def _folder(self, model: str) -> Path:
        return base_folder(model) if model in CHAT_BASES else self.project.objects.path(digest_of(model))

    def _all(self, visitor: Visitor) -> Iterator[Offered]:
        created = (self.project.folder / FILE).stat().st_mtime
        yield from (Offered(base, created, "preceptor", base) for base in CHAT_BASES)
        with self.project.database.reading() as connection:
            made, decided, asked = records.models(connection), records.releases(connection), jobs.of_models(connection)
        out = {release.model: release.decision.startswith(LET_OUT) for release in decided}  # the latest decision stands
        names: dict[str, list[str]] = defaultdict(list)  # the same training asked for twice is one model of two names
        for row in asked:
            if out.get(row["model"]) or row["owner"] == visitor.annotator:  # who asked for the same isn't told that others did
                names[row["model"]].append(str(json.loads(row["document"])["fine_tuned_model"]))
        for row in made:
            known = names[row["id"]] or ([row["id"]] if out.get(row["id"]) else [])
            if known and (kind := _kind_or_none(self.project.objects.path(digest_of(row["id"])))):
                for name in known:
                    yield Offered(name, row["created"], self.project.config.name, row["id"], kind)


def is_let_out(connection: Connection, model: str) -> bool:
    """Whether the latest decision about a model let it out."""
    decided = records.decided(connection, model)
    return bool(decided) and decided[-1][1].decision.startswith(LET_OUT)


def _kind_or_none(folder: Path) -> Kind | None:
    """The same; None, with a line in the log, where the folder was damaged: the other models are served all the same."""
    try:
        return kind_of(folder)
    except UserError as fault:
        LOG.warning("%s", fault)
        return None


def kind_of(folder: Path) -> Kind | None:
    """What a model in a folder can be asked for; None for a reward model, which only gives numbers."""
    settings = folder / "config.json"
    if not settings.is_file():
        return "classify" if (folder / SHOWN).is_file() else None
    check_folder(folder, settings.name)
    config = read_json(settings)
    if any(name.endswith("ForCausalLM") for name in config["architectures"]):
        return "chat"
    return "classify" if len(config.get("id2label", ())) > 1 else None
